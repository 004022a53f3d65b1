"""The agents on this machine: processes of Claude Code and Codex, and loop's tmux sessions.

Asks the system; starts `tmux list-sessions` and nothing else; changes nothing. Belongs to the thread that created it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from actors.edges import environments
from shell.dashboard.agent_files import UUID, AgentFiles
from shell.dashboard.view import Seen, TmuxView

AGENTS = ("claude", "codex")
# A process may exec an agent's program soon after its start; after so many looks it no longer does.
LOOKS = 5
TMUX_PATIENCE_S = 2.0
_SESSION_FLAGS = ("--session-id", "--resume", "-r", "resume")


class Processes:
    """Examines each new process once, and the agents' at each look."""

    def __init__(self) -> None:
        self._looks: dict[int, int] = {}
        self._agents: dict[int, tuple[psutil.Process, Seen]] = {}

    def look(self, owned: Collection[int], files: AgentFiles) -> list[Seen]:
        """The user's agents; `owned` are pids that loop has recorded as agents of its runs."""
        pids = set(psutil.pids())
        self._looks = {pid: looks for pid, looks in self._looks.items() if pid in pids}
        self._agents = {pid: known for pid, known in self._agents.items() if pid in pids and _runs(known[0])}
        for pid in pids - self._agents.keys():
            if (looks := self._looks.get(pid, 0)) < LOOKS or pid in owned:
                self._looks[pid] = looks + 1
                with suppress(psutil.Error, OSError):  # gone meanwhile, or not accessible
                    process = psutil.Process(pid)
                    if (seen := _seen(process, owned=pid in owned)) is not None:
                        self._agents[pid] = (process, seen)
        return [_with_session(process, seen, files) for process, seen in self._topmost()]

    def _topmost(self) -> Iterator[tuple[psutil.Process, Seen]]:
        """The agents' topmost processes, without those that an agent has started: a wrapper's program, a sub-agent."""
        named = {pid for pid, (_, seen) in self._agents.items() if seen.agent in AGENTS}
        for process, seen in self._agents.values():
            with suppress(psutil.Error, OSError):
                if process.ppid() not in named:
                    yield process, seen


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error, OSError):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _seen(process: psutil.Process, *, owned: bool) -> Seen | None:
    agent = _agent(process)
    if not agent and not owned:
        return None
    if process.uids().real != os.getuid():
        return None
    session = _session(process.cmdline())
    return Seen(pid=process.pid, agent=agent or process.name(), session_id=session, cwd=process.cwd())


def _agent(process: psutil.Process) -> str:
    name = process.name()
    if name in AGENTS:
        return str(name)
    if name == "node":  # their packages' scripts
        script = next((word for word in process.cmdline()[1:] if not word.startswith("-")), "")
        return next((agent for agent in AGENTS if Path(script).stem == agent or f"/{agent}-code/" in script), "")
    return ""


def _session(arguments: list[str]) -> str:
    for flag, value in zip_longest(arguments, arguments[1:], fillvalue=""):  # of one that is ending there are none
        name, has_value, own = flag.partition("=")
        if name in _SESSION_FLAGS and (hit := UUID.fullmatch(own if has_value else value)):
            return hit.group()
    return ""


def _with_session(process: psutil.Process, seen: Seen, files: AgentFiles) -> Seen:
    if seen.session_id:
        return seen
    with suppress(psutil.Error, OSError):
        session = files.newest_in(seen.agent, seen.cwd, process.create_time())
        return Seen(pid=seen.pid, agent=seen.agent, session_id=session, cwd=seen.cwd)
    return seen


def tmux_sessions() -> list[TmuxView]:
    """The sessions that loop has made, in the user's own tmux server. Empty without tmux, or after a time-out."""
    if shutil.which("tmux") is None:
        return []
    fields = ("#{session_name}", "#{@loop_run}", "#{session_attached}", "#{session_created}")
    try:
        done = subprocess.run(
            ["tmux", "list-sessions", "-F", "\t".join(fields)],
            env=environments.handed_on(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TMUX_PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for line in done.stdout.splitlines():
        name, directory, attached, created = (line.split("\t") + [""] * 4)[:4]
        if directory:
            found.append(
                TmuxView(
                    name=name,
                    run="/".join(Path(directory).parts[-2:]),
                    attached=int(attached) if attached.isdigit() else 0,
                    created_at_ms=int(created) * 1000 if created.isdigit() else 0,
                    attach=f"tmux attach -t {name}",
                )
            )
    return sorted(found, key=lambda each: each.name)
