"""What other tools read of a run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors import run_states
from actors.machines import projection, run
from actors.messages import TurnOutcome
from actors.settings import RunSettings

AT = "2026-01-31T12:00:00.123Z"
DONE = "<promise>DONE</promise>"
PASS = TurnOutcome(status="finished", text="<review>PASS</review>")
FAIL = TurnOutcome(status="finished", text="rename foo\n<review>FAIL</review>")
DONE_CLAIMED = TurnOutcome(status="finished", text=DONE)
NOT_DONE = TurnOutcome(status="finished", text="half of it")
BROKEN = TurnOutcome(status="failed", error="boom")
INTERRUPTED = TurnOutcome(status="interrupted")


class Run:
    """A run and its transcript; `new` holds the lines of the last event."""

    def __init__(self, **changes: Any) -> None:
        plain = {
            "run_uid": "0e9f3a34-8c28-4a34-9d6b-1f4e3f0d8a11",
            "task": "Fix it.",
            "needs_plan": False,
            "worker": "codex",
            "reviewer": "claude",
            "cooldown_ms": 0,
        }
        self.state = run.initial()
        self.happens(run.RunStarted(settings=RunSettings(**{**plain, **changes})))

    def happens(self, event: run.Event) -> None:
        before = self.state
        self.state, _ = run.decide(before, event, 0)
        self.new = projection.project(before, event, self.state, AT)

    def settle(self, outcome: TurnOutcome, role: str = "worker") -> None:
        [turn] = [job for job in self.state.open_turns if job.role == role]
        self.happens(run.TurnSettled(turn_id=turn.id, outcome=outcome))

    @property
    def lines(self) -> list[dict[str, object]]:
        return [{key: value for key, value in line.items() if key != "at"} for line in self.new]


def status(state: str, detail: str) -> dict[str, object]:
    return {"kind": "status", "state": state, "detail": detail}


def result(word: str, detail: str) -> dict[str, object]:
    return {"kind": "result", "result": word, "detail": detail}


def test_every_line_begins_with_its_time() -> None:
    assert all(next(iter(line.items())) == ("at", AT) for line in Run().new)


def test_the_first_line_says_that_the_run_is_working() -> None:
    assert Run().lines == [status("working", "iteration 1 of 20")]


def test_planning_and_its_review_are_told() -> None:
    story = Run(needs_plan=True)
    assert story.lines == [status("working", "planning")]
    story.settle(NOT_DONE)
    assert story.lines == []
    story.happens(run.PlanRead(read_id="plan-reading", text="1. parser"))
    assert story.lines == [status("working", "plan review")]


def test_each_iteration_is_told_once() -> None:
    story = Run(cooldown_ms=1)
    story.settle(NOT_DONE)
    assert story.lines == []
    story.happens(run.CooldownEnded(wait_id="cooldown-1"))
    assert story.lines == [status("working", "iteration 2 of 20")]


def test_the_done_signal_is_a_result_and_the_review_a_state() -> None:
    story = Run()
    story.settle(DONE_CLAIMED)
    assert story.lines == [result("done-signal-detected", DONE), status("reviewing", "review round 1")]


def test_the_done_signal_in_a_turn_that_failed_is_no_result() -> None:
    story = Run()
    story.settle(TurnOutcome(status="failed", text=DONE))
    assert [line["kind"] for line in story.lines] == ["status"]


def test_the_done_signal_in_a_review_is_no_result() -> None:
    story = Run()
    story.settle(DONE_CLAIMED)
    story.settle(DONE_CLAIMED, "reviewer")
    assert [line["kind"] for line in story.lines] == ["review"]


def test_checks_come_between_the_signal_and_the_review() -> None:
    story = Run(checks=("pytest",))
    story.settle(DONE_CLAIMED)
    assert story.lines == [result("done-signal-detected", DONE), status("working", "checks of iteration 1")]
    failed = run.CheckResult(command="pytest", exit_code=1)
    story.happens(run.ChecksEnded(checks_id="checks-1", results=(failed,)))
    assert story.lines == [status("working", "checks failed")]


def test_a_failed_turn_is_told_with_its_error() -> None:
    story = Run()
    story.settle(BROKEN)
    assert story.lines == [status("working", "iteration 1 of 20: codex's turn failed: boom")]


def test_a_failed_turn_that_ends_the_run_is_told_once_with_the_end() -> None:
    story = Run(max_iterations=1)
    story.settle(BROKEN)
    assert [line["kind"] for line in story.lines] == ["result", "status", "result"]
    assert story.lines[1] == status("stopped", story.state.detail)


def test_a_review_that_passes_is_told_under_the_agents_name() -> None:
    story = Run()
    story.settle(DONE_CLAIMED)
    story.settle(PASS, "reviewer")
    assert story.lines == [{"kind": "review", "reviewer": "claude", "status": "pass"}]


def test_a_review_that_fails_is_told_with_its_reason_and_the_run_works_again() -> None:
    story = Run()
    story.settle(DONE_CLAIMED)
    story.settle(PASS, "reviewer")
    story.settle(FAIL)
    review = {"kind": "review", "reviewer": "codex", "status": "fail", "reason": "rename foo"}
    assert story.lines == [review, status("working", "changes asked for")]


def test_a_reviewer_that_is_left_out_has_given_no_verdict() -> None:
    story = Run(on_unavailable="skip", max_wait_ms=0)
    story.settle(DONE_CLAIMED)
    [turn] = [job for job in story.state.open_turns if job.role == "reviewer"]
    used_up = TurnOutcome(status="limited", error="used up")
    story.happens(run.TurnSettled(turn_id=turn.id, outcome=used_up, at_ms=1_000_000))
    assert [each.verdict.kind for each in story.state.verdicts] == ["limited"]
    assert [line for line in story.lines if line["kind"] == "review"] == []


def test_the_same_verdict_in_the_next_round_is_told_again() -> None:
    story = Run(reviewers=("reviewer",))
    for _ in range(2):
        story.settle(DONE_CLAIMED)
        story.settle(FAIL, "reviewer")
        assert story.lines[0]["kind"] == "review"


def test_approval_leads_to_the_pull_request_and_to_completed_without_another_result() -> None:
    story = Run(reviewers=("reviewer",))
    story.settle(DONE_CLAIMED)
    story.settle(PASS, "reviewer")
    assert story.lines[1:] == [status("working", "draft pull request")]
    story.settle(NOT_DONE)
    assert story.lines == [status("completed", "review approved")]


def test_the_transcript_says_which_pull_request_was_seen() -> None:
    story = Run(reviewers=(), looks_for_pull_request=True)
    story.settle(DONE_CLAIMED)
    story.happens(run.PullRequestProbed(look_id="pull-request-outlook", status=run.PullRequestStatus()))
    assert story.lines == []
    story.settle(NOT_DONE)
    seen = run.PullRequest(url="https://example.org/pull/1", state="OPEN", is_draft=True, branch="polite")
    story.happens(run.PullRequestProbed(look_id="pull-request-look", status=run.PullRequestStatus(found=seen)))
    assert story.lines == [status("completed", "review approved, draft pull request https://example.org/pull/1")]


def test_a_person_is_a_reviewer_named_human() -> None:
    story = Run()
    story.settle(DONE_CLAIMED)
    story.happens(run.VerdictSubmitted(approved=False, notes="too slow"))
    assert story.lines == [{"kind": "review", "reviewer": "human", "status": "fail", "reason": "too slow"}]


def test_a_persons_verdict_that_changed_nothing_is_not_told() -> None:
    story = Run()
    story.happens(run.VerdictSubmitted(approved=True))
    assert story.lines == []
    story.happens(run.VerdictSubmitted(approved=True, at_ms=1_000_000))
    assert story.lines == []


def test_out_of_iterations_with_a_person_waits_for_input() -> None:
    story = Run(max_iterations=1, interactive=True)
    story.settle(NOT_DONE)
    assert story.lines == [result("max-iterations-reached", "1 of 1"), status("input-required", "out of iterations")]
    story.happens(run.QuestionAnswered(text="faster"))
    assert story.lines == [status("working", "follow-up received")]


def test_out_of_iterations_without_a_person_stops() -> None:
    story = Run(max_iterations=1)
    story.settle(NOT_DONE)
    assert [line.get("result", line.get("state")) for line in story.lines] == [
        "max-iterations-reached",
        "stopped",
        "stopped",
    ]


def test_being_out_of_iterations_is_told_once() -> None:
    story = Run(max_iterations=1, interactive=True)
    story.settle(NOT_DONE)
    story.happens(run.QuestionAnswered(text=""))
    assert [line["kind"] for line in story.lines] == ["status", "result"]
    story.happens(run.RunResumed())
    assert story.lines == [status("input-required", "out of iterations")]


def test_a_run_that_was_stopped_and_resumed_tells_its_last_iteration_like_any_other() -> None:
    story = Run(max_iterations=1, interactive=True)
    story.happens(run.StopRequested())
    story.settle(INTERRUPTED)
    story.happens(run.RunResumed())
    story.settle(NOT_DONE)
    assert story.lines == [result("max-iterations-reached", "1 of 1"), status("input-required", "out of iterations")]


def test_a_failure_is_a_state_and_a_result() -> None:
    story = Run(needs_plan=True)
    story.settle(BROKEN)
    detail = "planning: codex's turn failed: boom"
    assert story.lines == [status("failed", detail), result("failed", detail)]


def test_a_stop_is_told_when_it_is_in_force() -> None:
    story = Run()
    story.happens(run.StopRequested(reason="ctrl-c"))
    assert story.lines == []
    story.settle(INTERRUPTED)
    assert story.lines == [status("stopped", "ctrl-c"), result("stopped", "ctrl-c")]
    story.happens(run.RunResumed())
    assert story.lines == [status("working", "iteration 1 of 20")]


def test_a_pause_is_told_when_it_is_in_force_and_when_it_is_over() -> None:
    story = Run()
    story.happens(run.PauseRequested(now=True))
    assert story.lines == []
    story.settle(INTERRUPTED)
    assert story.lines == [status("input-required", "paused in iteration 1 of 20")]
    story.happens(run.ResumeRequested())
    assert story.lines == [status("working", "iteration 1 of 20")]


def test_checks_that_go_on_after_a_pause_have_not_failed() -> None:
    story = Run(checks=("pytest",))
    story.settle(DONE_CLAIMED)
    story.happens(run.PauseRequested(now=True))
    story.happens(run.ResumeRequested())
    assert story.lines == [status("working", "checks of iteration 1")]


def test_a_review_that_goes_on_after_a_pause_has_not_failed() -> None:
    story = Run(reviewers=("reviewer",))
    story.settle(DONE_CLAIMED)
    story.happens(run.PauseRequested(now=True))
    story.settle(INTERRUPTED, "reviewer")
    story.happens(run.ResumeRequested())
    assert story.lines == [status("reviewing", "review round 1")]


def test_a_new_task_is_no_verdict_on_the_old_one() -> None:
    story = Run(reviewers=("reviewer",))
    story.settle(DONE_CLAIMED)
    story.happens(run.PauseRequested(now=True))
    story.settle(INTERRUPTED, "reviewer")
    story.happens(run.RunResumed(settings=msgspec.structs.replace(story.state.run, task="Fix that.")))
    assert story.lines == [status("working", "iteration 1 of 20")]


def test_a_run_that_is_completed_while_a_pause_was_asked_for_is_completed() -> None:
    story = Run(reviewers=())
    story.settle(DONE_CLAIMED)
    story.happens(run.PauseRequested())
    story.settle(NOT_DONE)
    assert story.lines == [status("completed", "review approved")]


def test_an_answer_that_comes_twice_is_told_once() -> None:
    story = Run()
    [turn] = story.state.open_turns
    story.settle(DONE_CLAIMED)
    story.happens(run.TurnSettled(turn_id=turn.id, outcome=DONE_CLAIMED))
    assert story.lines == []


def test_a_run_that_has_not_started_is_submitted() -> None:
    assert projection.manifest_state(run.initial()) == "submitted"


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("submitted", "running"),
        ("working", "running"),
        ("reviewing", "running"),
        ("input-required", "running"),
        ("completed", "done"),
        ("failed", "failed"),
        ("stopped", "stopped"),
    ],
)
def test_older_readers_get_their_own_word(state: Any, word: str) -> None:
    assert run_states.status_of(state) == word
