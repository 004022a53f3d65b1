"""A used-up window: waited for, given to the other agent, or a reason to stop; and looked at before a turn."""

from __future__ import annotations

from typing import Any

import pytest

from actors.machines import backoff, run
from actors.machines.run import Phase
from actors.machines.run_status import run_status
from actors.messages import TurnOutcome, Window
from actors.runners.wait import left_ms
from actors.settings import Role
from tests.actors.machines.test_run import DONE, FAIL, NOW, PASS, Run, finished, limited

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
RESET = NOW + 2 * HOUR_MS


def begun(**changes: Any) -> Run:
    story = Run(**{"max_wait_ms": 12 * HOUR_MS, "looks_at_limits": True, "cooldown_ms": 0, **changes})
    story.timed = True
    return story


def used(percent: float, text: str = "", resets_at_ms: int | None = RESET) -> TurnOutcome:
    window = Window(used_percent=percent, resets_at_ms=resets_at_ms, name="five-hour limit")
    return TurnOutcome(status="finished", text=text, window=window)


def waits(story: Run) -> list[run.StartCooldown]:
    return [each for each in run.outstanding(story.state, story.now_ms) if isinstance(each, run.StartCooldown)]


def turns(story: Run) -> list[tuple[Role, str]]:
    out = run.outstanding(story.state, story.now_ms)
    return [(each.role, each.purpose) for each in out if isinstance(each, run.StartTurn)]


# --- before a turn ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("percent", "starts"), [(0, True), (94.9, True), (95, False), (100, False), (130, False)])
def test_a_turn_starts_unless_its_agents_window_is_nearly_used_up(percent: float, starts: bool) -> None:
    story = begun()
    story.settle(used(percent))
    assert (turns(story) == [("worker", "work")]) == starts
    assert bool(waits(story)) != starts


def test_a_turn_that_waits_for_a_reset_starts_then_once_and_is_the_same_turn() -> None:
    story = begun()
    story.settle(used(97))
    [wait] = waits(story)
    assert wait.until_ms == RESET + backoff.LIMIT_MARGIN_MS
    assert wait.reason == "limit"
    assert "used to 97 %" in story.said()
    assert "in 2 h" in story.said()
    assert run_status(story.state, story.now_ms).waits_until_ms == wait.until_ms
    story.wait()
    assert turns(story) == [("worker", "work")]
    assert story.state.iteration == 2
    assert story.open().prompt.startswith("Iteration 2\n")
    story.settle(used(12))
    assert turns(story) == [("worker", "work")]


def test_the_wait_before_a_turn_ends_at_the_same_moment_after_a_crash() -> None:
    story = begun()
    story.settle(used(97))
    state = run.fold(story.journal)
    for now_ms in (NOW, NOW + HOUR_MS, RESET + HOUR_MS):
        [wait] = [each for each in run.outstanding(state, now_ms) if isinstance(each, run.StartCooldown)]
        assert wait.ms == max(RESET + backoff.LIMIT_MARGIN_MS - now_ms, 0)


def test_only_the_reviewer_whose_window_is_nearly_used_up_waits() -> None:
    story = begun()
    story.settle(finished(DONE))
    story.settle(used(99, FAIL), "reviewer")
    story.settle(finished(FAIL))
    story.settle(finished(DONE))
    assert turns(story) == [("worker", "review")]
    assert len(waits(story)) == 1
    story.settle(finished(PASS))
    assert story.state.phase is Phase.REVIEWING
    story.wait()
    story.settle(finished(PASS), "reviewer")
    assert story.state.phase is Phase.PULL_REQUEST


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"looks_at_limits": False}, used(99)),
        ({"at_limit": "stop"}, used(99)),
        ({"max_wait_ms": HOUR_MS}, used(99)),
        ({}, used(99, resets_at_ms=None)),
        ({}, used(99, resets_at_ms=NOW - 1)),
        ({}, finished()),
    ],
)
def test_a_turn_starts_where_the_reset_is_not_waited_for_or_not_known(
    changes: dict[str, Any], outcome: TurnOutcome
) -> None:
    story = begun(**changes)
    story.settle(outcome)
    assert turns(story) == [("worker", "work")]


def test_a_turn_that_a_pause_keeps_back_is_looked_at_when_the_run_resumes() -> None:
    story = begun()
    story.happens(run.PauseRequested())
    story.settle(used(99))
    assert story.state.paused
    story.happens(run.ResumeRequested())
    assert turns(story) == []
    story.wait()
    assert turns(story) == [("worker", "work")]


def test_a_window_is_remembered_for_the_next_task() -> None:
    story = begun(open_ended=True, reviewers=())
    story.settle(finished(DONE))
    story.settle(used(99, "opened"))
    story.happens(run.QuestionAnswered(text="Now the lexer."))
    assert turns(story) == []
    assert len(waits(story)) == 1


def test_a_clock_that_was_set_back_makes_no_wait_longer_than_the_settings_allow() -> None:
    story = begun()
    story.settle(used(97))
    story.now_ms -= 365 * 24 * HOUR_MS
    [wait] = waits(story)
    assert wait.ms == 12 * HOUR_MS + backoff.LIMIT_MARGIN_MS


