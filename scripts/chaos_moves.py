"""Moves of agents in a run of the chaos: what was asked for, what came of it, and that one agent of a role works.

A move that was taken has come true, or one line says that it was given up. The end of the run, and a later request for
the same actor, settle it as well. A refusal is no fault where its line says a known reason.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from actors.hosts import HOME
from tests.lab.world import MARK

# Why a request may be refused, with exit status 2; and 1, for a run that no root has at the moment.
REFUSED = (
    r"is at \S+ already",
    r"is on its way to \S+ already",
    r"the run is ending",
    r"no run of this repository yet",
    r"host \S+: .*; (?:worker|reviewer) stays at \S+",
    r"host \S+ .*; (?:worker|reviewer) stays at \S+",
)
NOT_RUNNING = (r"run \S+ is not running", r"the run has ended")
SETTLES_S = 25.0  # a move that was asked for so shortly before the end of its run may be open
LOOK_S = 0.1
AGENT, ROLE = "actors.embedded.agent", "--role"  # in the command line of an embedded agent
IS_WHAT_IT_IS_S = 2.0


@dataclass(frozen=True)
class Asked:
    """One request, and its answer. `at`: Unix time of the answer."""

    at: float
    role: str
    place: str
    now: bool
    status: int
    text: str

    @property
    def is_taken(self) -> bool:
        """Whether the run has said that it moves the actor."""
        return self.status == 0

    def fault(self) -> str:
        """What is wrong with the answer; "" = nothing."""
        known = {0: (r"",), 2: REFUSED, 1: NOT_RUNNING}.get(self.status, ())
        words = f"place {self.role} {self.place}{' --now' if self.now else ''}"
        if self.status and len(self.text.splitlines()) != 1:
            return f"{words}: exit status {self.status}, not in one line: {self.text[:400]!r}"
        if not any(re.search(pattern, self.text) for pattern in known):
            return f"{words}: exit status {self.status}: {self.text[:400]!r}"
        return ""


def faults(
    requests: Sequence[Asked], lines: Iterable[tuple[float, str]], places: Mapping[str, str], ended_at: float
) -> list[str]:
    """What is wrong with these requests of a run that has completed. `places`: where its agents were at the end."""
    found = [fault for each in requests if (fault := each.fault())]
    said = list(lines)
    for role in {each.role for each in requests}:
        taken = [each for each in requests if each.role == role and each.is_taken]
        if taken and not _is_kept(taken[-1], said, places.get(role, HOME), ended_at):
            found.append(f"lost move: {role} to {taken[-1].place} was taken ({taken[-1].text}), and nothing came of it")
    return found


def _is_kept(asked: Asked, lines: Iterable[tuple[float, str]], place: str, ended_at: float) -> bool:
    if place == asked.place or ended_at - asked.at < SETTLES_S:
        return True
    outcome = re.compile(
        rf"{asked.role} (?:continues at|stays at|moves from \S+ to {re.escape(asked.place)}$)"
        rf"|; {asked.role} stays at |is given up: .*\b{asked.role}\b"
    )
    return any(at >= asked.at - 2.0 and "place " not in line and outcome.search(line) for at, line in lines)


@dataclass(frozen=True)
class _Agent:
    """One embedded agent's program."""

    role: str
    started: float


@dataclass
class Writers:
    """Watches the embedded agents of a world, in a thread: no two of one role may live at once, on any host.

    `mark`: the world's. Those on hosts have the homes of `homes` instead.
    """

    mark: str
    homes: Sequence[str]
    faults: list[str] = field(default_factory=list)
    found: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _known: dict[int, _Agent | None] = field(default_factory=dict)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to watch."""
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the watch."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        told: set[tuple[int, ...]] = set()
        while not self._stop.wait(LOOK_S):
            alive = self._alive()
            for role in {agent.role for agent in alive.values()}:
                pids = [pid for pid, agent in alive.items() if agent.role == role]
                if len(pids) < 2:
                    continue
                again = self._alive()  # one that was seen first may have ended before the other began
                both = tuple(sorted(pid for pid in pids if pid in again))
                if len(both) > 1 and both not in told:
                    told.add(both)
                    self.faults.append(f"second writer: agents {both} of {role} lived at once, at {time.time():.3f}")
                    self.found.set()

    def _alive(self) -> dict[int, _Agent]:
        pids = set(psutil.pids())
        for pid in self._known.keys() - pids:
            del self._known[pid]
        found = {}
        for pid in pids:
            if pid not in self._known:
                self._look(pid)
            agent = self._known.get(pid)
            if agent is not None and _lives(pid, agent):
                found[pid] = agent
        return found

    def _look(self, pid: int) -> None:
        """Takes note of a process once it is what it will be: one that was forked has yet to become another program."""
        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            words, started = process.cmdline(), process.create_time()
            if AGENT in words and AGENT in process.parent().cmdline():
                return  # a command of the agent's, which is about to become one
            if AGENT in words and ROLE in words[:-1]:
                variables = process.environ()
                ours = variables.get(MARK) == self.mark or variables.get("HOME") in self.homes
                self._known[pid] = _Agent(words[words.index(ROLE) + 1], started) if ours else None
            elif time.time() > started + IS_WHAT_IT_IS_S:
                self._known[pid] = None


def _lives(pid: int, agent: _Agent) -> bool:
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        return process.create_time() == agent.started and process.status() != psutil.STATUS_ZOMBIE
    return False
