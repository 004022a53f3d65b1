"""What the dashboard shows: runs, agents' processes and sessions, tmux sessions, as structs. Pure.

The structs are what `loop dashboard --json` prints; `panel` makes tables of them, for the terminal and for pipes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from actors.messages import Usage
from actors.run_states import FINAL_STATES
from shell import spending
from supervisor.control.protocol import Report

ACTIVE_MS = 15_000  # an agent whose last event is not older is at work
FINISHED_SHOWN = 20  # ended sessions of agents, newest first


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """One run of this home. Times are Unix ms; 0 = not known."""

    key: str  # "<repo id>/<run id>", as `loop shell` takes it from anywhere
    run_id: str
    repository: str  # its name, for the user
    directory: str
    cwd: str
    state: str  # the manifest's word; of a live run its own
    running: bool
    mode: str
    created_at_ms: int
    updated_at_ms: int
    root_pid: int = 0
    tmux_session: str = ""
    agents: dict[str, str] = {}  # their names, by role
    sessions: dict[str, str] = {}  # their ids, by role; by agent in a run of the original
    trouble: str = ""  # why a part of it is unknown
    last_event: str = ""
    last_event_at_ms: int = 0
    report: Report | None = None  # actors, agents, tokens and cost; None until it is known

    @property
    def stands(self) -> str:
        """The state, for the user: an unfinished run without a root is "down", a waiting one "queued"."""
        if self.running or self.state in (*FINAL_STATES, "damaged"):
            return self.state
        return "queued" if self.state == "submitted" else "down"

    @property
    def line(self) -> str:
        """The run's activity, its end, or its trouble."""
        if self.trouble:
            return self.trouble
        status = self.report.status if self.report is not None else None
        if status is not None and status.question:
            return f"asks: {status.question}"
        if status is not None and (self.running or self.state in FINAL_STATES):
            return status.detail if self.state in FINAL_STATES and status.detail else status.line
        return self.last_event

    @property
    def findings(self) -> str:
        """Open findings of the reviews, and all: "2/5"; "-" = there are none."""
        status = self.report.status if self.report is not None else None
        found = status.findings if status is not None else ()
        return f"{sum(each.open for each in found)}/{len(found)}" if found else "-"

    @property
    def tokens(self) -> int:
        """Input and output tokens of all agents."""
        return self.usage.input_tokens + self.usage.output_tokens

    @property
    def cost_usd(self) -> float:
        """Of all agents, as they say."""
        return self.usage.cost_usd

    @property
    def usage(self) -> Usage:
        """Of all agents, as the run counts it."""
        return spending.of_run(self.report) if self.report is not None else Usage()

    @property
    def budget(self) -> str:
        """What is left of the run's budgets; "-" = it has none."""
        status = self.report.status if self.report is not None else None
        return ", ".join(map(spending.budget, status.budgets if status is not None else ())) or "-"


class ProcessView(msgspec.Struct, frozen=True, kw_only=True):
    """A coding agent's process, or an ended session of one (`pid` 0, or its last pid)."""

    agent: str
    pid: int = 0
    running: bool = True
    active: bool = False
    run: str = ""  # the key of loop's run that it belongs to
    role: str = ""
    session_id: str = ""
    cwd: str = ""
    last_event: str = ""
    last_event_at_ms: int = 0

    @property
    def state(self) -> str:
        """The state, for the user."""
        if not self.running:
            return "ended"
        return "active" if self.active else "idle"


class TmuxView(msgspec.Struct, frozen=True, kw_only=True):
    """A tmux session that loop has made."""

    name: str
    run: str  # the run's key
    attached: int  # clients
    created_at_ms: int
    attach: str  # the command


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, at one moment."""

    at_ms: int
    runs_in: str  # the directory of all runs
    runs: list[RunView]  # those that are running first, then the newest
    processes: list[ProcessView]
    finished: list[ProcessView]
    tmux: list[TmuxView]
    trouble: str = ""  # why a part of it is old


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A process of an agent as the system shows it."""

    pid: int
    agent: str
    session_id: str = ""
    cwd: str = ""


class SessionFile(msgspec.Struct, frozen=True, kw_only=True):
    """The transcript that an agent keeps of a session."""

    agent: str
    session_id: str
    cwd: str
    last_event: str
    last_event_at_ms: int


def since_ms(text: object) -> int:
    """Unix ms of a manifest's ISO-8601 time; 0 when it is none."""
    try:
        return round(datetime.fromisoformat(str(text)).timestamp() * 1000)
    except ValueError:
        return 0


def repository_name(repo_id: str) -> str:
    """Without the hash that makes it unique."""
    name, _, digits = repo_id.rpartition("-")
    return name if name and len(digits) == 12 else repo_id