@pytest.mark.parametrize(
    ("now_ms", "passed_ms", "left"),
    [
        (NOW, 0, 60_000),
        (NOW + 20_000, 20_000, 40_000),
        (NOW + 90_000, 20_000, -30_000),  # the machine has slept, or its clock was set forward
        (NOW - HOUR_MS, 20_000, 40_000),  # its clock was set back
        (NOW - HOUR_MS, 60_000, 0),
    ],
)
def test_a_wait_ends_by_whichever_clock_says_so_first(now_ms: int, passed_ms: int, left: int) -> None:
    wait = run.StartCooldown(wait_id="1", iteration=1, ms=60_000, until_ms=NOW + 60_000, reason="limit")
    assert left_ms(wait, now_ms=now_ms, passed_ms=passed_ms) == left


# --- stop -------------------------------------------------------------------------------------------------------------


def test_a_run_that_is_not_to_wait_stops_with_the_cause_and_the_reset_and_resumes_at_that_turn() -> None:
    story = begun(at_limit="stop")
    story.settle(limited(RESET))
    end = story.one(run.EndRun)
    assert end.state == "failed"
    assert "codex's turn was limited: limit; it resets at 1970-01-01 02:16 UTC, in 2 h; it is not waited" in end.detail
    assert "--no-wait" in end.detail
    story.happens(run.RunResumed())
    assert turns(story) == [("worker", "work")]
    assert story.state.iteration == 1


def test_with_a_user_at_the_terminal_a_run_that_is_not_to_wait_pauses() -> None:
    story = begun(at_limit="stop", interactive=True)
    story.settle(limited(RESET))
    assert story.state.paused
    assert "it resets at" in run.describe(story.state)
    story.happens(run.ResumeRequested())
    assert turns(story) == [("worker", "work")]


@pytest.mark.parametrize("at_limit", ["wait", "swap", "stop"])
def test_a_provider_that_only_throttles_is_asked_again_whatever_is_done_at_a_limit(at_limit: str) -> None:
    story = begun(at_limit=at_limit)
    story.settle(limited(None))
    [wait] = waits(story)
    assert wait.ms == backoff.BACKOFF_FIRST_MS
    assert not story.state.is_swapped


# --- swap -------------------------------------------------------------------------------------------------------------


def swapping(**changes: Any) -> Run:
    return begun(at_limit="swap", **changes)


def test_the_other_agent_takes_the_work_over_with_a_hand_off() -> None:
    story = swapping()
    limit = TurnOutcome(status="limited", text="half of it is written", error="limit", resets_at_ms=RESET)
    story.settle(limit)
    assert turns(story) == [("reviewer", "work")]
    assert "claude takes the work over" in story.said()
    assert "codex reviews it" in story.said()
    prompt = story.open("reviewer").prompt
    assert prompt.startswith("Iteration 1 (continued)\n")
    for words in (
        'from "codex"',
        "half of it is written",
        "Fix the parser.",
        "git status",
        'another agent, "codex"',
        DONE,
    ):
        assert words in prompt
    assert story.state.iteration == 1
    assert run.describe(story.state) == "iteration 1 of 20: waits for claude (in codex's place)"


def test_the_hand_off_names_what_is_in_the_directory() -> None:
    story = swapping(binds_to_tree=True)
    [take] = story.all(run.TakeTree)
    base = run.Tree(id="a" * 40, commit="c0", branch="main")
    story.happens(run.TreeTaken(take_id=take.take_id, tree=base))
    story.settle(limited(RESET))
    [take] = story.all(run.TakeTree)
    assert take.since == base.id
    now = run.Tree(id="b" * 40, commit="c1", branch="main")
    seen = run.TreeTaken(take_id=take.take_id, tree=now, changed=("parser.py",), uncommitted=("lexer.py",))
    story.happens(seen)
    prompt = story.open("reviewer").prompt
    for words in ("commit c1 on branch main", "changed since the run began: parser.py", "not committed: lexer.py"):
        assert words in prompt


def test_the_limited_agent_reviews_when_it_is_back_and_nothing_is_approved_before() -> None:
    story = swapping()
    story.settle(limited(RESET))
    story.settle(finished(DONE), "reviewer")
    assert story.state.phase is Phase.REVIEWING
    assert turns(story) == [("reviewer", "review")]
    assert 'Send what must change to "' not in story.open("reviewer").prompt
    story.settle(finished(PASS), "reviewer")
    assert story.state.phase is Phase.REVIEWING
    story.wait()
    assert story.now_ms == RESET + backoff.LIMIT_MARGIN_MS
    assert 'Send what must change to "claude"' in story.open().prompt
    story.settle(finished(PASS))
    assert turns(story) == [("reviewer", "pull-request")]
    story.settle(finished("none"), "reviewer")
    assert story.one(run.EndRun).detail == "review approved; claude took work over at codex's limit"


