"""The run machine, told as stories. The `Run` helper is what the worker actor is to it: it journals and remembers."""

from __future__ import annotations

import uuid
from typing import Any, TypeVar

import msgspec
import pytest

from actors.errors import IllegalEventError
from actors.machines import backoff, prompts, run
from actors.machines.run import Phase
from actors.messages import TurnOutcome, Usage
from actors.settings import Role, RunSettings

UID = "0e9f3a34-8c28-4a34-9d6b-1f4e3f0d8a11"
NOW = 1_000_000
DONE = "<promise>DONE</promise>"
PASS = "<review>PASS</review>"
FAIL = "<review>FAIL</review>"

C = TypeVar("C", bound=run.Command)


def settings(**changes: Any) -> RunSettings:
    plain: dict[str, Any] = {
        "run_uid": UID,
        "task": "Fix the parser.",
        "needs_plan": False,
        "worker": "codex",
        "reviewer": "claude",
    }
    return RunSettings(**{**plain, **changes})


def finished(text: str = "") -> TurnOutcome:
    return TurnOutcome(status="finished", text=text)


def failed(error: str = "boom") -> TurnOutcome:
    return TurnOutcome(status="failed", error=error)


def limited(resets_at_ms: int | None = None) -> TurnOutcome:
    return TurnOutcome(status="limited", error="limit", resets_at_ms=resets_at_ms)


INTERRUPTED = TurnOutcome(status="interrupted")


class Run:
    """A run in the making: `commands` are those of the last event."""

    def __init__(self, **changes: Any) -> None:
        self.state = run.initial()
        self.journal: list[run.Event] = []
        self.commands: list[run.Command] = []
        self.now_ms = NOW
        self.timed = False  # whether events say when they happened, as those of today do
        self.happens(run.RunStarted(settings=settings(**changes)))

    @property
    def at_ms(self) -> int:
        return self.now_ms if self.timed else 0

    def happens(self, event: run.Event) -> None:
        self.state, self.commands = run.decide(self.state, event, self.now_ms)
        self.journal.append(event)

    def all(self, kind: type[C]) -> list[C]:
        return [command for command in self.commands if isinstance(command, kind)]

    def one(self, kind: type[C]) -> C:
        [found] = self.all(kind)
        return found

    def open(self, role: Role = "worker") -> run.StartTurn:
        [turn] = [
            command
            for command in run.outstanding(self.state, self.now_ms)
            if isinstance(command, run.StartTurn) and command.role == role
        ]
        return turn

    def settle(self, outcome: TurnOutcome, role: Role = "worker") -> None:
        self.happens(run.TurnSettled(turn_id=self.open(role).turn_id, outcome=outcome, at_ms=self.at_ms))

    def reviews(self, worker: str, reviewer: str) -> None:
        self.settle(finished(worker))
        self.settle(finished(reviewer), "reviewer")

    def wait(self) -> None:
        [job] = [each for each in run.outstanding(self.state, self.now_ms) if isinstance(each, run.StartCooldown)]
        self.now_ms = job.until_ms
        self.happens(run.CooldownEnded(wait_id=job.wait_id))

    def reads(self, text: str | None, error: str = "") -> None:
        [job] = [each for each in run.outstanding(self.state, self.now_ms) if isinstance(each, run.ReadPlan)]
        self.happens(run.PlanRead(read_id=job.read_id, text=text, error=error))

    def checks(self, *exit_codes: int) -> None:
        [job] = [each for each in run.outstanding(self.state, self.now_ms) if isinstance(each, run.RunChecks)]
        results = tuple(
            run.CheckResult(command=command, exit_code=code, output_tail=f"output of {command}\n")
            for command, code in zip(job.commands, exit_codes, strict=False)
        )
        self.happens(run.ChecksEnded(checks_id=job.checks_id, results=results))

    def sees(self, status: run.PullRequestStatus) -> None:
        [look] = [each for each in run.outstanding(self.state, self.now_ms) if isinstance(each, run.ProbePullRequest)]
        self.happens(run.PullRequestProbed(look_id=look.look_id, status=status))

    def said(self) -> str:
        return "\n".join(each.text for each in self.all(run.Notice))


def in_review(**changes: Any) -> Run:
    story = Run(**changes)
    story.settle(finished(DONE))
    assert story.state.phase is Phase.REVIEWING
    return story


# --- waiting for a task ---


def test_a_run_without_a_task_waits_for_one_and_plans_it() -> None:
    story = Run(task="", open_ended=True)
    assert story.state.phase is Phase.AWAITING_TASK
    assert story.one(run.AskQuestion).question == "What is to be done?"
    story.happens(run.QuestionAnswered(text=" Fix the parser. "))
    assert (story.state.phase, story.open().purpose) == (Phase.PLANNING, "plan")
    assert "Fix the parser." in story.open().prompt


@pytest.mark.parametrize("interactive", [False, True])
def test_an_iteration_that_a_resume_takes_away_during_a_cool_down_does_not_start(*, interactive: bool) -> None:
    fewer = settings(interactive=interactive, max_iterations=2, given=("max_iterations",), only_given=True)
    story = Run(max_iterations=5, interactive=interactive, counts_at_start=True)
    for _ in range(2):
        story.settle(finished("more to do"))
        if story.state.iteration == 1:
            story.wait()
    assert story.state.phase is Phase.COOLDOWN
    story.happens(run.RunResumed(settings=fewer))
    story.wait()
    assert story.state.phase is (Phase.FOLLOW_UP if interactive else Phase.STOPPED)
    assert story.all(run.StartTurn) == []


def test_a_blank_line_is_no_task_and_ends_nothing() -> None:
    story = Run(task="", open_ended=True)
    story.happens(run.QuestionAnswered(text="  "))
    assert story.state.phase is Phase.AWAITING_TASK
    assert "there is no task yet" in story.said()


def approve(story: Run) -> None:
    story.settle(finished(DONE))
    story.reviews(PASS, PASS)
    story.settle(finished("opened"))


def test_an_open_ended_run_waits_for_the_next_task_when_one_is_completed() -> None:
    story = Run(open_ended=True)
    approve(story)
    assert story.state.phase is Phase.AWAITING_TASK
    assert story.said() == "completed: review approved"
    assert run.describe(story.state) == "1 task completed: waits for the user's answer"
    story.happens(run.QuestionAnswered(text="Now the lexer."))
    story.settle(finished("planned"))
    assert story.state.phase is Phase.READING_PLAN


def test_to_stop_after_the_last_task_is_to_complete_the_run() -> None:
    story = Run(open_ended=True)
    approve(story)
    story.happens(run.StopRequested())
    assert story.one(run.EndRun) == run.EndRun(state="completed", detail="1 task completed")


def test_to_stop_before_the_first_task_is_to_stop() -> None:
    story = Run(task="", open_ended=True)
    story.happens(run.StopRequested(reason="enough"))
    assert story.one(run.EndRun).state == "stopped"
    story.happens(run.RunResumed())
    assert story.state.phase is Phase.AWAITING_TASK


def test_a_completed_open_ended_run_that_is_resumed_waits_for_the_next_task() -> None:
    story = Run(open_ended=True)
    approve(story)
    story.happens(run.StopRequested())
    story.happens(run.RunResumed())
    assert story.state.phase is Phase.AWAITING_TASK


def test_a_run_that_is_to_exit_waits_for_its_first_task_and_for_no_other() -> None:
    story = Run(task="", open_ended=False)
    story.happens(run.QuestionAnswered(text="Fix the parser."))
    story.settle(finished("planned"))
    story.reads("1. parser")
    story.settle(finished("fine"), "reviewer")
    story.reads("1. parser")
    approve(story)
    assert story.one(run.EndRun).state == "completed"


def test_a_run_that_is_resumed_to_exit_ends_with_its_task() -> None:
    story = Run(open_ended=True)
    story.happens(
        run.RunResumed(settings=msgspec.structs.replace(story.state.run, open_ended=False, given=("open_ended",)))
    )
    approve(story)
    assert story.one(run.EndRun).state == "completed"


def test_a_pause_while_waiting_for_a_task_is_no_second_wait() -> None:
    story = Run(task="", open_ended=True)
    story.happens(run.PauseRequested())
    assert not story.state.paused
    assert story.state.phase is Phase.AWAITING_TASK


# --- from prompt to plan ---


def test_plain_text_is_planned_reviewed_and_read_before_the_work_begins() -> None:
    story = Run(needs_plan=True)
    assert (story.open().purpose, story.state.phase) == ("plan", Phase.PLANNING)
    story.settle(finished("written"))
    story.reads("1. parser")
    assert (story.open("reviewer").purpose, story.state.phase) == ("plan-review", Phase.PLAN_REVIEW)
    story.settle(finished("improved"), "reviewer")
    story.reads("1. lexer\n2. parser\n")
    assert story.state.task == "1. lexer\n2. parser"
    assert "1. lexer" in story.open().prompt
    assert story.open().purpose == "work"


