"""What a user's request is to a run, and how a run holds its agents."""

from __future__ import annotations

import pytest

from actors.machines import run, run_messages
from actors.messages import (
    AnswerQuestionRequest,
    ControlRun,
    Message,
    PeerWrote,
    ReviewRequest,
    SubmitVerdictRequest,
    WaiveFindingRequest,
)
from actors.settings import RunSettings

UID = "0e9f3a34-8c28-4a34-9d6b-1f4e3f0d8a11"


@pytest.mark.parametrize(
    ("request_", "event"),
    [
        (ControlRun(action="stop", reason="enough"), run.StopRequested(reason="enough")),
        (ControlRun(action="resume"), run.ResumeRequested()),
        (ControlRun(action="pause"), run.PauseRequested(now=False)),
        (ControlRun(action="pause-now"), run.PauseRequested(now=True)),
        (AnswerQuestionRequest(text="yes"), run.QuestionAnswered(text="yes")),
        (SubmitVerdictRequest(approved=False, notes="no"), run.VerdictSubmitted(approved=False, notes="no", at_ms=7)),
        (ReviewRequest(), run.ReviewRequested()),
        (WaiveFindingRequest(finding_id=2, reason="old"), run.FindingWaived(finding_id=2, reason="old")),
        (PeerWrote(), None),
    ],
)
def test_a_users_request_is_one_event_and_any_other_message_is_none(request_: Message, event: run.Event | None) -> None:
    assert run_messages.asked(request_, 7) == event


def state_after(*events: run.Event, **settings: object) -> run.RunState:
    plain = {"run_uid": UID, "task": "Fix it.", "needs_plan": False, "worker": "codex", "reviewer": "claude"}
    started = run.RunStarted(settings=RunSettings(**{**plain, **settings}), generation=1)  # type: ignore[arg-type]
    return run.fold([started, *events])


def test_a_run_that_pauses_lets_its_running_turn_finish_and_begins_no_other() -> None:
    plain, pausing = run_messages.hold(state_after()), run_messages.hold(state_after(run.PauseRequested(now=False)))
    assert (plain.held, plain.finishing) == (False, False)
    assert (pausing.held, pausing.finishing) == (True, True)


def test_a_run_that_pauses_at_once_or_stops_resumes_no_turn() -> None:
    for event in (run.PauseRequested(now=True), run.StopRequested(reason="")):
        held = run_messages.hold(state_after(event))
        assert (held.held, held.finishing) == (True, False)


def test_the_patience_with_an_agent_is_that_of_the_settings() -> None:
    patience = run_messages.hold(state_after(silence_ms=1, tool_timeout_ms=2, turn_timeout_ms=3)).patience
    assert patience is not None
    assert (patience.silence_ms, patience.tool_ms, patience.turn_ms) == (1, 2, 3)
