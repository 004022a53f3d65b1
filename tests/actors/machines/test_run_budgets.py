"""Budgets: what counts, when they hold the run, and how it resumes with more."""

from __future__ import annotations

from typing import Any

import pytest

from actors.machines import run
from actors.machines.run import budgets
from actors.machines.run_status import run_status
from actors.messages import BudgetUse, TurnOutcome, Usage
from actors.settings import Price, Role
from tests.actors.machines.test_run import DONE, INTERRUPTED, NOW, PASS, Run, finished, in_review, settings

PRICES = {"big": Price(input=10, output=100, cached_input=1), "codex": Price(input=1, output=1)}


def costing(tokens: int = 0, usd: float = 0.0, text: str = "", **more: Any) -> TurnOutcome:
    return TurnOutcome(status="finished", text=text, usage=Usage(input_tokens=tokens, cost_usd=usd, **more))


def seen(story: Run, tokens: int, role: Role = "worker") -> None:
    job = next(job for job in story.state.open_turns if job.role == role)
    usage = Usage(input_tokens=tokens, cost_known=False)
    story.happens(run.UsageSeen(role=role, turn_id=job.id, purpose=job.purpose, model="", usage=usage))


def test_at_the_end_of_the_turn_that_reaches_the_budget_the_user_is_asked() -> None:
    story = Run(max_tokens=100, interactive=True, cooldown_ms=0)
    story.settle(costing(99))
    assert story.state.hold is None
    story.settle(costing(1))
    question = story.one(run.AskQuestion).question
    assert question.startswith("the budget is used up: 100 of --max-tokens 100. Type a higher limit")
    assert story.all(run.StartTurn) == []


def test_without_a_user_the_run_stops_and_says_how_it_resumes() -> None:
    story = Run(max_cost_usd=5.0, cooldown_ms=0)
    story.settle(costing(usd=5.02))
    end = story.one(run.EndRun)
    assert (end.state, end.detail) == (
        "stopped",
        "the budget is used up: $5.02 of --max-cost $5.00; resume with --max-cost 10",
    )
    assert end.resume == "--max-cost 10"


@pytest.mark.parametrize(
    ("limits", "used", "resume"),
    [
        ({"max_tokens": 1}, costing(6_000), "--max-tokens 12000"),
        ({"max_cost_usd": 0.01}, costing(usd=3.0), "--max-cost 6"),
        ({"max_cost_usd": 1.25}, costing(usd=1.3), "--max-cost 2.5"),
    ],
)
def test_the_limit_that_is_named_for_a_resume_is_one_with_which_the_run_can_resume(
    limits: dict[str, Any], used: TurnOutcome, resume: str
) -> None:
    story = Run(cooldown_ms=0, **limits)
    story.settle(used)
    assert story.one(run.EndRun).resume == resume


def test_a_resume_without_more_stops_again_and_one_with_more_resumes() -> None:
    story = Run(max_cost_usd=5.0, cooldown_ms=0)
    story.settle(costing(usd=5.0))
    story.happens(run.RunResumed(settings=settings(only_given=True)))
    assert story.state.phase is run.Phase.STOPPED
    more = settings(max_cost_usd=10.0, given=("max_cost_usd",), only_given=True)
    story.happens(run.RunResumed(settings=more))
    assert story.one(run.StartTurn).prompt.startswith("Iteration 2\n")
    assert budgets.left_usd(story.state) == 6.0


@pytest.mark.parametrize("answer", ["200", "--max-tokens 200", "200 Use a table."])
def test_the_answer_is_a_higher_limit_and_the_rest_is_for_the_agent(answer: str) -> None:
    story = Run(max_tokens=100, interactive=True)
    story.settle(costing(100))
    story.happens(run.QuestionAnswered(text=answer))
    assert story.state.run.max_tokens == 200
    assert ("Use a table." in story.one(run.StartTurn).prompt) == ("table" in answer)


@pytest.mark.parametrize("answer", ["go on", "50", "--max-cost"])
def test_an_answer_that_is_no_higher_limit_extends_nothing(answer: str) -> None:
    story = Run(max_tokens=100, interactive=True)
    story.settle(costing(100))
    story.happens(run.QuestionAnswered(text=answer))
    assert story.state.asking
    assert story.all(run.StartTurn) == []
    assert story.state.task == "Fix the parser."


