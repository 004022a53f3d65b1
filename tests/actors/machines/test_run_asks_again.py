"""A plan that was not written, and a verdict that breaks the form: asked for once more, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from actors.machines import prompts, run
from actors.machines.run import Phase
from actors.messages import TurnOutcome
from tests.actors.machines.test_run import DONE, FAIL, PASS, Run, failed, finished


class Planning(Run):
    """A run that plans; the PLAN.md of an older task has the digest "old"."""

    def __init__(self, before: str = "old", **changes: Any) -> None:
        super().__init__(**{"needs_plan": True, "asks_again": True, "plan_reviewer": None, **changes})
        self.finds(None, before)

    def finds(self, text: str | None, digest: str = "", error: str = "") -> None:
        [look] = [each for each in run.outstanding(self.state, self.now_ms) if isinstance(each, run.ReadPlan)]
        self.happens(run.PlanRead(read_id=look.read_id, text=text, digest=digest, error=error))


def test_a_plan_that_the_planning_wrote_is_the_plan() -> None:
    story = Planning()
    story.settle(finished("written"))
    story.finds("1. parser", "new")
    assert story.open().purpose == "work"
    assert "Fix the parser." in story.open().prompt
    assert "1. parser" in story.open().prompt


def test_the_plan_of_an_older_task_is_no_plan_and_it_is_asked_for_once_more() -> None:
    story = Planning()
    story.settle(finished("looks good"))
    story.finds("the old task", "old")
    assert story.open().purpose == "plan"
    assert "PLAN.md was there before, and the planning did not change it" in story.open().prompt
    assert prompts.KEEP_PLAN in story.open().prompt
    story.settle(finished("written"))
    story.finds("1. parser", "new")
    assert story.open().purpose == "work"


def test_a_planning_that_writes_nothing_twice_fails_with_words_and_plans_again_when_resumed() -> None:
    story = Planning()
    for _ in range(2):
        story.settle(finished("looks good"))
        story.finds("the old task", "old")
    assert story.one(run.EndRun).state == "failed"
    assert story.one(run.EndRun).detail == (
        "planning left no plan: PLAN.md was there before, and the planning did not change it"
    )
    story.happens(run.RunResumed())
    assert story.open().purpose == "plan"


def test_an_agent_can_say_that_the_plan_that_was_there_is_the_plan_when_it_is_asked_again() -> None:
    story = Planning()
    story.settle(finished(f"it is fine\n{prompts.KEEP_PLAN}"))  # nobody has asked yet
    story.finds("1. parser", "old")
    story.settle(finished(f"it is the plan\n{prompts.KEEP_PLAN}"))
    story.finds("1. parser", "old")
    assert story.open().purpose == "work"


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        (None, "", "there is no PLAN.md"),
        (" \n", "", "PLAN.md is empty"),
        (None, "PLAN.md: it is a directory", "PLAN.md: it is a directory"),
    ],
)
def test_without_a_plan_the_agent_is_asked_once_more_with_the_reason_and_then_the_run_fails(
    text: str | None, error: str, why: str
) -> None:
    story = Planning(before="")
    story.settle(finished())
    story.finds(text, error=error)
    assert why in story.open().prompt
    story.settle(finished())
    story.finds(text, error=error)
    assert story.one(run.EndRun).detail == f"planning left no plan: {why}"


def test_a_plan_that_its_reviewer_leaves_alone_is_the_plan() -> None:
    story = Planning(plan_reviewer="reviewer")
    story.settle(finished())
    story.finds("1. parser", "new")
    story.settle(finished(), "reviewer")
    story.finds("1. parser", "new")
    assert story.open().purpose == "work"


def test_the_users_own_words_stand_in_every_prompt_beside_the_plan() -> None:
    story = Planning(cooldown_ms=0)
    story.settle(finished())
    story.finds("1. step", "new")
    story.settle(finished("half"))
    asked = [story.open().prompt]
    story.settle(finished(DONE))
    asked += [story.open().prompt, story.open("reviewer").prompt]
    story.reviews(PASS, PASS)
    asked.append(story.open().prompt)
    assert all("Fix the parser." in prompt and "1. step" in prompt for prompt in asked)


def in_review(**changes: Any) -> Run:
    story = Run(**{"asks_again": True, "cooldown_ms": 0, **changes})
    story.settle(finished(DONE))
    assert story.state.phase is Phase.REVIEWING
    return story


def test_a_verdict_that_breaks_the_form_is_asked_for_once_more_in_the_same_session() -> None:
    story = in_review()
    story.settle(finished(PASS))
    story.settle(finished("fine, **PASS**"), "reviewer")
    assert story.open("reviewer").prompt.startswith("Review round 1: verdict\n")
    assert "has no verdict" in story.open("reviewer").prompt
    assert story.state.phase is Phase.REVIEWING
    story.settle(finished(PASS), "reviewer")
    assert story.open().purpose == "pull-request"
    assert run.fold(story.journal) == story.state


def test_the_findings_of_the_review_are_the_reason_of_the_fail_that_follows_alone() -> None:
    story = in_review()
    story.settle(finished(PASS))
    story.settle(finished("app.py:3 is wrong"), "reviewer")
    story.settle(finished(FAIL), "reviewer")
    assert story.open().purpose == "work"
    assert "app.py:3 is wrong" in story.open().prompt


def test_a_verdict_that_cannot_be_read_costs_no_iteration_and_is_never_an_approval() -> None:
    story = in_review()
    story.settle(finished(PASS))
    story.settle(finished("fine"), "reviewer")
    story.settle(finished("fine"), "reviewer")
    assert "claude's verdict counts neither way: the review has no verdict" in story.said()
    assert (story.state.phase, story.state.review_round, story.state.iteration) == (Phase.REVIEWING, 2, 1)
    assert story.open("reviewer").prompt.startswith("Review round 2\n")


def test_verdicts_that_cannot_be_read_in_two_rounds_end_a_run_that_can_ask_nobody_with_the_cause() -> None:
    story = in_review()
    for _ in range(2):
        story.settle(finished(PASS))
        story.settle(finished("fine"), "reviewer")
        story.settle(finished("fine"), "reviewer")
    assert story.one(run.EndRun).state == "failed"
    assert "no verdict can be read: claude broke the form in two review rounds" in story.one(run.EndRun).detail
    story.happens(run.RunResumed())
    story.reviews(PASS, PASS)
    assert story.open().purpose == "pull-request"


def test_verdicts_that_cannot_be_read_in_two_rounds_are_a_persons_to_give() -> None:
    story = in_review(interactive=True)
    for _ in range(2):
        story.settle(finished(PASS))
        story.settle(finished("fine"), "reviewer")
        story.settle(finished("fine"), "reviewer")
    assert story.state.paused
    assert "claude broke the form" in run.describe(story.state)
    story.happens(run.VerdictSubmitted(approved=True))
    assert story.open().purpose == "pull-request"


def test_changes_that_one_reviewer_asks_for_do_not_wait_for_the_form_of_the_other() -> None:
    story = in_review()
    story.settle(finished(f"a.py: wrong\n{FAIL}"))
    story.settle(finished("fine"), "reviewer")
    story.settle(finished("fine"), "reviewer")
    assert story.open().purpose == "work"
    assert "a.py: wrong" in story.open().prompt


def test_a_reviewer_that_fails_when_it_is_asked_again_has_given_no_verdict() -> None:
    story = in_review()
    story.settle(finished(PASS))
    story.settle(finished("fine"), "reviewer")
    story.settle(failed("boom"), "reviewer")
    assert story.open().purpose == "work"
    assert "boom" in story.open().prompt


def test_a_review_that_takes_too_long_is_asked_for_its_verdict_once() -> None:
    story = in_review(reviewers=("reviewer",), review_patience_ms=60_000)
    assert story.open("reviewer").within_ms == 60_000
    late = TurnOutcome(status="failed", error="the review turn took longer than 1 m", cause="overdue")
    story.settle(late, "reviewer")
    assert "claude's verdict is asked for now: the review turn took longer than 1 m" in story.said()
    asked = story.open("reviewer")
    assert asked.prompt.startswith("Review round 1: verdict\n")
    assert asked.within_ms == 60_000
    story.settle(finished(f"a.py: wrong\n{FAIL}"), "reviewer")
    assert [(note.kind, note.text) for note in story.state.notes] == [("review", "a.py: wrong")]


def test_a_review_that_takes_too_long_twice_is_no_approval() -> None:
    story = in_review(reviewers=("reviewer",), review_patience_ms=60_000)
    late = TurnOutcome(status="failed", error="the review turn took longer than 1 m", cause="overdue")
    story.settle(late, "reviewer")
    story.settle(late, "reviewer")
    assert story.state.phase is run.Phase.WORKING
    assert [note.kind for note in story.state.notes] == ["no-verdict"]


def test_a_work_turn_that_takes_too_long_has_failed_and_is_not_waited_for() -> None:
    story = Run(cooldown_ms=0)
    late = TurnOutcome(status="failed", error="the work turn took longer than 1 h", cause="overdue")
    story.settle(late)
    assert (story.state.iteration, story.state.failures) == (2, 1)
    assert "[loop] the work turn took longer than 1 h. Look at what is there" in story.open().prompt


def test_a_silent_agent_holds_the_run_at_once_and_its_turn_resumes() -> None:
    story = Run(interactive=True)
    story.settle(TurnOutcome(status="failed", error="the agent is silent", cause="silent"))
    assert story.state.paused
    assert "the agent is silent" in story.state.stuck
    story.happens(run.ResumeRequested())
    assert story.open().prompt.startswith("Iteration 1 (continued)")


def test_a_silent_reviewer_is_left_out_at_once_where_the_settings_say_so() -> None:
    story = in_review(on_unavailable="skip")
    story.settle(TurnOutcome(status="failed", error="the agent is silent", cause="silent"), "reviewer")
    assert "claude does not review" in story.said()
    assert [each.verdict.kind for each in story.state.verdicts] == ["unavailable"]