def test_a_plan_that_nobody_reviews_is_the_task_at_once() -> None:
    story = Run(needs_plan=True, plan_reviewer=None)
    story.settle(finished())
    story.reads("1. parser")
    assert story.open().purpose == "work"


def test_the_plan_can_be_reviewed_by_the_primary_agent_itself() -> None:
    story = Run(needs_plan=True, plan_reviewer="worker", worker_model="big", worker_review_model="small")
    assert story.open().model == "big"
    story.settle(finished())
    story.reads("1. parser")
    assert (story.open().purpose, story.open().model) == ("plan-review", "small")


def test_a_task_from_a_file_is_worked_on_without_planning() -> None:
    assert Run().open().prompt.startswith("Iteration 1\n")


@pytest.mark.parametrize("outcome", [failed("no login"), INTERRUPTED])
def test_a_plan_turn_that_does_not_finish_fails_the_run(outcome: TurnOutcome) -> None:
    story = Run(needs_plan=True)
    story.settle(outcome)
    assert story.state.open_turns == ()
    assert story.one(run.EndRun).state == "failed"
    assert outcome.error in story.one(run.EndRun).detail


def test_a_plan_review_that_does_not_finish_fails_the_run() -> None:
    story = Run(needs_plan=True)
    story.settle(finished())
    story.reads("1. parser")
    story.settle(failed("no login"), "reviewer")
    assert story.one(run.EndRun).state == "failed"
    assert "claude" in story.one(run.EndRun).detail


@pytest.mark.parametrize(("text", "why"), [(None, "there is no PLAN.md"), ("", "is empty"), (" \n", "is empty")])
def test_planning_without_a_plan_fails_the_run(text: str | None, why: str) -> None:
    story = Run(needs_plan=True)
    story.settle(finished())
    story.reads(text)
    assert story.one(run.EndRun).state == "failed"
    assert why in story.one(run.EndRun).detail


def test_a_plan_that_its_reviewer_has_deleted_fails_the_run() -> None:
    story = Run(needs_plan=True)
    story.settle(finished())
    story.reads("1. parser")
    story.settle(finished(), "reviewer")
    story.reads(None, "no such file")
    assert "no such file" in story.one(run.EndRun).detail


def test_a_run_that_failed_in_planning_plans_again_when_it_is_resumed() -> None:
    story = Run(needs_plan=True)
    first = story.open().turn_id
    story.settle(failed())
    story.happens(run.RunResumed())
    assert story.one(run.StartTurn).purpose == "plan"
    assert story.one(run.StartTurn).turn_id != first


def test_a_run_that_failed_in_plan_review_asks_the_reviewer_again_when_it_is_resumed() -> None:
    story = Run(needs_plan=True)
    story.settle(finished())
    story.reads("1. parser")
    story.settle(failed(), "reviewer")
    story.happens(run.RunResumed())
    assert story.open("reviewer").purpose == "plan-review"
    story.settle(finished(), "reviewer")
    story.reads("1. parser")
    assert story.open().purpose == "work"


# --- iterations ---


def test_without_the_done_signal_the_next_iteration_follows_after_the_cool_down() -> None:
    story = Run(cooldown_ms=30_000)
    story.settle(finished("half of it"))
    cooldown = story.one(run.StartCooldown)
    assert (cooldown.ms, cooldown.until_ms, cooldown.reason) == (30_000, NOW + 30_000, "cooldown")
    story.wait()
    assert story.one(run.StartTurn).prompt.startswith("Iteration 2\n")


def test_with_a_cool_down_of_zero_the_next_iteration_follows_at_once() -> None:
    story = Run(cooldown_ms=0)
    story.settle(finished("half of it"))
    assert story.one(run.StartTurn).prompt.startswith("Iteration 2\n")


def test_a_failed_turn_does_not_end_the_run_but_is_reported_with_the_resume_hint() -> None:
    story = Run()
    story.settle(failed("exit code 1"))
    [report] = story.all(run.Notice)
    assert report.error
    assert report.resume_hint
    assert "exit code 1" in report.text
    assert story.state.phase is Phase.COOLDOWN


def test_a_done_signal_in_a_turn_that_failed_does_not_count() -> None:
    story = Run()
    story.settle(TurnOutcome(status="failed", text=DONE, error="boom"))
    assert story.state.phase is Phase.COOLDOWN


def test_a_turn_that_somebody_interrupted_spends_its_iteration_but_is_no_failure() -> None:
    story = Run(cooldown_ms=0)
    for _ in range(run.MAX_FAILURES_IN_A_ROW + 1):
        story.settle(INTERRUPTED)
    assert story.state.iteration == run.MAX_FAILURES_IN_A_ROW + 2
    assert story.state.failures == 0


def test_failures_in_a_row_end_the_run_before_all_iterations_are_burnt() -> None:
    story = Run(cooldown_ms=0)
    for _ in range(run.MAX_FAILURES_IN_A_ROW):
        story.settle(failed("bad key"))
    assert story.one(run.EndRun).state == "failed"
    assert "bad key" in story.one(run.EndRun).detail
    assert story.state.iteration < story.state.run.max_iterations


def test_failures_up_to_the_last_iteration_are_a_question_for_a_person() -> None:
    story = Run(cooldown_ms=0, max_iterations=run.MAX_FAILURES_IN_A_ROW, interactive=True)
    for _ in range(run.MAX_FAILURES_IN_A_ROW):
        story.settle(failed())
    assert story.one(run.AskQuestion)


def test_a_finished_turn_ends_a_row_of_failures() -> None:
    story = Run(cooldown_ms=0, max_iterations=50)
    for _ in range(3):
        for _ in range(run.MAX_FAILURES_IN_A_ROW - 1):
            story.settle(failed())
        story.settle(finished())
    assert story.state.phase is Phase.WORKING


def test_a_run_that_failed_by_failures_in_a_row_goes_on_with_the_next_iteration_when_it_is_resumed() -> None:
    story = Run(cooldown_ms=0)
    for _ in range(run.MAX_FAILURES_IN_A_ROW):
        story.settle(failed())
    story.happens(run.RunResumed())
    assert story.open().prompt.startswith(f"Iteration {run.MAX_FAILURES_IN_A_ROW + 1}\n")
    story.settle(failed())
    assert story.state.phase is Phase.WORKING


def test_out_of_iterations_without_a_person_the_run_stops() -> None:
    story = Run(max_iterations=1)
    story.settle(finished("half of it"))
    assert story.one(run.EndRun).state == "stopped"


def test_out_of_iterations_a_person_is_asked() -> None:
    story = Run(max_iterations=1, interactive=True)
    story.settle(finished("half of it"))
    assert "iteration 1 of 1 is over" in story.one(run.AskQuestion).question
    assert story.state.phase is Phase.FOLLOW_UP


def test_a_blank_follow_up_stops_the_run() -> None:
    story = Run(max_iterations=1, interactive=True)
    story.settle(finished())
    story.happens(run.QuestionAnswered(text=" \n"))
    assert story.one(run.EndRun).state == "stopped"


def test_a_follow_up_extends_the_task_and_the_iterations_start_again() -> None:
    story = Run(max_iterations=2, cooldown_ms=0, interactive=True)
    story.settle(finished())
    story.settle(finished())
    story.happens(run.QuestionAnswered(text=" Use a table. "))
    turn = story.one(run.StartTurn)
    assert turn.prompt.startswith("Iteration 1\n")
    assert "Fix the parser.\n\nFollow-up:\nUse a table." in turn.prompt
    story.settle(finished())
    assert story.open().prompt.startswith("Iteration 2\n")


def test_a_follow_up_begins_a_new_row_of_failures() -> None:
    story = Run(max_iterations=run.MAX_FAILURES_IN_A_ROW, cooldown_ms=0, interactive=True)
    for _ in range(run.MAX_FAILURES_IN_A_ROW):
        story.settle(failed())
    story.happens(run.QuestionAnswered(text="try again"))
    story.settle(failed())
    assert story.state.phase is Phase.WORKING


def test_a_second_follow_up_is_added_to_the_first() -> None:
    story = Run(max_iterations=1, interactive=True)
    story.settle(finished())
    story.happens(run.QuestionAnswered(text="one"))
    story.settle(finished())
    story.happens(run.QuestionAnswered(text="two"))
    assert story.state.task.endswith("Follow-up:\none\n\nFollow-up:\ntwo")


# --- ids ---


def test_turn_ids_are_uuids_that_follow_from_the_run_and_the_step() -> None:
    assert Run().open().turn_id == str(uuid.uuid5(uuid.UUID(UID), "iteration-1"))
    assert Run(run_uid=str(uuid.UUID(int=1))).open().turn_id != Run().open().turn_id