def test_the_agent_that_took_over_keeps_the_work_in_the_next_iteration() -> None:
    story = swapping()
    story.settle(limited(RESET))
    story.settle(finished(DONE), "reviewer")
    story.settle(finished(PASS), "reviewer")
    story.wait()
    story.settle(finished(f"the lexer is wrong\n{FAIL}"))
    assert turns(story) == [("reviewer", "work")]
    assert "[codex] the lexer is wrong" in story.open("reviewer").prompt


@pytest.mark.parametrize(("reviewers", "asked"), [(("reviewer",), {"worker", "reviewer"}), (("worker",), {"worker"})])
def test_the_author_is_never_the_only_reviewer_after_a_swap(reviewers: tuple[Role, ...], asked: set[Role]) -> None:
    story = swapping(reviewers=reviewers)
    story.settle(limited(NOW + 1))
    story.now_ms += HOUR_MS
    story.settle(TurnOutcome(status="finished", text=DONE), "reviewer")
    assert {role for role, _ in turns(story)} == asked


def test_both_are_limited_the_one_that_is_back_first_works() -> None:
    story = swapping()
    story.settle(limited(RESET))
    story.settle(limited(RESET + HOUR_MS), "reviewer")
    assert turns(story) == []
    [wait] = waits(story)
    assert wait.until_ms == RESET + backoff.LIMIT_MARGIN_MS
    story.wait()
    assert turns(story) == [("worker", "work")]
    assert not story.state.is_swapped
    other = swapping()
    other.settle(limited(RESET))
    other.settle(limited(RESET - HOUR_MS), "reviewer")
    other.wait()
    assert turns(other) == [("reviewer", "work")]


@pytest.mark.parametrize("resets_at_ms", [None, NOW - 1])
def test_two_agents_whose_resets_are_not_known_are_asked_with_a_back_off_and_not_in_turns(
    resets_at_ms: int | None,
) -> None:
    story = swapping()
    asked = 0
    outcome = TurnOutcome(status="limited", error="limit", resets_at_ms=resets_at_ms, window=Window(used_percent=100))
    began_ms = story.now_ms
    while story.now_ms < began_ms + HOUR_MS:
        if waits(story):
            story.wait()
        [(role, _)] = turns(story)
        story.settle(outcome, role)
        asked += 1
    assert asked <= 16


def test_the_work_is_given_away_before_a_turn_that_would_end_inside_the_window() -> None:
    story = swapping()
    story.settle(used(98))
    assert turns(story) == [("reviewer", "work")]
    assert story.open("reviewer").prompt.startswith("Iteration 2 (continued)\n")


def test_a_plan_is_taken_over_too_and_its_author_does_not_review_it() -> None:
    story = swapping(needs_plan=True)
    story.settle(limited(RESET))
    assert turns(story) == [("reviewer", "plan")]
    story.settle(finished("written"), "reviewer")
    story.reads("1. parser")
    assert turns(story) == [("reviewer", "work")]
    assert "the plan is not reviewed" in story.said()


@pytest.mark.parametrize(("own", "model"), [("opus", "opus"), ("", "haiku")])
def test_the_agent_that_takes_over_works_with_its_model_for_work(own: str, model: str) -> None:
    story = swapping(reviewer_model="haiku", reviewer_work_model=own)
    story.settle(limited(RESET))
    assert story.open("reviewer").model == model


def test_a_limited_reviewer_is_waited_for_since_a_review_is_not_given_to_the_author() -> None:
    story = swapping()
    story.settle(finished(DONE))
    story.settle(limited(RESET), "reviewer")
    assert turns(story) == [("worker", "review")]
    assert len(waits(story)) == 1


def test_an_agent_without_a_peer_waits() -> None:
    story = swapping(paired=False, reviewers=("reviewer",))
    story.settle(limited(RESET))
    assert turns(story) == []
    assert len(waits(story)) == 1


def test_a_swap_folds_to_itself_after_a_kill_at_any_moment() -> None:
    story = swapping(binds_to_tree=True)
    [take] = story.all(run.TakeTree)
    story.happens(run.TreeTaken(take_id=take.take_id, tree=run.Tree(id="a" * 40)))
    story.settle(limited(RESET))
    assert run.fold(story.journal) == story.state
    [take] = story.all(run.TakeTree)
    story.happens(run.PauseRequested())
    story.happens(run.TreeTaken(take_id=take.take_id, tree=run.Tree(id="b" * 40)))
    story.happens(run.ResumeRequested())
    assert turns(story) == [("reviewer", "work")]
    assert run.fold(story.journal) == story.state


def test_the_next_task_begins_with_the_agent_that_the_settings_name() -> None:
    story = swapping(open_ended=True, reviewers=())
    story.settle(limited(NOW + 1))
    story.now_ms += HOUR_MS
    story.settle(finished(DONE), "reviewer")
    story.settle(finished("none"), "reviewer")
    story.happens(run.QuestionAnswered(text="Now the lexer."))
    assert turns(story) == [("worker", "plan")]
