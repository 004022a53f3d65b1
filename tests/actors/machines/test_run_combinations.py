"""Two features of a run at once: a gate and a stop, a hook and a resume, a limit and a left-out reviewer."""

from __future__ import annotations

import pytest

from actors.machines import run
from actors.machines.run import Phase
from actors.messages import TurnOutcome, Usage, Window
from tests.actors.machines.test_run import DONE, NOW, PASS, C, Run, finished, in_review, settings

FOUND = "FINDING app.py:1 | wrong | pytest\n<review>FAIL</review>"
LATE = TurnOutcome(status="failed", error="the review turn took longer than 1 m", cause="overdue")
SILENT = TurnOutcome(status="failed", error="the agent is silent", cause="silent")


def outstanding(story: Run, kind: type[C]) -> list[C]:
    return [each for each in run.outstanding(story.state, story.now_ms) if isinstance(each, kind)]


def costing(tokens: int) -> TurnOutcome:
    return TurnOutcome(status="finished", usage=Usage(input_tokens=tokens))


def over_its_budget_in_the_last_iteration(*, interactive: bool) -> Run:
    story = Run(max_tokens=10, max_iterations=1, interactive=interactive, cooldown_ms=0)
    turn = story.open()
    usage = Usage(input_tokens=10)
    story.happens(run.UsageSeen(role="worker", turn_id=turn.turn_id, purpose="work", model="", usage=usage))
    story.settle(costing(10))
    return story


def ends_hook(story: Run, moment: str, exit_code: int = 0) -> None:
    hook = next(each for each in outstanding(story, run.RunHook) if each.moment == moment)
    story.happens(run.HookEnded(hook_id=hook.hook_id, exit_code=exit_code))


@pytest.mark.parametrize("interactive", [True, False])
def test_a_run_over_its_budget_in_its_last_iteration_resumes_with_more_and_is_out_of_iterations(
    interactive: bool,
) -> None:
    story = over_its_budget_in_the_last_iteration(interactive=interactive)
    more = settings(max_tokens=1_000, given=("max_tokens",), only_given=True, interactive=interactive)
    story.happens(run.RunResumed(settings=more))
    assert story.state.phase is (Phase.FOLLOW_UP if interactive else Phase.STOPPED)
    assert run.place(story.state) == ("out of iterations" if interactive else "stopped")


@pytest.mark.parametrize("cooldown_ms", [0, 30_000])
@pytest.mark.parametrize("last", [True, False])
def test_a_stop_while_a_gate_asks_ends_the_run_and_the_question_comes_again_when_it_resumes(
    cooldown_ms: int, last: bool
) -> None:
    if last:
        story = over_its_budget_in_the_last_iteration(interactive=True)
    else:
        story = Run(max_tokens=10, interactive=True, cooldown_ms=cooldown_ms)
        story.settle(costing(10))
    assert story.state.asking
    story.happens(run.StopRequested())
    assert story.state.phase is Phase.STOPPED
    story.happens(run.RunResumed(settings=settings(interactive=True, only_given=True)))
    assert story.state.waits_for


@pytest.mark.parametrize("moment", ["before_check", "after_check"])
def test_a_run_that_a_hook_of_its_checks_failed_resumes_with_that_hook(moment: str) -> None:
    story = Run(checks=("pytest",), hooks={moment: "make"})
    story.settle(finished(DONE))
    if moment == "after_check":
        checks = story.one(run.RunChecks)
        passed = (run.CheckResult(command="pytest", exit_code=0),)
        story.happens(run.ChecksEnded(checks_id=checks.checks_id, results=passed))
    ends_hook(story, moment, exit_code=2)
    assert story.state.phase is Phase.FAILED
    story.happens(run.RunResumed())
    ends_hook(story, moment)
    assert story.state.phase is (Phase.CHECKING if moment == "before_check" else Phase.REVIEWING)


@pytest.mark.parametrize("moment", ["before_turn", "after_turn"])
def test_a_reviewer_whose_hook_runs_is_not_asked_a_second_time_in_place_of_another(moment: str) -> None:
    story = Run(on_unavailable="other", hooks={moment: "make"}, cooldown_ms=0)
    if moment == "before_turn":
        ends_hook(story, moment)
    story.settle(finished(DONE))
    if moment == "before_turn":
        reviewers = outstanding(story, run.RunHook)
        late = next(each for each in reviewers if each.facts.role == "reviewer")
        story.happens(run.HookEnded(hook_id=late.hook_id, exit_code=0))
    else:
        ends_hook(story, moment)
        story.settle(finished(PASS), "worker")
    story.settle(SILENT, "reviewer")
    assert outstanding(story, run.StartTurn) == []
    assert len(outstanding(story, run.RunHook)) == 1