def test_at_a_tenth_more_the_running_turns_are_interrupted_and_resume_with_more() -> None:
    story = in_review(max_tokens=100, interactive=True)
    seen(story, 105)
    assert (story.all(run.InterruptTurn), len(story.state.open_turns)) == ([], 2)
    seen(story, 109)
    seen(story, 1, "reviewer")
    assert {each.role for each in story.all(run.InterruptTurn)} == {"worker", "reviewer"}
    story.settle(TurnOutcome(status="interrupted", usage=Usage(input_tokens=109)))
    story.settle(INTERRUPTED, "reviewer")
    assert story.state.asking
    story.happens(run.QuestionAnswered(text="1M"))
    assert [each.purpose for each in story.all(run.StartTurn)] == ["review", "review"]
    assert all("You were interrupted" in each.prompt or budgets.CUT in each.prompt for each in story.all(run.StartTurn))


def test_a_turn_of_a_message_is_interrupted_too() -> None:
    story = Run(max_tokens=100)
    usage = Usage(input_tokens=111)
    story.happens(run.UsageSeen(role="reviewer", turn_id="mail-1", purpose="mail", model="", usage=usage))
    assert {each.turn_id for each in story.all(run.InterruptTurn)} == {"mail-1", story.open().turn_id}
    story.happens(run.UsageGrew(role="reviewer", turn_id="mail-1", purpose="mail", model="", usage=usage))
    assert (story.state.running, budgets.part(story.state)) == ((), 1.11)


def test_only_a_report_that_reaches_a_line_is_journalled() -> None:
    story = Run(max_tokens=100)
    job = story.open()

    def report(tokens: int) -> run.UsageSeen:
        usage = Usage(input_tokens=tokens)
        return run.UsageSeen(role="worker", turn_id=job.turn_id, purpose="work", model="", usage=usage)

    assert [run.usage_matters(story.state, report(tokens)) for tokens in (1, 99, 100, 109)] == [
        False,
        False,
        True,
        True,
    ]
    story.happens(report(100))
    assert [run.usage_matters(story.state, report(tokens)) for tokens in (109, 110)] == [False, True]


def test_a_late_report_on_a_turn_that_is_over_counts_nothing() -> None:
    story = Run(max_tokens=100, cooldown_ms=0)
    late = run.UsageSeen(
        role="worker", turn_id=story.open().turn_id, purpose="work", model="", usage=Usage(input_tokens=9)
    )
    story.settle(costing(10))
    story.happens(late)
    assert story.state.running == ()


def test_checks_run_although_the_budget_is_used_up_and_the_work_may_be_completed() -> None:
    story = Run(max_tokens=100, reviewers=(), checks=("pytest",), looks_for_pull_request=True)
    story.settle(costing(100, text=DONE))
    assert story.all(run.RunChecks)
    story.checks(0)
    story.sees(run.PullRequestStatus(lacks="repository", reason="no repository"))
    assert story.one(run.EndRun).state == "completed"


def test_an_agent_that_has_used_up_its_money_is_no_failure_and_its_turn_resumes() -> None:
    story = Run(max_cost_usd=5.0, cooldown_ms=0)
    story.settle(TurnOutcome(status="failed", cause="budget", error="used up", usage=Usage(cost_usd=1.0)))
    assert story.one(run.EndRun).state == "stopped"
    assert (story.state.failures, story.state.iteration) == (0, 1)
    more = settings(max_cost_usd=10.0, given=("max_cost_usd",), only_given=True)
    story.happens(run.RunResumed(settings=more))
    assert story.one(run.StartTurn).prompt.startswith("Iteration 1 (continued")


# --- money ---