def test_no_turn_id_is_used_twice_not_even_for_the_same_iteration_number_after_a_follow_up() -> None:
    story = Run(max_iterations=1, interactive=True)
    ids = [story.open().turn_id]
    for _ in range(3):
        story.settle(finished())
        story.happens(run.QuestionAnswered(text="more"))
        ids.append(story.open().turn_id)
    assert len(set(ids)) == 4


# --- checks ---


def test_done_with_checks_runs_them_before_any_review() -> None:
    story = Run(checks=("pytest", "ruff"))
    story.settle(finished(DONE))
    assert story.one(run.RunChecks).commands == ("pytest", "ruff")
    assert not story.all(run.StartTurn)


def test_checks_that_pass_lead_to_the_review() -> None:
    story = Run(checks=("pytest", "ruff"))
    story.settle(finished(DONE))
    story.checks(0, 0)
    assert story.state.phase is Phase.REVIEWING


def test_checks_that_fail_spare_the_reviewers_and_their_output_goes_into_the_next_iteration() -> None:
    story = Run(checks=("pytest", "ruff"), cooldown_ms=0)
    story.settle(finished(DONE))
    story.checks(0, 1)
    turn = story.one(run.StartTurn)
    assert turn.purpose == "work"
    assert "[checks] `ruff` exited with 1:\noutput of ruff" in turn.prompt
    assert "output of pytest" not in turn.prompt
    assert story.said() == "checks failed: ruff exited with 1, its last words: output of ruff"


def test_a_check_that_had_no_exit_status_of_its_own_is_named_with_what_became_of_it() -> None:
    story = Run(checks=("make test",), cooldown_ms=0, check_timeout_s=90)
    story.settle(finished(DONE))
    [order] = story.all(run.RunChecks)
    assert order.timeout_s == 90
    tail, error = "w\nx\n \n", "was ended after 90 s"
    result = run.CheckResult(command="make test", exit_code=124, output_tail=tail, error=error, output="/run/1.log")
    story.happens(run.ChecksEnded(checks_id=order.checks_id, results=(result,)))
    assert story.said() == "checks failed: make test was ended after 90 s, its last words: x (/run/1.log)"
    assert "`make test` was ended after 90 s:\nw\nx\n" in story.open().prompt


def test_checks_that_were_not_all_run_prove_nothing() -> None:
    story = Run(checks=("pytest", "ruff"))
    story.settle(finished(DONE))
    story.checks(0)
    assert story.state.phase is Phase.COOLDOWN
    assert story.said() == "checks failed: not all of the check commands were run"


def test_notes_are_gone_once_a_turn_that_had_them_is_finished() -> None:
    story = Run(checks=("pytest",), cooldown_ms=0)
    story.settle(finished(DONE))
    story.checks(1)
    story.settle(finished("looking"))
    assert "[checks]" not in story.open().prompt


def test_notes_stay_when_the_turn_that_had_them_failed() -> None:
    story = Run(checks=("pytest",), cooldown_ms=0)
    story.settle(finished(DONE))
    story.checks(1)
    story.settle(failed())
    assert "[checks] `pytest`" in story.open().prompt


# --- review ---


def test_on_done_all_reviewers_start_at_once_each_in_its_own_session() -> None:
    story = in_review()
    assert {turn.role for turn in story.all(run.StartTurn)} == {"worker", "reviewer"}
    assert {turn.prompt.splitlines()[0] for turn in story.all(run.StartTurn)} == {"Review round 1"}
    assert {turn.purpose for turn in story.all(run.StartTurn)} == {"review"}


def test_reviews_use_the_review_models() -> None:
    story = in_review(worker_model="a", worker_review_model="b", reviewer_model="c")
    assert (story.open().model, story.open("reviewer").model) == ("b", "c")


def test_the_workers_review_model_falls_back_to_its_model() -> None:
    assert in_review(worker_model="a").open().model == "a"


def test_nothing_follows_before_the_last_reviewer_is_through() -> None:
    story = in_review()
    story.settle(finished(f"bad\n{FAIL}"), "reviewer")
    assert story.commands == []
    assert story.state.waits_for == "codex"


def test_when_all_pass_the_primary_agent_makes_the_pull_request_and_the_run_is_completed() -> None:
    story = in_review()
    story.reviews(PASS, PASS)
    assert (story.one(run.StartTurn).role, story.one(run.StartTurn).purpose) == ("worker", "pull-request")
    story.settle(finished("https://example.org/pull/1"))
    assert story.one(run.EndRun).state == "completed"


@pytest.mark.parametrize("outcome", [failed("no gh"), INTERRUPTED])
def test_approved_work_is_completed_also_when_the_pull_request_fails(outcome: TurnOutcome) -> None:
    story = in_review()
    story.reviews(PASS, PASS)
    story.settle(outcome)
    assert story.one(run.EndRun).state == "completed"
    assert "pull request" in story.one(run.EndRun).detail
    assert story.one(run.Notice).error


def test_a_single_reviewer_decides_alone() -> None:
    story = in_review(reviewers=("reviewer",))
    story.settle(finished(PASS), "reviewer")
    assert story.state.phase is Phase.PULL_REQUEST


def test_without_reviewers_done_is_done() -> None:
    story = Run(reviewers=())
    story.settle(finished(DONE))
    assert story.state.phase is Phase.PULL_REQUEST


def test_one_fail_is_enough_and_its_notes_go_into_the_next_iteration() -> None:
    story = in_review(cooldown_ms=0)
    story.reviews(PASS, f"rename foo\n{FAIL}")
    prompt = story.one(run.StartTurn).prompt
    assert "[claude] rename foo" in prompt
    assert "[codex]" not in prompt
    assert "stronger signal" not in prompt


def test_when_both_fail_the_next_prompt_says_so_in_the_order_of_the_reviewers() -> None:
    story = in_review(cooldown_ms=0)
    story.settle(finished(f"rename foo\n{FAIL}"), "reviewer")
    story.settle(finished(f"no test\n{FAIL}"))
    prompt = story.one(run.StartTurn).prompt
    assert prompt.index("[codex] no test") < prompt.index("[claude] rename foo")
    assert "stronger signal" in prompt


def test_a_reviewer_whose_turn_failed_counts_as_fail_with_the_cause() -> None:
    story = in_review(cooldown_ms=0)
    story.settle(failed("exit code 3"), "reviewer")
    story.settle(finished(PASS))
    assert "[claude] the review could not be done: exit code 3" in story.one(run.StartTurn).prompt


def test_a_reviewer_that_somebody_interrupted_counts_as_fail() -> None:
    story = in_review(cooldown_ms=0)
    story.settle(INTERRUPTED, "reviewer")
    story.settle(finished(PASS))
    assert "[claude] the review could not be done: interrupted" in story.one(run.StartTurn).prompt


def test_a_review_without_a_proper_verdict_counts_as_fail_with_the_reason() -> None:
    story = in_review(cooldown_ms=0)
    story.reviews(PASS, "fine by me")
    assert "[claude] the review has no verdict" in story.one(run.StartTurn).prompt


def test_notes_that_reached_the_primary_agent_over_the_bridge_are_not_repeated_but_a_self_reviews_are() -> None:
    story = in_review(cooldown_ms=0)
    story.happens(run.MailReachedWorker(sender="claude", text="rename foo"))
    story.reviews(f"no test\n{FAIL}", f"rename foo\n{FAIL}")
    prompt = story.one(run.StartTurn).prompt
    assert "rename foo" not in prompt
    assert "[codex] no test" in prompt
    assert "[claude]" in prompt


def test_an_agent_that_never_came_to_the_bridge_is_not_told_to_use_it_until_it_comes() -> None:
    story = in_review(cooldown_ms=0)
    assert "send_message" in story.open("reviewer").prompt
    for role in ("worker", "reviewer", "worker"):
        story.happens(run.ContactChanged(role=role, comes=False))
    story.reviews(PASS, f"rename foo\n{FAIL}")
    assert "loop-bridge" not in story.one(run.StartTurn).prompt
    story.settle(finished(DONE))
    assert all("send_message" not in order.prompt for order in story.all(run.StartTurn))
    for role in ("worker", "reviewer"):
        story.happens(run.ContactChanged(role=role, comes=True))
    story.reviews(PASS, f"rename foo\n{FAIL}")
    assert "loop-bridge" in story.one(run.StartTurn).prompt


def test_notes_that_arrive_over_the_bridge_during_the_cool_down_are_not_repeated_either() -> None:
    story = in_review()
    story.reviews(PASS, f"rename foo\n{FAIL}")
    story.happens(run.MailReachedWorker(sender="claude", text="rename foo"))
    story.wait()
    assert "rename foo" not in story.one(run.StartTurn).prompt


def test_why_there_was_no_verdict_is_told_even_when_mail_came() -> None:
    story = in_review(cooldown_ms=0)
    story.happens(run.MailReachedWorker(sender="claude"))
    story.reviews(PASS, "fine by me")
    assert "[claude] the review has no verdict" in story.one(run.StartTurn).prompt


