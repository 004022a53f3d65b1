"""A run's status for consoles, from its state. Pure; used by the RunActor, and by the command line for a run that is
not running.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec.structs import replace

from actors.machines import findings, notifications, projection, run
from actors.machines.durations import span
from actors.machines.run import budgets
from actors.machines.run.state import HoldKind
from actors.messages import OpenTurn, RunStatus, Spent

# The consoles' words. A run that ends because it cannot continue is stopping, like one that the user stops.
_HOLDS: Mapping[HoldKind, Literal["pause", "stop"]] = {"pause": "pause", "ask": "pause", "stop": "stop", "fail": "stop"}


def run_status(state: run.RunState, now_ms: int) -> RunStatus:
    """The status of a started run."""
    commands = run.outstanding(state, now_ms)
    questions = [command.question for command in commands if isinstance(command, run.AskQuestion)]
    waits = [each.until_ms for each in commands if isinstance(each, run.StartCooldown) and each.reason != "cooldown"]
    return RunStatus(
        at_ms=now_ms,
        state=projection.manifest_state(state),
        phase=state.phase.value,
        line=run.describe(state),
        iteration=state.iteration,
        max_iterations=state.run.max_iterations,
        hold=_HOLDS[state.hold.kind] if state.hold is not None else "none",
        waits_for=state.waits_for,
        open_turns=[OpenTurn(turn_id=job.id, role=job.role, purpose=job.purpose) for job in state.open_turns],
        question=questions[0] if questions else "",
        detail=state.detail,
        task=state.task,
        waits_until_ms=min(waits, default=0),
        findings=findings.shown(state.findings),
        budgets=budgets.uses(state),
        running=tuple(Spent(role=each.role, model=each.model, turns=0, usage=each.usage) for each in state.running),
        spent=state.spent,
        notable=notifications.notable(state),
        proof=state.proof,
        relocations=state.relocations,
    )


def counted_down(status: RunStatus, now_ms: int) -> RunStatus:
    """The status with the remaining wait for a provider in its line: "…: retry 4 in 2 m 10 s"."""
    if status.waits_until_ms <= now_ms:
        return status
    return replace(status, line=f"{status.line} in {span(status.waits_until_ms - now_ms)}")
