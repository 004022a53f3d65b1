"""How a run stands, for consoles: from its state, wherever that was folded. Pure; used by the worker, and by the
command line for a run that is not running.
"""

from __future__ import annotations

from actors.machines import projection, run
from actors.messages import OpenTurn, RunStatus


def run_status(state: run.RunState, now_ms: int) -> RunStatus:
    """Of a run that has started."""
    questions = [command.question for command in run.outstanding(state, now_ms) if isinstance(command, run.AskFollowUp)]
    return RunStatus(
        at_ms=now_ms,
        state=projection.manifest_state(state),
        phase=state.phase.value,
        line=run.describe(state),
        iteration=state.iteration,
        max_iterations=state.run.max_iterations,
        hold=state.hold.value,
        waits_for=state.waits_for,
        open_turns=[OpenTurn(turn_id=job.id, role=job.role, purpose=job.purpose) for job in state.open_turns],
        question=questions[0] if questions else "",
        detail=state.detail,
        task=state.task,
    )
