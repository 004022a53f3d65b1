"""The dialogue of a run with the others: users' requests as its events, its turns and holds as messages. Pure."""

from __future__ import annotations

from actors.machines import run
from actors.messages import (
    AnswerQuestionRequest,
    ControlRun,
    Message,
    Patience,
    PauseTurns,
    ReviewRequest,
    StartTurnRequest,
    SubmitVerdictRequest,
    WaiveFindingRequest,
)
from actors.settings import RunSettings


def asked(message: Message, at_ms: int) -> run.Event | None:
    """The event that a user's request makes; None: the message is no request of a user."""
    match message:
        case WaiveFindingRequest():
            return run.FindingWaived(finding_id=message.finding_id, reason=message.reason)
        case AnswerQuestionRequest():
            return run.QuestionAnswered(text=message.text)
        case SubmitVerdictRequest():
            return run.VerdictSubmitted(approved=message.approved, notes=message.notes, at_ms=at_ms)
        case ReviewRequest():
            return run.ReviewRequested()
        case ControlRun(action="stop"):
            return run.StopRequested(reason=message.reason)
        case ControlRun(action="resume"):
            return run.ResumeRequested()
        case ControlRun():
            return run.PauseRequested(now=message.action == "pause-now")
        case _:
            return None


def start_turn(command: run.StartTurn, left_usd: float | None) -> StartTurnRequest:
    """The request to the agent's actor. `left_usd`: what the run may still cost."""
    return StartTurnRequest(
        turn_id=command.turn_id,
        purpose=command.purpose,
        prompt=command.prompt,
        model=command.model,
        continues=command.continues,
        reminder=command.reminder,
        texts=command.texts,
        left_usd=left_usd,
        within_ms=command.within_ms,
        typed=command.typed,
    )


def hold(state: run.RunState) -> PauseTurns:
    """Holds the sessions while the run is held or over, or its budget used up: queued turns do not start.

    A pausing run waits for its running turn: a turn whose agent was lost is resumed.
    """
    held, over = state.hold, state.phase in run.FINAL_PHASES
    is_interrupted = any(job.interruption() is not None for job in state.jobs)
    takes_effect = state.paused or state.asking
    return PauseTurns(
        held=held is not None or over or run.is_used_up(state),
        finishing=held is not None and held.kind in {"pause", "ask"} and not (over or takes_effect or is_interrupted),
        patience=_patience(state.settings),
        by_grant=run.grants_are_needed(state),
    )


def _patience(settings: RunSettings | None) -> Patience:
    if settings is None:
        return Patience()
    return Patience(silence_ms=settings.silence_ms, tool_ms=settings.tool_timeout_ms, turn_ms=settings.turn_timeout_ms)