def with_report(run: RunView, report: Report) -> RunView:
    """The run, with what its root or its journal says."""
    heard = [(actor.last_event_at_ms, actor.last_event) for actor in report.actors if actor.last_event]
    at_ms, event = max([*heard, (run.last_event_at_ms, run.last_event)])
    state = report.status.state if run.running and report.status is not None else run.state
    told = {agent.role: agent for agent in report.agents}
    return replace(
        run,
        report=report,
        state=state,
        cwd=report.cwd or run.cwd,
        agents=run.agents | {role: agent.agent for role, agent in told.items()},
        sessions=run.sessions | {role: agent.session_id for role, agent in told.items() if agent.session_id},
        last_event=event,
        last_event_at_ms=at_ms,
    )


def in_order(runs: Iterable[RunView]) -> list[RunView]:
    """Those that are running first, then the newest first."""
    return sorted(runs, key=lambda each: (each.running, each.created_at_ms, each.key), reverse=True)


class Around(NamedTuple):
    """What else was found on the machine. `owners`: pid → key and role of the run that loop has recorded it for."""

    seen: Sequence[Seen] = ()
    owners: Mapping[int, tuple[str, str]] = {}
    files: Sequence[SessionFile] = ()
    gone: Sequence[ProcessView] = ()  # processes that were seen to end
    tmux: Sequence[TmuxView] = ()
    trouble: str = ""


def snapshot(now_ms: int, runs_in: str, runs: list[RunView], around: Around) -> Snapshot:
    """All of it. `runs` are in order."""
    living = processes(runs, around, now_ms)
    return Snapshot(
        at_ms=now_ms,
        runs_in=runs_in,
        runs=runs,
        processes=living,
        finished=finished(runs, around, living),
        tmux=list(around.tmux),
        trouble=around.trouble,
    )


def processes(runs: Iterable[RunView], around: Around, now_ms: int) -> list[ProcessView]:
    """The agents' processes, with what is known of their sessions: from the run that they belong to, else from the
    transcript that the agent keeps.
    """
    by_key = {run.key: run for run in runs}
    of_session = {session: (run.key, role) for run in by_key.values() for role, session in run.sessions.items()}
    known = {each.session_id: each for each in around.files}
    actors = {actor.pid for run in by_key.values() if run.report is not None for actor in run.report.actors}
    found = []
    for each in around.seen:
        key, role = around.owners.get(each.pid) or of_session.get(each.session_id, ("", ""))
        run = by_key.get(key)
        if each.pid in around.owners and (each.pid in actors or run is None or run.report is None):
            continue  # loop records its actors as well, and only its root can tell them apart
        view = ProcessView(agent=each.agent, pid=each.pid, run=key, role=role, session_id=each.session_id, cwd=each.cwd)
        if run is not None:
            view = _of_run(view, run)
        file = known.get(view.session_id)
        if file is not None and file.last_event_at_ms > view.last_event_at_ms:
            view = replace(view, last_event=file.last_event, last_event_at_ms=file.last_event_at_ms)
        active = view.last_event_at_ms > 0 and now_ms - view.last_event_at_ms <= ACTIVE_MS
        found.append(replace(view, active=active))
    return sorted(found, key=lambda each: (not each.active, -each.last_event_at_ms, each.pid))


def _of_run(view: ProcessView, run: RunView) -> ProcessView:
    view = replace(
        view,
        agent=run.agents.get(view.role, view.agent),
        session_id=run.sessions.get(view.role, view.session_id),
        cwd=view.cwd or run.cwd,
    )
    actors = run.report.actors if run.report is not None else []
    actor = next((each for each in actors if each.name == view.role and each.last_event), None)
    if actor is None:
        return view
    return replace(view, last_event=actor.last_event, last_event_at_ms=actor.last_event_at_ms)


def finished(runs: Iterable[RunView], around: Around, living: Iterable[ProcessView]) -> list[ProcessView]:
    """Ended sessions, newest first: of loop's ended runs, of the agents' own transcripts, and of processes that have
    ended since the start.
    """
    found: dict[str, ProcessView] = {}
    for run in runs:
        for role, session in {} if run.running else run.sessions.items():
            found[session] = ProcessView(
                agent=run.agents.get(role, role),
                running=False,
                run=run.key,
                role=role,
                session_id=session,
                cwd=run.cwd,
                last_event=run.last_event,
                last_event_at_ms=run.last_event_at_ms or run.updated_at_ms,
            )
    for file in around.files:
        before = found.get(file.session_id) or ProcessView(agent=file.agent, running=False)
        found[file.session_id] = replace(
            before,
            session_id=file.session_id,
            cwd=file.cwd or before.cwd,
            last_event=file.last_event or before.last_event,
            last_event_at_ms=max(file.last_event_at_ms, before.last_event_at_ms),
        )
    for process in around.gone:
        found[process.session_id or f"pid {process.pid}"] = replace(process, running=False, active=False)
    alive = {each.session_id for each in living if each.session_id}
    rest = [each for each in found.values() if each.session_id not in alive]
    return sorted(rest, key=lambda each: each.last_event_at_ms, reverse=True)[:FINISHED_SHOWN]