def test_a_users_verdict_does_not_cancel_the_stop_of_a_run_that_waited_for_its_user() -> None:
    story = in_review(on_unavailable="ask", interactive=True)
    story.settle(SILENT, "reviewer")
    assert story.state.stuck
    story.happens(run.StopRequested())
    story.happens(run.VerdictSubmitted(approved=True))
    story.settle(TurnOutcome(status="interrupted"), "worker")
    assert story.state.phase is Phase.STOPPED
    assert story.state.goes_on_in is Phase.PULL_REQUEST


def test_an_approval_by_the_user_waives_what_was_found_wherever_the_run_is() -> None:
    story = in_review(reviewers=("reviewer",), keeps_findings=True, cooldown_ms=30_000)
    story.settle(finished(FOUND), "reviewer")
    assert story.state.phase is Phase.COOLDOWN
    story.happens(run.VerdictSubmitted(approved=True))
    assert [each.state for each in story.state.findings] == ["waived"]


def test_an_approval_that_answers_a_gates_question_is_proved_by_its_own_time() -> None:
    story = Run(max_tokens=10, interactive=True, cooldown_ms=0)
    story.settle(costing(10))
    story.happens(run.VerdictSubmitted(approved=True, at_ms=NOW + 5_000))
    assert story.state.approved_by_human
    assert story.state.approved_at_ms == NOW + 5_000


@pytest.mark.parametrize("policy", ["ask", "skip", "fail", "wait"])
def test_a_reviewer_that_takes_too_long_twice_is_left_out_only_where_the_settings_say_so(policy: str) -> None:
    story = in_review(on_unavailable=policy, review_patience_ms=60_000, interactive=True)
    story.settle(finished(PASS), "worker")
    story.settle(LATE, "reviewer")
    story.settle(LATE, "reviewer")
    if policy == "skip":
        assert story.state.phase is Phase.PULL_REQUEST
    elif policy == "fail":
        assert story.state.phase is Phase.FAILED
    else:
        assert story.state.phase is Phase.REVIEWING
        assert story.state.paused == (policy == "ask")


def test_a_turn_that_a_gates_question_held_does_not_start_inside_a_window_that_is_full() -> None:
    story = in_review(reviewers=("worker",), max_tokens=10, looks_at_limits=True, interactive=True)
    full = Window(used_percent=97, resets_at_ms=NOW + 600_000)
    story.settle(TurnOutcome(status="finished", usage=Usage(input_tokens=10), window=full, text=PASS), "worker")
    assert story.state.asking
    story.happens(run.QuestionAnswered(text="1000"))
    assert outstanding(story, run.StartTurn) == []
    assert story.one(run.StartCooldown).until_ms > NOW + 600_000


def test_the_first_turn_of_a_new_task_has_its_hook_though_that_of_the_old_task_was_ended() -> None:
    story = Run(hooks={"before_turn": "make"})
    old = story.one(run.RunHook).facts.turn
    story.happens(run.RunResumed(settings=settings(task="Another task.", hooks={"before_turn": "make"})))
    assert outstanding(story, run.StartTurn) == []
    assert story.one(run.RunHook).facts.turn != old


def test_a_bare_number_is_more_money_where_only_the_agent_has_counted_the_budget_as_used_up() -> None:
    story = Run(max_cost_usd=5.0, interactive=True)
    story.settle(TurnOutcome(status="failed", cause="budget", error="the budget is used up"))
    story.happens(run.QuestionAnswered(text="10 Use a table."))
    assert story.state.run.max_cost_usd == 10.0
    assert story.state.task.endswith("Follow-up:\nUse a table.")


def test_a_reviewer_that_a_resume_names_in_the_middle_of_a_round_reviews_before_the_approval() -> None:
    story = Run(reviewers=("reviewer",), keeps_findings=True, asks_again=True, cooldown_ms=0)
    story.settle(finished(DONE))
    both = settings(task="", reviewers=("worker", "reviewer"), given=("reviewers",), only_given=True)
    story.happens(run.RunResumed(settings=both))
    story.settle(finished(PASS), "reviewer")
    assert story.state.phase is Phase.REVIEWING
    assert {each.role for each in outstanding(story, run.StartTurn)} == {"worker", "reviewer"}
    story.reviews(PASS, PASS)
    assert story.state.phase is Phase.PULL_REQUEST