def test_mail_from_before_the_review_does_not_swallow_its_notes() -> None:
    story = Run(cooldown_ms=0)
    story.happens(run.MailReachedWorker(sender="claude", text="how is it going"))
    story.settle(finished(DONE))
    story.reviews(PASS, f"rename foo\n{FAIL}")
    assert "[claude] rename foo" in story.one(run.StartTurn).prompt


def test_review_rounds_are_counted_over_the_whole_run() -> None:
    story = in_review(cooldown_ms=0)
    story.reviews(PASS, FAIL)
    story.settle(finished(DONE))
    assert story.open("reviewer").prompt.startswith("Review round 2\n")


def test_each_round_is_judged_by_its_own_verdicts() -> None:
    story = in_review(cooldown_ms=0)
    story.reviews(FAIL, FAIL)
    story.settle(finished(DONE))
    story.reviews(PASS, PASS)
    assert story.state.phase is Phase.PULL_REQUEST


def test_in_single_agent_mode_labels_tell_the_two_sessions_apart_and_nobody_hears_of_a_bridge() -> None:
    story = in_review(cooldown_ms=0, paired=False, reviewer="codex")
    assert "bridge" not in story.open("reviewer").prompt
    story.reviews(f"a\n{FAIL}", f"b\n{FAIL}")
    prompt = story.one(run.StartTurn).prompt
    assert "[codex] a" in prompt
    assert "[codex-reviewer] b" in prompt
    assert "bridge" not in prompt


def test_in_a_pair_the_worker_hears_of_its_peer_and_the_reviewer_of_the_worker() -> None:
    story = Run()
    assert '"claude"' in story.open().prompt
    story.settle(finished(DONE))
    assert '"codex"' in story.open("reviewer").prompt
    assert "send_message" not in story.open().prompt


# --- the pull request, looked for ---

URL = "https://example.org/pull/1"


def lacking(what: run.Missing) -> run.PullRequestStatus:
    return run.PullRequestStatus(lacks=what, reason=f"no {what} here")


def found(**changes: Any) -> run.PullRequestStatus:
    plain: dict[str, Any] = {"url": URL, "state": "OPEN", "is_draft": True, "branch": "polite"}
    return run.PullRequestStatus(found=run.PullRequest(**{**plain, **changes}))


def approved() -> Run:
    story = in_review(looks_for_pull_request=True)
    story.reviews(PASS, PASS)
    return story


def asked_for_pull_request() -> Run:
    story = approved()
    story.sees(run.PullRequestStatus())
    return story


def test_the_agent_is_asked_for_a_pull_request_once_it_is_known_that_there_can_be_one() -> None:
    story = approved()
    assert story.commands == [run.ProbePullRequest(look_id="pull-request-outlook", ahead=True)]
    story.sees(run.PullRequestStatus())
    assert story.one(run.StartTurn).prompt == prompts.pull_request("Fix the parser.")


def test_a_worker_that_is_away_is_asked_only_to_commit_and_that_is_no_trouble() -> None:
    story = approved()
    story.sees(run.PullRequestStatus(lacks="away"))
    prompt = story.one(run.StartTurn).prompt
    assert "Do not push" in prompt
    assert "gh pr create" not in prompt
    assert story.all(run.Notice) == []


@pytest.mark.parametrize(("what", "told"), [("remote", "There is no remote here"), ("gh", "is not installed here")])
def test_without_a_remote_or_gh_the_agent_commits_and_is_told_why_that_is_all(what: run.Missing, told: str) -> None:
    story = approved()
    story.sees(lacking(what))
    assert story.said() == f"there will be no pull request: no {what} here"
    prompt = story.one(run.StartTurn).prompt
    assert told in prompt
    assert "gh pr create" not in prompt


def test_outside_a_repository_there_is_nothing_to_publish_and_the_run_is_completed() -> None:
    story = approved()
    story.sees(lacking("repository"))
    assert story.one(run.EndRun) == run.EndRun(
        state="completed", detail="review approved, no pull request: no repository here"
    )


@pytest.mark.parametrize(
    ("status", "detail"),
    [
        (found(), f"draft pull request {URL}"),
        (found(is_draft=False), f"pull request {URL}, which is not a draft"),
        (found(state="MERGED"), f"but the pull request of polite is merged: {URL}"),
        (lacking("login"), "no pull request: no login here"),
        (lacking("answer"), "but whether there is a pull request is not known: no answer here"),
    ],
)
def test_the_run_is_completed_and_says_what_was_seen_whatever_the_agent_has_said(
    status: run.PullRequestStatus, detail: str
) -> None:
    story = asked_for_pull_request()
    story.settle(finished("It is open: https://example.org/pull/7"))
    assert story.commands == [run.ProbePullRequest(look_id="pull-request-look", ahead=False)]
    story.sees(status)
    assert story.one(run.EndRun) == run.EndRun(state="completed", detail=f"review approved, {detail}")
    assert story.state.pull_request == status.found


def test_a_turn_that_failed_may_have_opened_the_pull_request_before() -> None:
    story = asked_for_pull_request()
    story.settle(failed("lost the connection"))
    assert "lost the connection" in story.said()
    story.sees(found())
    assert story.one(run.EndRun).detail == f"review approved, draft pull request {URL}"


def test_after_a_crash_only_the_look_is_repeated() -> None:
    story = asked_for_pull_request()
    story.settle(finished())
    assert run.outstanding(run.fold(story.journal), NOW) == story.commands


def test_a_stop_does_not_wait_for_the_look_and_it_is_made_when_the_run_goes_on() -> None:
    story = asked_for_pull_request()
    story.settle(finished())
    look = story.one(run.ProbePullRequest)
    story.happens(run.StopRequested())
    assert story.state.phase is Phase.STOPPED
    story.happens(run.RunResumed())
    assert story.one(run.ProbePullRequest).look_id != look.look_id
    story.happens(run.PullRequestProbed(look_id=look.look_id, status=lacking("answer")))
    assert story.commands == []
    story.sees(found())
    assert story.state.phase is Phase.COMPLETED


def test_a_journal_of_before_the_look_comes_to_what_it_came_to_then() -> None:
    story = in_review()
    story.reviews(PASS, PASS)
    story.settle(finished(URL))
    recorded = [(type(event), msgspec.json.encode(event)) for event in story.journal]
    kind, body = recorded[0]
    assert b',"looks_for_pull_request":false' in body
    recorded[0] = (kind, body.replace(b',"looks_for_pull_request":false', b""))
    state = run.fold(msgspec.json.decode(body, type=kind) for kind, body in recorded)
    assert (state.phase, state.detail) == (Phase.COMPLETED, "review approved")


def test_a_run_of_before_the_look_is_looked_after_once_it_goes_on() -> None:
    story = in_review()
    story.reviews(PASS, PASS)
    story.happens(run.RunResumed(settings=settings(task="", looks_for_pull_request=True)))
    story.settle(finished())
    assert story.one(run.ProbePullRequest).ahead is False


def test_a_new_task_has_no_pull_request_yet() -> None:
    story = asked_for_pull_request()
    story.settle(finished())
    story.sees(found())
    story.happens(run.RunResumed(settings=settings(task="Fix the lexer.")))
    assert story.state.pull_request is None


# --- limits ---


def test_a_limit_is_waited_out_until_it_resets_and_spends_no_iteration() -> None:
    story = Run()
    first = story.open()
    story.settle(limited(NOW + 3_600_000))
    assert story.one(run.StartCooldown).until_ms == NOW + 3_600_000 + backoff.LIMIT_MARGIN_MS
    assert story.one(run.StartCooldown).reason == "limit"
    story.wait()
    again = story.one(run.StartTurn)
    assert (again.purpose, again.turn_id != first.turn_id) == ("work", True)
    assert again.prompt.startswith("Iteration 1 (continued)\n")
    assert story.state.iteration == 1