def test_tokens_have_a_cost_only_where_there_is_a_price() -> None:
    story = Run(prices=PRICES, worker_model="big", cooldown_ms=0, max_cost_usd=1.0)
    usage = Usage(input_tokens=10_000, cached_input_tokens=5_000, output_tokens=1_000, cost_known=False)
    story.settle(TurnOutcome(status="finished", usage=usage))
    [spent] = story.state.spent
    assert (spent.usage.cost_usd, spent.usage.cost_known) == (0.155, True)
    story.happens(run.UsageGrew(role="reviewer", turn_id="m", purpose="mail", model="opus", usage=usage))
    assert story.state.spent[1].usage == usage
    assert budgets.uses(story.state) == (BudgetUse(kind="cost", used=0.155, limit=1.0, known=False),)


def test_a_price_of_the_agent_is_that_of_all_its_models() -> None:
    story = Run(prices=PRICES)
    usage = Usage(input_tokens=1_000_000, cost_known=False)
    story.settle(TurnOutcome(status="finished", usage=usage, model="new"))
    [spent] = story.state.spent
    assert (spent.model, spent.usage.cost_usd) == ("new", 1.0)


def test_what_an_agent_reports_itself_is_not_priced() -> None:
    story = Run(prices=PRICES)
    story.settle(costing(1_000_000, usd=0.3))
    assert story.state.spent[0].usage.cost_usd == 0.3


# --- time ---


def test_time_holds_the_run_and_interrupts_it_like_money() -> None:
    story = Run(max_time_ms=600_000, interactive=True)
    assert run.next_tick_ms(story.state) == 60_000
    story.happens(run.TimePassed(ms=590_000))
    assert run.next_tick_ms(story.state) == 10_000
    story.happens(run.TimePassed(ms=10_000))
    assert story.state.hold is not None
    assert run.next_tick_ms(story.state) == 60_000
    story.happens(run.TimePassed(ms=60_000))
    assert story.one(run.InterruptTurn)
    story.settle(INTERRUPTED)
    assert "11m of --max-time 10m" in story.one(run.AskQuestion).question
    assert run.next_tick_ms(story.state) is None, "the time is stopped while the user is asked"


def test_time_stands_still_in_a_pause_and_in_a_run_without_a_limit_of_it() -> None:
    assert run.next_tick_ms(Run().state) is None
    story = Run(max_time_ms=600_000)
    story.happens(run.PauseRequested())
    assert run.next_tick_ms(story.state) is not None
    story.settle(finished())
    assert story.state.paused
    assert run.next_tick_ms(story.state) is None


# --- over resumes and tasks ---


def test_a_new_task_has_the_budget_of_the_run() -> None:
    story = Run(max_tokens=100, max_time_ms=1_000, open_ended=True, interactive=True)
    story.happens(run.TimePassed(ms=5))
    story.settle(costing(60, text=DONE))
    story.happens(run.RunResumed(settings=settings(task="Fix that.", needs_plan=True)))
    story.settle(INTERRUPTED)
    story.settle(INTERRUPTED, "reviewer")
    assert (story.state.run.max_tokens, story.state.run.max_time_ms, story.state.time_ms) == (100, 1_000, 5)
    assert budgets.part(story.state) == 0.6


def test_the_status_says_how_much_is_left() -> None:
    story = in_review(max_tokens=100)
    story.settle(costing(70, text=PASS))
    assert run_status(story.state, NOW).budgets == (BudgetUse(kind="tokens", used=70, limit=100),)


def test_a_resume_with_more_stops_again_when_no_iteration_is_left_either() -> None:
    story = Run(max_tokens=50, max_iterations=1, cooldown_ms=0)
    seen(story, 50)
    story.settle(costing(50))
    assert story.state.phase is run.Phase.STOPPED
    more = settings(max_tokens=1_000, max_iterations=1, given=("max_tokens",), only_given=True)
    story.happens(run.RunResumed(settings=more))
    assert story.state.phase is run.Phase.STOPPED
    assert "iteration 1 of 1 is over" in story.state.detail


def test_a_turn_that_a_new_task_interrupts_is_waited_for_also_when_the_budget_is_used_up() -> None:
    story = Run(max_tokens=50, cooldown_ms=0)
    seen(story, 50)
    turn = story.open().turn_id
    story.happens(run.RunResumed(settings=settings(task="Another one.", max_tokens=50, only_given=True)))
    assert [job.id for job in story.state.open_turns] == [turn]
    assert story.one(run.InterruptTurn).turn_id == turn
