"""Runs, processes and snapshots as the tests of the dashboard want them."""

from typing import Any

from actors.messages import AgentStatus, RunStatus, Usage
from shell.dashboard.view import ProcessView, RunView, Snapshot, TmuxView
from supervisor.control.protocol import ActorReport, Report

NOW = 1_760_000_000_000
NASTY = "a [/red] \x1b[31mescape\x07 \t in\nthree\r lines, 日本語 and an 🙂 that is long " * 3


def status(**changes: Any) -> RunStatus:
    values: dict[str, Any] = {
        "at_ms": NOW, "state": "working", "phase": "working", "line": "iteration 2 of 20: waits for codex",
        "iteration": 2, "max_iterations": 20, "hold": "none", "waits_for": "codex", "open_turns": [], "question": "",
        "detail": "", "task": "Greet people politely.",
    }  # fmt: skip
    return RunStatus(**(values | changes))


def agent(role: str = "worker", name: str = "codex", **changes: Any) -> AgentStatus:
    values: dict[str, Any] = {
        "role": role, "agent": name, "label": name, "session_id": f"{name}-session", "can_steer": True, "turn_id": "",
        "purpose": "", "since_ms": 0, "waiting": 0, "turns": 2,
        "usage": Usage(input_tokens=12_000, output_tokens=345, cost_usd=0.125),
    }  # fmt: skip
    return AgentStatus(**(values | changes))


def report(**changes: Any) -> Report:
    values: dict[str, Any] = {
        "at_ms": NOW, "run_id": "3", "key": "greeting-0123456789ab/3", "directory": "/home/me/.loop/runs/g/3",
        "cwd": "/work/greeting", "root_pid": 77, "started_at_ms": NOW - 65_000, "status": status(),
        "actors": [
            ActorReport(name="worker", state="busy", pid=78, mailbox=2, doing="work turn", doing_since_ms=NOW - 60_000,
                        last_event="tool: pytest -q", last_event_at_ms=NOW - 4_000),
            ActorReport(name="reviewer", state="running", pid=79),
        ],
        "agents": [agent(), agent("reviewer", "claude")], "dead_letters": 0, "consoles": 0,
    }  # fmt: skip
    return Report(**(values | changes))


def run(number: int = 3, **changes: Any) -> RunView:
    values: dict[str, Any] = {
        "key": f"greeting-0123456789ab/{number}", "run_id": str(number), "repository": "greeting",
        "directory": f"/home/me/.loop/runs/greeting-0123456789ab/{number}", "cwd": "/work/greeting",
        "state": "completed", "running": False, "mode": "paired", "created_at_ms": NOW - number * 3_600_000,
        "updated_at_ms": NOW - 1_000, "agents": {"worker": "codex", "reviewer": "claude"},
        "sessions": {"worker": f"w-{number}", "reviewer": f"r-{number}"}, "last_event": "completed review approved",
        "last_event_at_ms": NOW - 1_000,
    }  # fmt: skip
    return RunView(**(values | changes))


def live(number: int = 3, **changes: Any) -> RunView:
    values: dict[str, Any] = {"state": "working", "running": True, "root_pid": 77, "report": report()}
    return run(number, **(values | changes))


def process(pid: int = 500, **changes: Any) -> ProcessView:
    values: dict[str, Any] = {
        "agent": "claude", "pid": pid, "active": True, "run": "greeting-0123456789ab/3", "role": "worker",
        "session_id": "0a2b21f5-a9d6-4e0e-9c3c-111111111111", "cwd": "/work/greeting", "last_event": "say: done",
        "last_event_at_ms": NOW - 4_000,
    }  # fmt: skip
    return ProcessView(**(values | changes))


def tmux(name: str = "greeting-loop-3") -> TmuxView:
    attach = f"tmux attach -t {name}"
    return TmuxView(name=name, run="greeting-0123456789ab/3", attached=1, created_at_ms=NOW - 60_000, attach=attach)


def snapshot(runs: list[RunView], **changes: Any) -> Snapshot:
    values: dict[str, Any] = {
        "at_ms": NOW, "runs_in": "/home/me/.loop/runs", "runs": runs, "processes": [], "finished": [], "tmux": [],
    }  # fmt: skip
    return Snapshot(**(values | changes))


def much(count: int) -> Snapshot:
    """Many runs, one of them live, with texts that are not nice."""
    first = [live(0, state="reviewing", report=report(status=status(question=NASTY)))] if count else []
    rest = [run(number, last_event=NASTY, cwd=NASTY, repository=NASTY) for number in range(1, count)]
    return snapshot(
        [*first, *rest],
        processes=[process(), process(501, last_event=NASTY, cwd=NASTY, agent="codex", active=False)],
        finished=[process(0, running=False, session_id=f"s-{number}") for number in range(min(count, 20))],
        tmux=[tmux(), tmux(f"{'long' * 20}-loop-4")],
    )