def test_without_a_reset_time_the_waits_grow_to_half_an_hour_and_no_further() -> None:
    story = Run()
    waits = []
    for _ in range(8):
        story.settle(limited())
        waits.append(story.one(run.StartCooldown).ms // 60_000)
        story.wait()
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_provider_that_names_a_past_reset_time_again_and_again_is_not_hammered() -> None:
    story = Run()
    waits = []
    for _ in range(4):
        story.settle(limited(NOW - 1))
        waits.append(story.one(run.StartCooldown).ms)
        story.wait()
    assert waits == [backoff.LIMIT_MARGIN_MS, 60_000, 120_000, 240_000]


def test_limits_are_no_failures() -> None:
    story = Run()
    for _ in range(run.MAX_FAILURES_IN_A_ROW + 1):
        story.settle(limited())
        story.wait()
    assert (story.state.failures, story.state.phase) == (0, Phase.WORKING)


def test_a_reviewer_at_its_limit_is_asked_again_and_its_silence_is_no_fail() -> None:
    story = in_review()
    story.settle(limited(NOW + 60_000), "reviewer")
    story.settle(finished(PASS))
    assert story.state.phase is Phase.REVIEWING
    story.wait()
    story.settle(finished(PASS), "reviewer")
    assert story.state.phase is Phase.PULL_REQUEST


def test_two_reviewers_at_their_limits_wait_each_for_its_own() -> None:
    story = in_review()
    story.settle(limited(NOW + 60_000))
    first = story.one(run.StartCooldown)
    story.settle(limited(NOW + 90_000), "reviewer")
    second = story.one(run.StartCooldown)
    story.happens(run.CooldownEnded(wait_id=second.wait_id))
    assert story.one(run.StartTurn).role == "reviewer"
    story.happens(run.CooldownEnded(wait_id=first.wait_id))
    assert story.one(run.StartTurn).role == "worker"


@pytest.mark.parametrize("phase", [Phase.PLANNING, Phase.PLAN_REVIEW, Phase.PULL_REQUEST])
def test_a_limit_is_waited_out_in_every_other_phase_with_turns_too(phase: Phase) -> None:
    if phase is Phase.PULL_REQUEST:
        story = in_review()
        story.reviews(PASS, PASS)
    else:
        story = Run(needs_plan=True, plan_reviewer="worker")
        if phase is Phase.PLAN_REVIEW:
            story.settle(finished())
            story.reads("1. parser")
    purpose = story.open().purpose
    story.settle(limited())
    story.wait()
    assert (story.state.phase, story.one(run.StartTurn).purpose) == (phase, purpose)


def test_after_a_crash_a_wait_for_a_known_reset_is_as_much_shorter_as_time_has_passed() -> None:
    story = Run()
    story.settle(limited(NOW + 60_000))
    [wait] = run.outstanding(run.fold(story.journal), NOW + 40_000)
    assert isinstance(wait, run.StartCooldown)
    assert (wait.ms, wait.until_ms) == (25_000, NOW + 65_000)


# --- pause ---


def test_a_pause_lets_the_turn_end_and_keeps_what_follows_back() -> None:
    story = Run()
    story.happens(run.PauseRequested())
    assert story.commands == []
    assert not story.state.paused
    story.settle(finished("half of it"))
    assert not story.all(run.StartCooldown)
    assert story.state.paused
    assert story.said() == "paused"
    assert run.outstanding(story.state, NOW) == []
    story.happens(run.ResumeRequested())
    assert story.one(run.StartCooldown).iteration == 1


def test_a_pause_during_reviews_waits_for_all_of_them() -> None:
    story = in_review()
    story.happens(run.PauseRequested())
    story.settle(finished(PASS))
    assert not story.state.paused
    story.settle(finished(PASS), "reviewer")
    assert story.state.paused
    story.happens(run.ResumeRequested())
    assert story.one(run.StartTurn).purpose == "pull-request"


def test_a_pause_during_the_cool_down_is_in_force_at_once() -> None:
    story = Run()
    story.settle(finished())
    story.happens(run.PauseRequested())
    assert story.state.paused


def test_the_timer_of_a_withdrawn_cool_down_wakes_nobody() -> None:
    story = Run()
    story.settle(finished())
    timer = story.one(run.StartCooldown)
    story.happens(run.PauseRequested())
    before = story.state
    story.happens(run.CooldownEnded(wait_id=timer.wait_id))
    assert (story.state, story.commands) == (before, [])
    story.happens(run.ResumeRequested())
    assert story.one(run.StartCooldown).wait_id != timer.wait_id


def test_a_pause_now_interrupts_and_the_turn_is_continued_on_resume() -> None:
    story = Run()
    first = story.open()
    story.happens(run.PauseRequested(now=True))
    assert story.one(run.InterruptTurn).turn_id == first.turn_id
    story.settle(INTERRUPTED)
    assert (story.state.paused, story.state.open_turns) == (True, ())
    story.happens(run.ResumeRequested())
    again = story.one(run.StartTurn)
    assert story.commands == [again]
    assert again.turn_id != first.turn_id
    assert again.prompt.startswith("Iteration 1 (continued)\n")
    assert "the run was paused" in again.prompt
    assert story.state.iteration == 1


def test_a_turn_paused_twice_is_continued_without_growing() -> None:
    story = Run()
    sizes = []
    for _ in range(2):
        story.happens(run.PauseRequested(now=True))
        story.settle(INTERRUPTED)
        story.happens(run.ResumeRequested())
        sizes.append(len(story.open().prompt))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("outcome", [failed("killed"), limited(NOW + 1), INTERRUPTED])
def test_what_we_cut_short_did_not_fail_whatever_the_agent_calls_it(outcome: TurnOutcome) -> None:
    story = Run()
    story.happens(run.PauseRequested(now=True))
    story.settle(outcome)
    assert (story.state.failures, story.state.iteration, story.state.paused) == (0, 1, True)


def test_a_turn_that_finished_before_the_interrupt_reached_it_is_finished() -> None:
    story = Run()
    story.happens(run.PauseRequested(now=True))
    story.settle(finished(DONE))
    assert (story.state.phase, story.state.paused) == (Phase.REVIEWING, True)


def test_a_pause_now_ends_checks_and_their_late_result_is_ignored() -> None:
    story = Run(checks=("pytest",))
    story.settle(finished(DONE))
    first = story.one(run.RunChecks)
    story.happens(run.PauseRequested(now=True))
    assert story.one(run.InterruptChecks).checks_id == first.checks_id
    results = (run.CheckResult(command="pytest", exit_code=-9),)
    story.happens(run.ChecksEnded(checks_id=first.checks_id, results=results))
    assert story.state.paused
    story.happens(run.ResumeRequested())
    assert story.one(run.RunChecks).checks_id != first.checks_id


def test_a_pause_at_the_end_lets_checks_end() -> None:
    story = Run(checks=("pytest",))
    story.settle(finished(DONE))
    story.happens(run.PauseRequested())
    assert not story.all(run.InterruptChecks)
    story.checks(0)
    assert (story.state.phase, story.state.paused) == (Phase.REVIEWING, True)


def test_a_pause_at_the_end_can_be_sharpened_to_now() -> None:
    story = Run()
    story.happens(run.PauseRequested())
    story.happens(run.PauseRequested(now=True))
    assert story.one(run.InterruptTurn).reason == "the run was paused"


def test_resuming_before_the_pause_is_in_force_takes_it_back() -> None:
    story = Run()
    story.happens(run.PauseRequested())
    story.happens(run.ResumeRequested())
    story.settle(finished())
    assert story.state.phase is Phase.COOLDOWN
    assert not story.state.paused


def test_resuming_while_the_turn_is_being_interrupted_continues_it_as_soon_as_it_has_settled() -> None:
    story = Run()
    story.happens(run.PauseRequested(now=True))
    story.happens(run.ResumeRequested())
    story.settle(INTERRUPTED)
    assert story.one(run.StartTurn).prompt.startswith("Iteration 1 (continued)\n")


def test_a_pause_that_comes_to_the_question_is_lifted_since_a_person_is_asked_anyway() -> None:
    story = Run(max_iterations=1, interactive=True)
    story.happens(run.PauseRequested())
    story.settle(finished())
    assert story.one(run.AskQuestion)
    assert not story.state.paused


# --- stop and resume ---


def test_a_stop_interrupts_and_the_run_is_stopped_when_all_turns_have_settled() -> None:
    story = in_review()
    story.happens(run.StopRequested(reason="ctrl-c"))
    assert {each.role for each in story.all(run.InterruptTurn)} == {"worker", "reviewer"}
    story.settle(INTERRUPTED)
    assert story.commands == []
    story.settle(INTERRUPTED, "reviewer")
    assert story.one(run.EndRun) == run.EndRun(state="stopped", detail="ctrl-c")


def test_a_turn_that_settles_does_not_order_the_others_to_break_off_again() -> None:
    story = in_review()
    story.happens(run.StopRequested())
    story.settle(INTERRUPTED)
    assert not story.all(run.InterruptTurn)


def test_a_turn_that_is_being_interrupted_for_a_pause_is_not_interrupted_again_for_a_stop() -> None:
    story = Run()
    story.happens(run.PauseRequested(now=True))
    story.happens(run.StopRequested())
    assert story.commands == []
    story.settle(INTERRUPTED)
    assert story.one(run.EndRun).state == "stopped"


def test_a_stop_when_nothing_runs_is_in_force_at_once() -> None:
    story = Run()
    story.settle(finished())
    story.happens(run.StopRequested())
    assert story.one(run.EndRun).state == "stopped"


def test_a_stop_without_a_reason_has_one_all_the_same() -> None:
    story = Run()
    story.settle(finished())
    story.happens(run.StopRequested())
    assert story.one(run.EndRun).detail == "a stop was asked for"


def test_a_paused_run_can_be_stopped() -> None:
    story = Run()
    story.happens(run.PauseRequested(now=True))
    story.settle(INTERRUPTED)
    story.happens(run.StopRequested())
    assert story.one(run.EndRun).state == "stopped"


def test_a_stop_during_planning_is_no_failure() -> None:
    story = Run(needs_plan=True)
    story.happens(run.StopRequested())
    story.settle(failed("killed"))
    assert story.one(run.EndRun).state == "stopped"


def test_a_stopped_run_continues_the_turn_that_was_interrupted() -> None:
    story = in_review()
    story.happens(run.StopRequested())
    story.settle(finished(PASS))
    story.settle(INTERRUPTED, "reviewer")
    story.happens(run.RunResumed())
    turn = story.one(run.StartTurn)
    assert (turn.role, turn.prompt.splitlines()[0]) == ("reviewer", "Review round 1 (continued)")
    story.settle(finished(PASS), "reviewer")
    assert story.state.phase is Phase.PULL_REQUEST


def test_after_a_crash_while_stopping_the_order_to_break_off_is_given_again() -> None:
    story = Run()
    story.happens(run.StopRequested())
    kinds = [type(command) for command in run.outstanding(run.fold(story.journal), NOW)]
    assert kinds == [run.StartTurn, run.InterruptTurn]


def test_a_root_that_crashed_while_stopping_and_is_started_again_lets_the_run_go_on() -> None:
    story = Run()
    story.happens(run.StopRequested())
    story.happens(run.RunResumed())
    story.settle(INTERRUPTED)
    assert story.one(run.StartTurn).prompt.startswith("Iteration 1 (continued)\n")


def test_reopening_a_crashed_run_changes_nothing_that_is_under_way() -> None:
    story = Run()
    before = run.outstanding(story.state, NOW)
    story.happens(run.RunResumed())
    assert story.commands == []
    assert run.outstanding(story.state, NOW) == before


def test_reopening_a_paused_run_lets_it_go_on() -> None:
    story = Run()
    story.happens(run.PauseRequested(now=True))
    story.settle(INTERRUPTED)
    story.happens(run.RunResumed())
    assert story.one(run.StartTurn)


def test_a_run_that_was_out_of_iterations_gets_a_new_count_when_nobody_can_be_asked() -> None:
    story = Run(max_iterations=1)
    story.settle(finished())
    story.happens(run.RunResumed())
    assert story.one(run.StartTurn).prompt.startswith("Iteration 1\n")


def test_a_run_that_was_out_of_iterations_asks_again_when_somebody_can_answer() -> None:
    story = Run(max_iterations=1, interactive=True)
    story.settle(finished())
    story.happens(run.QuestionAnswered(text=""))
    story.happens(run.RunResumed())
    assert story.one(run.AskQuestion)


def test_a_run_that_stopped_unattended_asks_when_it_is_resumed_on_a_terminal() -> None:
    story = Run(max_iterations=1)
    story.settle(finished())
    story.happens(run.RunResumed(settings=settings(max_iterations=1, interactive=True)))
    assert story.one(run.AskQuestion)


def test_a_run_that_was_out_of_iterations_goes_on_counting_when_it_gets_more_of_them() -> None:
    story = Run(max_iterations=1)
    story.settle(finished())
    story.happens(run.RunResumed(settings=settings(max_iterations=5)))
    assert story.one(run.StartTurn).prompt.startswith("Iteration 2\n")


def test_with_more_iterations_the_old_task_keeps_all_that_was_said_of_it() -> None:
    story = Run(max_iterations=1, proof="the tests pass", done_signal="OK", checks=("make",), worker_model="m")
    story.settle(finished())
    story.happens(run.RunResumed(settings=settings(task="", max_iterations=5, checks=("make lint",))))
    now = story.state.run
    assert (now.proof, now.done_signal, now.worker_model) == ("the tests pass", "OK", "m")
    assert (now.max_iterations, now.checks) == (5, ("make", "make lint"))


DEFAULTS: dict[str, Any] = {
    "proof": "",
    "check_timeout_s": 0,
    "done_signal": "<promise>DONE</promise>",
    "max_iterations": 20,
    "cooldown_ms": 30_000,
    "retry_ms": 5_000,
    "reviewers": ("worker", "reviewer"),
    "plan_reviewer": "reviewer",
}


def test_what_was_typed_counts_for_a_run_that_goes_on_also_when_it_is_the_default() -> None:
    other: dict[str, Any] = {
        "proof": "x",
        "check_timeout_s": 5,
        "done_signal": "OK",
        "max_iterations": 1,
        "cooldown_ms": 7,
        "retry_ms": 1,
        "reviewers": ("reviewer",),
        "plan_reviewer": None,
    }
    for given in ((), tuple(DEFAULTS)):
        story = Run(**other)
        story.settle(finished())
        story.happens(run.RunResumed(settings=settings(task="", given=given, **DEFAULTS)))
        expected = DEFAULTS if given else other
        assert {name: getattr(story.state.run, name) for name in DEFAULTS} == expected


def test_a_value_that_was_not_typed_changes_no_run_that_has_begun() -> None:
    """As one of a configuration file. In an older journal `only_given` is missing, and it counts as it did then."""
    for only_given, expected in ((True, (50, "old")), (False, (7, "new"))):
        story = Run(max_iterations=50, proof="old")
        story.happens(run.RunResumed(settings=settings(max_iterations=7, proof="new", only_given=only_given)))
        assert (story.state.run.max_iterations, story.state.run.proof) == expected
    story = Run(max_iterations=50, proof="old", checks=("make",))
    changes = {"checks": ("ruff",), "given": ("max_iterations",), "only_given": True}
    story.happens(run.RunResumed(settings=settings(task="", max_iterations=20, proof="new", **changes)))
    now = story.state.run
    assert (now.max_iterations, now.proof, now.checks) == (20, "old", ("make", "ruff"))


def test_an_older_journal_comes_to_the_same_settings() -> None:
    """Two bodies as they were written before there was `given`, and then before it named all."""
    old = (
        b'{"settings": {"run_uid": "u", "task": "", "needs_plan": false, "worker": "codex", "reviewer": "claude", %s}}'
    )
    for more, expected in ((b'"max_iterations": 30', 30), (b'"max_iterations": 20, "given": ["max_iterations"]', 20)):
        story = Run(max_iterations=50)
        story.happens(msgspec.json.decode(old % more, type=run.RunResumed))
        assert story.state.run.max_iterations == expected


def test_a_name_that_no_setting_has_changes_no_run_that_has_begun() -> None:
    """Of a newer version, or in a damaged journal."""
    story = Run(max_iterations=50)
    given = ("nothing", "run_uid", "max_iterations")
    story.happens(run.RunResumed(settings=settings(task="", max_iterations=7, given=given, only_given=True)))
    assert story.state.run.max_iterations == 7


def test_a_run_whose_uid_is_no_uuid_has_turn_ids_all_the_same() -> None:
    turns = [Run(run_uid=uid).open() for uid in ("a", "b")]
    assert len({str(uuid.UUID(turn.turn_id)) for turn in turns}) == 2


def test_an_open_question_is_not_left_to_nobody_when_the_run_is_reopened_without_a_terminal() -> None:
    story = Run(max_iterations=1, interactive=True)
    story.settle(finished())
    story.happens(run.RunResumed(settings=settings(max_iterations=1)))
    assert story.one(run.StartTurn).prompt.startswith("Iteration 1\n")


def test_a_new_task_begins_anew_with_ids_of_its_own() -> None:
    story = Run(max_iterations=1)
    first = story.open().turn_id
    story.settle(finished())
    story.happens(run.RunResumed(settings=settings(task="Fix the lexer.", needs_plan=True, run_uid=str(uuid.uuid4()))))
    turn = story.one(run.StartTurn)
    assert (turn.purpose, "Fix the lexer." in turn.prompt) == ("plan", True)
    assert turn.turn_id == str(uuid.uuid5(uuid.UUID(UID), "plan"))
    assert turn.turn_id != first


def test_a_new_task_for_a_run_that_is_working_begins_when_the_old_turns_have_settled() -> None:
    story = in_review()
    story.happens(run.RunResumed(settings=settings(task="Fix the lexer.")))
    assert len(story.all(run.InterruptTurn)) == 2
    assert run.describe(story.state) == "leaving the old task: waits for codex, claude"
    story.settle(INTERRUPTED)
    assert story.commands == []
    story.settle(finished(PASS), "reviewer")
    assert story.one(run.StartTurn).prompt.startswith("Iteration 1\n")
    assert "Fix the lexer." in story.one(run.StartTurn).prompt


def test_a_new_task_forgets_the_waits_of_the_old_one() -> None:
    story = Run()
    story.settle(limited())
    timer = story.one(run.StartCooldown)
    story.happens(run.RunResumed(settings=settings(task="Fix the lexer.")))
    assert "Fix the lexer." in story.one(run.StartTurn).prompt
    before = story.state
    story.happens(run.CooldownEnded(wait_id=timer.wait_id))
    assert story.state == before


def test_a_new_task_that_is_stopped_before_it_began_begins_when_it_is_resumed() -> None:
    story = Run()
    story.happens(run.RunResumed(settings=settings(task="Fix the lexer.")))
    story.happens(run.StopRequested(reason="ctrl-c"))
    story.settle(INTERRUPTED)
    assert story.one(run.EndRun).detail == "ctrl-c"
    story.happens(run.RunResumed())
    assert "Fix the lexer." in story.one(run.StartTurn).prompt


@pytest.mark.parametrize("task", ["", "  ", "Fix the parser.", "Fix the parser.\n", "1. plan"])
def test_a_task_that_is_blank_or_known_is_not_a_new_one(task: str) -> None:
    story = Run(needs_plan=True, plan_reviewer=None)
    story.settle(finished())
    story.reads("1. plan\n")
    story.happens(run.RunResumed(settings=settings(task=task)))
    assert story.commands == []
    assert story.state.task == "1. plan"


def test_a_run_that_is_resumed_without_a_task_plans_the_one_that_it_has() -> None:
    story = Run(needs_plan=True)
    story.settle(failed())
    story.happens(run.RunResumed(settings=settings(task="", max_iterations=3)))
    assert "Fix the parser." in story.one(run.StartTurn).prompt
    assert story.state.run.max_iterations == 3


def test_a_completed_run_stays_completed_unless_it_gets_a_new_task() -> None:
    story = in_review()
    story.reviews(PASS, PASS)
    story.settle(finished())
    story.happens(run.RunResumed())
    assert story.state.phase is Phase.COMPLETED
    assert "new task" in story.said()
    story.happens(run.RunResumed(settings=settings(task="Fix the lexer.")))
    assert story.one(run.StartTurn).prompt.startswith("Iteration 1\n")


def test_an_ended_run_says_so_again_after_a_crash() -> None:
    story = Run(max_iterations=1)
    story.settle(finished())
    assert run.outstanding(run.fold(story.journal), NOW) == [story.one(run.EndRun)]


# --- a person decides ---


def test_a_person_who_approves_during_the_review_ends_it_once_the_reviewers_have_settled() -> None:
    story = in_review()
    story.happens(run.VerdictSubmitted(approved=True))
    assert len(story.all(run.InterruptTurn)) == 2
    story.settle(INTERRUPTED)
    assert not story.all(run.StartTurn)
    story.settle(failed("killed"), "reviewer")
    assert story.one(run.StartTurn).purpose == "pull-request"


def test_a_person_overrules_a_review_that_was_faster() -> None:
    story = in_review()
    story.settle(finished(f"rename foo\n{FAIL}"))
    story.happens(run.VerdictSubmitted(approved=True))
    story.settle(finished(f"rename foo\n{FAIL}"), "reviewer")
    assert story.state.phase is Phase.PULL_REQUEST


def test_a_person_who_turns_the_work_down_adds_to_the_notes_that_are_there() -> None:
    story = in_review(cooldown_ms=0)
    story.settle(finished(f"rename foo\n{FAIL}"), "reviewer")
    story.happens(run.VerdictSubmitted(approved=False, notes="too slow"))
    story.settle(INTERRUPTED)
    prompt = story.one(run.StartTurn).prompt
    assert "[claude] rename foo" in prompt
    assert "[human] too slow" in prompt


def test_a_person_need_not_wait_for_a_reviewer_at_its_limit() -> None:
    story = in_review()
    story.settle(finished(PASS))
    story.settle(limited(), "reviewer")
    story.happens(run.VerdictSubmitted(approved=True))
    assert story.one(run.StartTurn).purpose == "pull-request"


def test_a_person_can_decide_while_the_review_is_paused() -> None:
    story = in_review()
    story.happens(run.PauseRequested(now=True))
    story.settle(INTERRUPTED)
    story.settle(INTERRUPTED, "reviewer")
    story.happens(run.VerdictSubmitted(approved=True))
    assert (story.state.paused, story.commands) == (True, [])
    story.happens(run.ResumeRequested())
    assert story.one(run.StartTurn).purpose == "pull-request"


def test_what_a_person_has_decided_is_not_decided_again_when_the_pull_request_is_interrupted() -> None:
    story = in_review(reviewers=("reviewer",))
    story.happens(run.VerdictSubmitted(approved=True))
    story.settle(INTERRUPTED, "reviewer")
    story.happens(run.PauseRequested(now=True))
    story.settle(INTERRUPTED)
    story.happens(run.ResumeRequested())
    assert story.one(run.StartTurn).prompt.startswith("Draft pull request (continued)\n")


def test_checks_that_are_held_need_not_be_broken_off() -> None:
    story = Run(checks=("pytest",))
    story.settle(finished(DONE))
    story.happens(run.PauseRequested(now=True))
    story.happens(run.VerdictSubmitted(approved=True))
    assert not story.all(run.InterruptChecks)


def test_a_person_need_not_wait_for_the_checks() -> None:
    story = Run(checks=("pytest",))
    story.settle(finished(DONE))
    story.happens(run.VerdictSubmitted(approved=True))
    assert story.one(run.InterruptChecks)
    assert story.one(run.StartTurn).purpose == "pull-request"


def test_a_person_can_turn_the_work_down_before_the_checks_are_through() -> None:
    story = Run(checks=("pytest",), cooldown_ms=0)
    story.settle(finished(DONE))
    story.happens(run.VerdictSubmitted(approved=False))
    assert "[human] the user rejected the work" in story.one(run.StartTurn).prompt


def test_a_person_can_approve_in_the_cool_down() -> None:
    story = in_review()
    story.reviews(PASS, FAIL)
    story.happens(run.VerdictSubmitted(approved=True))
    assert story.one(run.StartTurn).purpose == "pull-request"
    assert not story.all(run.InterruptChecks)


def test_a_persons_notes_in_the_cool_down_go_into_the_next_iteration_once() -> None:
    story = Run()
    story.settle(finished())
    for _ in range(2):
        story.happens(run.VerdictSubmitted(approved=False, notes="too slow"))
    story.wait()
    assert story.one(run.StartTurn).prompt.count("too slow") == 1


def test_a_persons_notes_come_before_a_done_that_did_not_know_them() -> None:
    story = Run(cooldown_ms=0)
    story.happens(run.VerdictSubmitted(approved=False, notes="too slow"))
    assert story.commands == []
    story.settle(finished(DONE))
    assert "[human] too slow" in story.one(run.StartTurn).prompt
    story.settle(finished(DONE))
    assert story.state.phase is Phase.REVIEWING


def test_a_person_can_approve_instead_of_a_follow_up() -> None:
    story = Run(max_iterations=1, interactive=True)
    story.settle(finished())
    story.happens(run.VerdictSubmitted(approved=True))
    assert story.one(run.StartTurn).purpose == "pull-request"


def test_what_a_person_wants_changed_is_a_follow_up_when_one_is_asked_for() -> None:
    story = Run(max_iterations=1, interactive=True)
    story.settle(finished())
    story.happens(run.VerdictSubmitted(approved=False, notes="too slow"))
    assert "Follow-up:\ntoo slow" in story.one(run.StartTurn).prompt


def test_a_person_can_have_the_work_reviewed_that_is_not_said_to_be_done() -> None:
    story = Run(checks=("pytest",))
    story.happens(run.ReviewRequested())
    assert story.commands == []
    story.settle(finished("half of it"))
    story.checks(0)
    assert (story.state.phase, story.state.review_wanted) == (Phase.REVIEWING, False)


def test_a_review_that_is_wanted_waits_for_notes_that_the_agent_has_not_seen() -> None:
    story = Run(cooldown_ms=0)
    story.happens(run.VerdictSubmitted(approved=False, notes="too slow"))
    story.happens(run.ReviewRequested())
    story.settle(finished("half of it"))
    assert "[human] too slow" in story.one(run.StartTurn).prompt
    story.settle(finished("the other half"))
    assert story.state.phase is Phase.REVIEWING


def test_a_turn_that_fails_before_the_review_that_is_wanted_does_not_make_it_forgotten() -> None:
    story = Run(cooldown_ms=0)
    story.happens(run.ReviewRequested())
    story.settle(failed())
    story.settle(finished("half of it"))
    assert story.state.phase is Phase.REVIEWING


@pytest.mark.parametrize("changes", [{}, {"max_iterations": 1, "interactive": True}], ids=["cool-down", "follow-up"])
def test_a_person_can_have_a_review_while_nobody_works(changes: dict[str, Any]) -> None:
    story = Run(**changes)
    story.settle(finished("half of it"))
    story.happens(run.ReviewRequested())
    assert {each.purpose for each in story.all(run.StartTurn)} == {"review"}
    assert {type(each) for each in run.outstanding(story.state, NOW)} == {run.StartTurn}


# --- what does not fit ---


def paused() -> Run:
    story = Run()
    story.happens(run.PauseRequested(now=True))
    story.settle(INTERRUPTED)
    return story


def stopping() -> Run:
    story = Run()
    story.happens(run.StopRequested())
    return story


def ended() -> Run:
    story = Run(max_iterations=1)
    story.settle(finished())
    return story


def asking() -> Run:
    story = Run(max_iterations=1, interactive=True)
    story.settle(finished())
    return story


@pytest.mark.parametrize(
    ("story", "event", "answer"),
    [
        (Run(), run.QuestionAnswered(text="x"), "waits for codex"),
        (Run(), run.ResumeRequested(), "waits for codex"),
        (Run(), run.VerdictSubmitted(approved=True), "waits for codex"),
        (in_review(), run.ReviewRequested(), "waits for codex, claude"),
        (paused(), run.PauseRequested(), "is paused"),
        (stopping(), run.PauseRequested(), "is stopping"),
        (stopping(), run.ResumeRequested(), "is stopping"),
        (ended(), run.PauseRequested(), "is stopped already"),
        (ended(), run.StopRequested(), "is stopped already"),
        (asking(), run.VerdictSubmitted(approved=False, notes=" "), "waits for the user's answer"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value.replace(" ", "-"),
)
def test_what_a_person_says_at_the_wrong_time_is_answered_and_changes_nothing(
    story: Run, event: run.Event, answer: str
) -> None:
    before = story.state
    story.happens(event)
    assert story.state == before
    assert answer in story.said()


def test_a_second_stop_is_the_same_stop() -> None:
    story = stopping()
    before = story.state
    story.happens(run.StopRequested(reason="again"))
    assert (story.state, story.commands) == (before, [])


def test_mail_after_the_end_is_ignored() -> None:
    story = ended()
    before = story.state
    story.happens(run.MailReachedWorker(sender="claude"))
    assert (story.state, story.commands) == (before, [])


def test_the_end_of_a_turn_that_comes_twice_is_one_end() -> None:
    story = Run()
    turn_id = story.open().turn_id
    story.settle(finished("half of it"))
    before = story.state
    story.happens(run.TurnSettled(turn_id=turn_id, outcome=finished(DONE)))
    assert (story.state, story.commands) == (before, [])


def test_a_run_that_is_started_twice_is_one_run() -> None:
    story = Run()
    before = story.state
    story.happens(run.RunStarted(settings=settings()))
    assert (story.state, story.commands) == (before, [])


@pytest.mark.parametrize(
    "event",
    [
        run.TurnSettled(turn_id=str(uuid.UUID(int=7)), outcome=finished()),
        run.PlanRead(read_id="plan-reading", text="x"),
        run.ChecksEnded(checks_id="checks-1", results=()),
        run.TreeTaken(take_id="tree-checks", tree=run.Tree()),
        run.PullRequestProbed(look_id="pull-request-look", status=run.PullRequestStatus()),
        run.CooldownEnded(wait_id="cooldown-1"),
        run.RunStarted(settings=settings(run_uid=str(uuid.UUID(int=7)))),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_answer_that_was_never_asked_for_is_illegal_and_changes_nothing(event: run.Event) -> None:
    story = Run()
    before = story.state
    with pytest.raises(IllegalEventError):
        story.happens(event)
    assert story.state == before


def test_an_answer_of_the_wrong_kind_is_illegal() -> None:
    story = Run()
    with pytest.raises(IllegalEventError, match="CooldownEnded"):
        story.happens(run.CooldownEnded(wait_id=story.open().turn_id))


@pytest.mark.parametrize("kind", [kind for kind in run.EVENTS if kind is not run.RunStarted])
def test_before_the_start_every_other_event_is_illegal(kind: type[run.Event]) -> None:
    values = {
        run.TurnSettled: run.TurnSettled(turn_id="x", outcome=finished()),
        run.PlanRead: run.PlanRead(read_id="x", text=""),
        run.ChecksEnded: run.ChecksEnded(checks_id="x", results=()),
        run.TreeTaken: run.TreeTaken(take_id="x", tree=run.Tree()),
        run.PullRequestProbed: run.PullRequestProbed(look_id="x", status=run.PullRequestStatus()),
        run.CooldownEnded: run.CooldownEnded(wait_id="x"),
        run.HookEnded: run.HookEnded(hook_id="x", exit_code=0),
        run.QuestionAnswered: run.QuestionAnswered(text="x"),
        run.VerdictSubmitted: run.VerdictSubmitted(approved=True),
        run.MailReachedWorker: run.MailReachedWorker(sender="x"),
        run.FindingWaived: run.FindingWaived(finding_id="f1"),
        run.ContactChanged: run.ContactChanged(role="worker", comes=False),
        run.AgentPlaced: run.AgentPlaced(role="worker", host="big"),
        run.UsageGrew: run.UsageGrew(role="worker", turn_id="x", purpose="mail", model="", usage=Usage()),
        run.UsageSeen: run.UsageSeen(role="worker", turn_id="x", purpose="mail", model="", usage=Usage()),
        run.TurnWanted: run.TurnWanted(role="worker", turn_id="x", purpose="mail", after=""),
        run.TimePassed: run.TimePassed(ms=1),
    }
    with pytest.raises(IllegalEventError):
        run.decide(run.initial(), values[kind] if kind in values else kind(), NOW)


# --- the table, the journal, the words ---


def test_every_phase_has_its_rows_and_every_live_phase_can_be_paused_stopped_and_resumed() -> None:
    assert set(run.TRANSITIONS) == set(Phase)
    for phase in run.LIVE_PHASES:
        assert {run.PauseRequested, run.ResumeRequested, run.StopRequested, run.RunResumed} <= set(
            run.TRANSITIONS[phase]
        )


def test_every_phase_can_be_reached_by_the_table_and_every_live_phase_left() -> None:
    reached = {phase for rows in run.TRANSITIONS.values() for rule in rows.values() for phase in rule.to}
    assert reached == set(Phase) - {Phase.NEW}
    for phase in run.LIVE_PHASES:
        assert any(rule.to - {phase} for rule in run.TRANSITIONS[phase].values())


def test_every_event_survives_the_journal() -> None:
    story = Run(needs_plan=True, checks=("pytest",))
    story.settle(finished())
    story.reads("1. parser")
    story.settle(finished(), "reviewer")
    story.reads("1. parser")
    story.settle(limited(NOW))
    story.wait()
    story.settle(finished(DONE))
    story.checks(0)
    story.happens(run.MailReachedWorker(sender="claude", text="x"))
    story.happens(run.ContactChanged(role="reviewer", comes=False))
    story.happens(run.AgentPlaced(role="reviewer", host="big", moved=True))
    story.happens(run.UsageGrew(role="worker", turn_id="x", purpose="mail", model="", usage=Usage(cost_usd=0.1)))
    story.happens(run.UsageSeen(role="worker", turn_id="y", purpose="mail", model="", usage=Usage(cost_usd=0.1)))
    story.happens(run.TurnWanted(role="worker", turn_id="y", purpose="mail", after=""))
    story.happens(run.TimePassed(ms=1))
    story.happens(run.ReviewRequested())
    story.happens(run.FindingWaived(finding_id="f1"))
    story.happens(run.VerdictSubmitted(approved=False, notes="x"))
    story.happens(run.PauseRequested(now=True))
    story.happens(run.ResumeRequested())
    story.happens(run.StopRequested(reason="x"))
    story.happens(run.RunResumed(settings=settings(max_iterations=3), generation=2))
    written = [(type(event), msgspec.json.encode(event)) for event in story.journal]
    assert run.fold(msgspec.json.decode(body, type=kind) for kind, body in written) == story.state
    elsewhere = {run.QuestionAnswered, run.PullRequestProbed, run.TreeTaken, run.HookEnded}  # in the properties
    assert {kind for kind, _ in written} | elsewhere == set(run.EVENTS)


def test_a_status_line_says_where_the_run_is_and_what_it_waits_for() -> None:
    story = Run()
    assert run.describe(run.initial()) == "new: waits for the start"
    assert run.describe(story.state) == "iteration 1 of 20: waits for codex"
    story.happens(run.PauseRequested())
    assert run.describe(story.state) == "pausing, iteration 1 of 20: waits for codex"
    story.settle(limited())
    assert run.describe(story.state) == "paused, iteration 1 of 20: waits for the user to resume it"
    story.happens(run.ResumeRequested())
    assert run.describe(story.state) == "iteration 1 of 20: waits for the end of codex's limit"
    story.wait()
    story.settle(finished(DONE))
    assert run.describe(story.state) == "review round 1: waits for codex, claude"
    story.happens(run.StopRequested(reason="ctrl-c"))
    assert run.describe(story.state) == "stopping, review round 1: waits for codex, claude"
    story.settle(INTERRUPTED)
    story.settle(INTERRUPTED, "reviewer")
    assert run.describe(story.state) == "stopped: ctrl-c"
    assert story.state.waits_for == ""
