"""A provider that is away, a limit, an agent that cannot work: in every phase, with a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from actors.machines import backoff, run
from actors.machines.run import Phase
from actors.machines.run_status import counted_down, run_status
from actors.messages import Cause, TurnOutcome
from actors.settings import Role
from tests.actors.machines.test_run import DONE, NOW, PASS, Run, finished, limited

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def away(text: str = "") -> TurnOutcome:
    return TurnOutcome(status="failed", error="API Error: 529 Overloaded", cause="transient", text=text)


def refused(cause: Cause) -> TurnOutcome:
    return TurnOutcome(status="failed", error=f"{cause} is wrong", cause=cause)


def planning() -> Run:
    return Run(needs_plan=True)


def plan_review() -> Run:
    story = planning()
    story.settle(finished("written"))
    story.reads("1. parser")
    return story


def working() -> Run:
    return Run()


def reviewing() -> Run:
    story = Run()
    story.settle(finished(DONE))
    return story


def publishing() -> Run:
    story = reviewing()
    story.reviews(PASS, PASS)
    return story


PHASES: list[tuple[Callable[[], Run], Phase, Role]] = [
    (planning, Phase.PLANNING, "worker"),
    (plan_review, Phase.PLAN_REVIEW, "reviewer"),
    (working, Phase.WORKING, "worker"),
    (reviewing, Phase.REVIEWING, "reviewer"),
    (reviewing, Phase.REVIEWING, "worker"),
    (publishing, Phase.PULL_REQUEST, "worker"),
]
in_every_phase = pytest.mark.parametrize(("begin", "phase", "role"), PHASES)


def begun(begin: Callable[[], Run], phase: Phase, **changes: object) -> Run:
    story = begin()
    assert story.state.phase is phase
    # As the command line sets it; after the first event, so that each beginning above stays a plain call.
    settings = msgspec.structs.replace(story.state.run, **{"max_wait_ms": 12 * HOUR_MS, **changes})
    story.state = msgspec.structs.replace(story.state, settings=settings)
    story.timed = True
    return story


@in_every_phase
def test_an_outage_of_ten_minutes_costs_no_iteration_no_failure_and_no_turn(
    begin: Callable[[], Run], phase: Phase, role: Role
) -> None:
    story = begun(begin, phase)
    before = story.open(role)
    place = (story.state.phase, story.state.iteration, story.state.review_round)
    over_ms = story.now_ms + 10 * MINUTE_MS
    tries = 0
    while story.now_ms < over_ms:
        story.settle(away(), role)
        tries += 1
        assert (story.state.phase, story.state.iteration, story.state.review_round) == place
        assert story.state.failures == 0
        assert not story.all(run.EndRun)
        story.wait()
    again = story.open(role)
    assert 5 <= tries <= 12
    assert (again.purpose, again.role) == (before.purpose, role)
    assert before.prompt.partition("\n")[0] in again.prompt
    assert "provider could not be reached" in again.prompt
    story.settle(finished(PASS if phase is Phase.REVIEWING else DONE), role)
    assert story.state.verdicts == () or all(each.verdict.approves for each in story.state.verdicts)


def test_the_retry_reminds_of_the_prompt_that_the_session_has_and_is_no_second_prompt() -> None:
    story = begun(working, Phase.WORKING)
    first = story.open()
    story.settle(away())
    story.wait()
    again = story.open()
    assert again.continues == first.turn_id
    assert "Fix the parser." not in again.reminder
    assert "is earlier in this conversation" in again.reminder


def test_the_waits_grow_from_seconds_to_minutes_and_no_further() -> None:
    waits = [backoff.retry_ms(5_000, tries, "id") for tries in range(40)]
    assert 5_000 <= waits[0] <= 7_500
    assert waits == sorted(waits)
    assert backoff.RETRY_LAST_MS <= waits[-1] <= backoff.RETRY_LAST_MS * 1.5


def test_two_turns_do_not_ask_again_in_step_and_each_always_after_the_same_wait() -> None:
    assert backoff.retry_ms(5_000, 3, "one") == backoff.retry_ms(5_000, 3, "one")
    assert len({backoff.retry_ms(5_000, 3, f"id {number}") for number in range(20)}) > 10


def test_the_wait_is_told_with_its_cause_and_with_when_it_ends() -> None:
    story = begun(working, Phase.WORKING)
    story.settle(away())
    assert "API Error: 529 Overloaded; retry 1 in " in story.said()
    assert run.describe(story.state) == (
        "iteration 1 of 20: waits for codex: provider unavailable (API Error: 529 Overloaded): retry 1"
    )


def test_after_a_crash_the_wait_ends_when_it_would_have_ended() -> None:
    story = begun(working, Phase.WORKING)
    story.settle(away())
    [before] = run.outstanding(story.state, story.now_ms)
    [after] = run.outstanding(story.state, story.now_ms + 4_000)
    assert isinstance(before, run.StartCooldown)
    assert isinstance(after, run.StartCooldown)
    assert after.ms == before.ms - 4_000
    assert after.until_ms == before.until_ms


@in_every_phase
def test_a_wait_that_is_too_long_ends_the_run_with_its_cause_and_it_goes_on_at_the_same_turn(
    begin: Callable[[], Run], phase: Phase, role: Role
) -> None:
    story = begun(begin, phase, max_wait_ms=HOUR_MS)
    purpose = story.open(role).purpose
    while story.state.stuck == "" and story.state.phase is phase:
        story.settle(away(), role)
        if story.all(run.StartCooldown):
            story.wait()
    assert NOW + HOUR_MS / 2 < story.now_ms <= NOW + HOUR_MS
    if phase is Phase.REVIEWING:  # the other one's review is not lost
        other: Role = "worker" if role == "reviewer" else "reviewer"
        story.settle(finished(PASS), other)
    end = story.one(run.EndRun)
    assert end.state == "failed"
    assert "529 Overloaded" in end.detail
    assert "--max-wait 1 h" in end.detail
    story.happens(run.RunResumed())
    assert story.state.phase is phase
    assert story.open(role).purpose == purpose
    assert story.state.stuck == ""


def test_with_a_person_there_the_run_waits_for_her_instead_of_failing() -> None:
    story = begun(working, Phase.WORKING, max_wait_ms=0, interactive=True)
    story.settle(away())
    assert story.state.paused
    assert "529 Overloaded" in run.describe(story.state)
    story.happens(run.ResumeRequested())
    assert story.one(run.StartTurn).purpose == "work"
    assert story.state.stuck == ""


def test_a_limit_that_ends_later_than_anybody_wants_to_wait_is_not_waited_for() -> None:
    story = begun(working, Phase.WORKING, max_wait_ms=2 * HOUR_MS)
    story.settle(limited(NOW + 37 * HOUR_MS))
    assert story.one(run.EndRun).state == "failed"
    assert (
        "it resets at 1970-01-02 13:16 UTC, in 1 d 13 h; it is not waited for (--max-wait 2 h)"
        in story.one(run.EndRun).detail
    )


def test_a_turn_that_worked_well_in_between_has_a_new_outage_and_not_the_old_one() -> None:
    story = begun(working, Phase.WORKING, max_wait_ms=HOUR_MS)
    for _ in range(10):
        story.settle(away("half of it is done"))
        story.wait()
        story.now_ms += 30 * MINUTE_MS
    assert story.state.phase is Phase.WORKING


@in_every_phase
@pytest.mark.parametrize("cause", ["billing", "login", "unavailable", "context"])
def test_an_agent_that_cannot_work_is_asked_twice_and_no_more(
    begin: Callable[[], Run], phase: Phase, role: Role, cause: Cause
) -> None:
    story = begun(begin, phase)
    iteration = story.state.iteration
    story.settle(refused(cause), role)
    assert story.state.phase is phase
    story.wait()
    story.settle(refused(cause), role)
    if phase is Phase.REVIEWING:
        assert story.state.verdicts == ()
        story.settle(finished(PASS), "worker" if role == "reviewer" else "reviewer")
    end = story.one(run.EndRun)
    assert (end.state, story.state.iteration) == ("failed", iteration)
    assert f"{cause} is wrong" in end.detail
    story.happens(run.RunResumed())
    assert (story.state.phase, story.state.iteration) == (phase, iteration)
    assert story.open(role)


@in_every_phase
def test_an_agent_whose_new_sessions_are_full_as_well_is_given_up_with_that_cause(
    begin: Callable[[], Run], phase: Phase, role: Role
) -> None:
    story = begun(begin, phase, interactive=True)
    story.settle(msgspec.structs.replace(refused("context"), gave_up=True), role)
    if phase is Phase.REVIEWING:
        story.settle(finished(PASS), "worker" if role == "reviewer" else "reviewer")
    assert story.state.paused
    assert "context is wrong" in run.describe(story.state)
    story.happens(run.ResumeRequested())
    assert story.open(role)


@pytest.mark.parametrize(
    ("changes", "waited_s"),
    [
        ({"trusts_resets": True}, [15, 15, 15, 15, 60, 120, 240]),
        ({"trusts_resets": False}, [15, 60, 120, 240, 480, 960, 1_800]),
    ],
)
def test_a_second_limit_in_a_row_waits_for_the_reset_that_the_provider_names(
    changes: dict[str, bool], waited_s: list[int]
) -> None:
    story = begun(working, Phase.WORKING, **changes)
    waits = []
    for _ in waited_s:
        story.settle(limited(story.now_ms + 10_000))
        waits.append((story.one(run.StartCooldown).until_ms - story.now_ms) // 1_000)
        story.wait()
    assert waits == waited_s


def test_a_refusal_that_was_a_passing_fault_is_forgotten() -> None:
    story = begun(working, Phase.WORKING)
    for outcome in (refused("login"), away(), refused("login"), limited(), refused("login")):
        story.settle(outcome)
        story.wait()
    assert story.state.phase is Phase.WORKING


def test_a_reviewer_that_waits_is_not_waited_for_when_the_other_one_cannot_work() -> None:
    story = begun(reviewing, Phase.REVIEWING)
    story.settle(limited(NOW + 10 * HOUR_MS), "reviewer")
    story.settle(refused("billing"))
    waits = [each for each in run.outstanding(story.state, NOW) if isinstance(each, run.StartCooldown)]
    soon = min(waits, key=lambda each: each.until_ms)
    story.now_ms = soon.until_ms
    story.happens(run.CooldownEnded(wait_id=soon.wait_id))
    story.settle(refused("billing"))
    assert story.one(run.EndRun).state == "failed"
    story.happens(run.RunResumed())
    assert len(story.all(run.StartTurn)) == len(story.all(run.StartCooldown)) == 1


def test_a_person_decides_in_place_of_a_reviewer_that_cannot_work() -> None:
    story = begun(reviewing, Phase.REVIEWING, interactive=True)
    story.settle(finished(PASS))
    story.settle(refused("billing"), "reviewer")
    story.wait()
    story.settle(refused("billing"), "reviewer")
    assert story.state.paused
    story.happens(run.VerdictSubmitted(approved=True))
    assert story.state.phase is Phase.PULL_REQUEST
    assert story.one(run.StartTurn).purpose == "pull-request"


def test_a_pause_during_the_wait_is_in_force_at_once_and_the_turn_is_taken_up_after_it() -> None:
    story = begun(working, Phase.WORKING)
    story.settle(away())
    story.happens(run.PauseRequested())
    assert story.state.paused
    story.happens(run.ResumeRequested())
    story.wait()
    assert story.open().purpose == "work"


def test_a_journal_of_before_comes_to_what_it_came_to_then() -> None:
    """Its outcomes name no cause and its events no time."""
    story = Run(cooldown_ms=0)
    story.settle(TurnOutcome(status="failed", error="API Error: 529 Overloaded"))
    assert (story.state.iteration, story.state.failures) == (2, 1)


def test_a_status_counts_the_wait_down() -> None:
    story = begun(working, Phase.WORKING)
    story.settle(away())
    status = run_status(story.state, story.now_ms)
    assert counted_down(status, status.waits_until_ms - 130_000).line.endswith("retry 1 in 2 m 10 s")
    assert counted_down(status, status.waits_until_ms).line == status.line == run.describe(story.state)
