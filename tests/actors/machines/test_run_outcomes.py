"""What a review comes to: nothing but a pass approves, and nothing but a verdict costs an iteration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.machines import run
from actors.machines.run import Phase
from actors.messages import Cause, TurnOutcome
from actors.settings import Role
from tests.actors.machines.test_run import DONE, FAIL, INTERRUPTED, NOW, PASS, Run, failed, finished, limited

HOUR_MS = 3_600_000
TYPED_PASS = json.dumps({"verdict": "pass", "summary": "good", "findings": [], "earlier": []})


def in_review(on_unavailable: str = "ask", **changes: Any) -> Run:
    of_today = {"asks_again": True, "keeps_findings": True, "cooldown_ms": 0, "max_wait_ms": 12 * HOUR_MS}
    story = Run(**{**of_today, "on_unavailable": on_unavailable, **changes})
    story.timed = True
    story.settle(finished(DONE))
    assert story.state.phase is Phase.REVIEWING
    return story


def refused(cause: Cause = "login") -> TurnOutcome:
    return TurnOutcome(status="failed", error=f"{cause} is wrong", cause=cause)


def cannot_work(story: Run, role: Role = "reviewer", outcome: TurnOutcome | None = None) -> None:
    """Twice in a row."""
    story.settle(outcome or refused(), role)
    story.wait()
    story.settle(outcome or refused(), role)


def is_undecided(story: Run) -> bool:
    """Neither approved nor turned down: no iteration was used."""
    return story.state.iteration == 1 and story.state.phase not in (Phase.PULL_REQUEST, Phase.COMPLETED)


@pytest.mark.parametrize(
    "outcome", [refused("login"), refused("billing"), refused("unavailable"), failed(), INTERRUPTED]
)
def test_a_reviewer_that_never_ran_approves_nothing_and_headless_the_run_fails_with_the_cause(
    outcome: TurnOutcome,
) -> None:
    story = in_review()
    story.settle(finished(PASS))
    cannot_work(story, outcome=outcome)
    assert is_undecided(story)
    end = story.one(run.EndRun)
    assert end.state == "failed"
    assert "claude's turn" in end.detail
    assert outcome.error in end.detail
    story.happens(run.RunResumed())
    assert story.open("reviewer").purpose == "review"


def test_a_person_is_asked_when_there_is_one() -> None:
    story = in_review(interactive=True)
    story.settle(finished(PASS))
    cannot_work(story)
    assert is_undecided(story)
    assert run.describe(story.state).startswith("paused, review round 1: waits for the user to resume it")
    assert "login is wrong" in run.describe(story.state)


def test_with_wait_the_reviewer_is_waited_for_up_to_the_longest_wait_and_no_further() -> None:
    story = in_review("wait")
    story.settle(finished(PASS))
    for _ in range(30):
        story.settle(refused(), "reviewer")
        story.wait()
    assert story.state.phase is Phase.REVIEWING
    story.settle(finished(PASS), "reviewer")
    assert story.state.phase is Phase.PULL_REQUEST

    story = in_review("wait", max_wait_ms=HOUR_MS)
    story.settle(finished(PASS))
    while not story.all(run.EndRun):
        story.settle(refused(), "reviewer")
        if story.all(run.StartCooldown):
            story.wait()
    assert story.now_ms > NOW + HOUR_MS / 2
    assert "login is wrong" in story.one(run.EndRun).detail


def test_with_fail_the_run_fails_even_when_a_person_is_there() -> None:
    story = in_review("fail", interactive=True)
    story.settle(finished(PASS))
    cannot_work(story)
    assert story.one(run.EndRun).state == "failed"
    assert "login is wrong" in story.one(run.EndRun).detail


def test_with_skip_the_other_reviewer_alone_decides_and_the_last_line_says_so() -> None:
    story = in_review("skip")
    cannot_work(story)
    assert is_undecided(story)
    story.settle(finished(f"no\n{FAIL}"))
    assert (story.state.phase, story.state.iteration) == (Phase.WORKING, 2)
    assert [note.source for note in story.state.notes] == ["codex"]
    story.settle(finished(DONE))
    cannot_work(story)
    story.settle(finished(PASS))
    assert story.state.phase is Phase.PULL_REQUEST
    story.settle(finished("opened"))
    assert story.one(run.EndRun).detail == (
        "review approved without claude (not independent: codex reviewed its own work)"
    )


def test_with_skip_there_are_never_no_reviewers() -> None:
    story = in_review("skip")
    cannot_work(story)
    cannot_work(story, "worker", refused("billing"))
    assert is_undecided(story)
    end = story.one(run.EndRun)
    assert end.state == "failed"
    assert "no reviewer can work" in end.detail
    assert "login is wrong" in end.detail
    assert "billing is wrong" in end.detail
    story.happens(run.RunResumed())
    assert story.open().purpose == story.open("reviewer").purpose == "review"


def test_with_other_the_peer_reviews_in_its_place_and_the_report_says_that_it_is_its_own_work() -> None:
    story = in_review("other", reviewers=("reviewer",))
    cannot_work(story)
    assert story.open().purpose == "review"
    assert "not independent" in story.said()
    story.settle(finished(PASS))
    assert story.state.phase is Phase.PULL_REQUEST
    story.settle(finished("opened"))
    assert "without claude (not independent: codex reviewed its own work)" in story.one(run.EndRun).detail


def test_with_other_a_peer_that_reviews_in_place_of_the_worker_is_independent() -> None:
    story = in_review("other", reviewers=("worker",))
    cannot_work(story, "worker")
    story.settle(finished(f"bad\n{FAIL}"), "reviewer")
    assert (story.state.phase, story.state.iteration) == (Phase.WORKING, 2)
    assert "bad" in story.open().prompt
    story.settle(finished(DONE))
    cannot_work(story, "worker")
    story.settle(finished(PASS), "reviewer")
    story.settle(finished("opened"))
    assert story.one(run.EndRun).detail == "review approved without codex"


def test_with_other_a_peer_that_reviews_already_is_asked_once_and_one_that_cannot_work_either_ends_it() -> None:
    story = in_review("other")
    cannot_work(story)
    assert [turn.role for turn in story.state.open_turns] == ["worker"]
    cannot_work(story, "worker", refused("billing"))
    assert "no reviewer can work" in story.one(run.EndRun).detail
    assert is_undecided(story)


def test_a_single_agent_has_nobody_who_reviews_in_its_place() -> None:
    story = in_review("other", paired=False, reviewer="codex", reviewers=("reviewer",))
    cannot_work(story)
    assert "no reviewer can work" in story.one(run.EndRun).detail


@pytest.mark.parametrize("policy", ["ask", "wait", "skip", "other", "fail"])
def test_a_limit_during_a_review_is_waited_out_and_approves_nothing(policy: str) -> None:
    story = in_review(policy)
    story.settle(finished(PASS))
    story.settle(limited(NOW + HOUR_MS), "reviewer")
    assert is_undecided(story)
    assert "the end of claude's limit" in run.describe(story.state)
    story.wait()
    story.settle(finished(PASS), "reviewer")
    assert story.state.phase is Phase.PULL_REQUEST


def test_with_skip_a_reviewer_whose_limit_is_not_waited_for_is_left_out() -> None:
    story = in_review("skip", max_wait_ms=0)
    story.settle(limited(NOW + HOUR_MS), "reviewer")
    assert [each.verdict.kind for each in story.state.verdicts] == ["limited"]
    story.settle(finished(PASS))
    story.settle(finished("opened"))
    assert "without claude" in story.one(run.EndRun).detail


MIXED = f"FINDING app.py:1 | it is wrong\n{PASS}"


@pytest.mark.parametrize("text", ["", "looks good", f"{PASS}\nor {FAIL}", MIXED, "{", TYPED_PASS[:-1], "x" * 400_000])
def test_a_verdict_that_is_garbage_or_mixed_is_asked_for_once_more_and_approves_nothing(text: str) -> None:
    story = in_review()
    story.settle(finished(PASS))
    story.settle(finished(text), "reviewer")
    assert "once more" in story.said()
    assert story.open("reviewer").prompt.startswith("Review round 1: verdict")
    story.settle(finished(text), "reviewer")
    assert is_undecided(story)
    assert story.state.review_round == 2
    story.reviews(PASS, TYPED_PASS)
    assert story.state.phase is Phase.PULL_REQUEST


def test_a_typed_pass_approves_and_typed_changes_cost_an_iteration() -> None:
    story = in_review()
    assert story.open("reviewer").typed
    story.reviews(PASS, json.dumps({"verdict": "changes", "findings": [{"place": "a.py:1", "description": "wrong"}]}))
    assert story.state.iteration == 2
    assert "f1 [blocking] a.py:1: wrong" in story.open().prompt
    story.settle(finished(DONE))
    story.reviews(PASS, TYPED_PASS)
    assert story.state.phase is Phase.PULL_REQUEST


def test_a_review_whose_form_the_provider_may_have_refused_is_asked_for_without_it() -> None:
    story = in_review()
    story.settle(failed("text.format is not supported"), "reviewer")
    story.wait()
    assert not story.open("reviewer").typed
    story.settle(finished(PASS), "reviewer")
    story.settle(finished(PASS))
    assert story.state.phase is Phase.PULL_REQUEST


def test_a_review_that_fails_for_another_reason_each_time_is_not_given_up() -> None:
    story = in_review()
    for outcome in (failed(), refused(), failed(), refused(), failed()):
        story.settle(outcome, "reviewer")
        story.wait()
    assert story.state.phase is Phase.REVIEWING
    assert story.open("reviewer").purpose == "review"


def test_a_worker_that_cannot_work_is_not_replaced_by_its_reviewer() -> None:
    story = Run(on_unavailable="other")
    story.timed = True
    cannot_work(story, "worker", refused("billing"))
    assert story.one(run.EndRun).state == "failed"
    assert "billing is wrong" in story.one(run.EndRun).detail


def test_in_a_journal_of_before_a_review_that_failed_costs_an_iteration_as_it_did_then() -> None:
    story = in_review("", keeps_findings=False, asks_again=False)
    story.settle(finished(PASS))
    story.settle(failed(), "reviewer")
    assert (story.state.phase, story.state.iteration) == (Phase.WORKING, 2)


@pytest.mark.parametrize(("counts_verdicts", "rounds"), [(True, 1), (False, 3)])
def test_a_round_in_which_no_reviewer_could_work_is_none_of_the_rounds_that_a_task_has(
    counts_verdicts: bool, rounds: int
) -> None:
    story = in_review("skip", reviewers=("reviewer",), interactive=True, max_rounds=2, counts_verdicts=counts_verdicts)
    for _ in range(2):
        cannot_work(story)
        assert "no reviewer can work" in run.describe(story.state)
        story.happens(run.RunResumed())
    story.settle(finished(f"no\n{FAIL}"), "reviewer")
    assert story.state.progress.rounds == rounds
    assert bool(story.all(run.AskQuestion)) is not counts_verdicts


def test_a_round_whose_verdicts_cannot_be_read_is_none_of_them_either() -> None:
    story = in_review(reviewers=("reviewer",), interactive=True, max_rounds=1, counts_verdicts=True)
    story.settle(finished("good"), "reviewer")
    story.settle(finished("good"), "reviewer")
    assert (story.state.review_round, story.state.progress.rounds) == (2, 1)
    story.settle(finished(PASS), "reviewer")
    assert story.state.phase is Phase.PULL_REQUEST
