"""Gates: what holds a run that cannot go on by itself, and what a hold does to the jobs that are there."""

from __future__ import annotations

from msgspec.structs import replace

from actors.machines import run
from actors.machines.run import gates, joblist, steps
from actors.machines.run.gates import MAX_FAILURES_IN_A_ROW
from actors.machines.run.jobs.checks import ChecksJob
from actors.machines.run.state import Hold, RunState
from tests.actors.machines.test_run import DONE, NOW, Run, failed, finished, limited

BUDGET = Hold(kind="pause", by="budget", why="the budget is spent")


def over_budget(_state: RunState) -> Hold | None:
    return BUDGET


def due(story: Run, trouble: str = "", **changes: object) -> RunState:
    return replace(story.state, due=trouble, **changes)


def test_no_gate_holds_a_run_in_which_no_iteration_is_due() -> None:
    story = Run(max_iterations=1)
    assert gates.check(replace(story.state, failures=MAX_FAILURES_IN_A_ROW)) is None


def test_the_user_is_asked_when_an_iteration_is_due_and_none_is_left() -> None:
    story = Run(max_iterations=1)
    hold = gates.check(due(story))
    assert hold == Hold(
        kind="ask", by="max-iterations", why="iteration 1 of 1 is over, and the task is not proved done"
    )
    assert gates.check(due(Run(max_iterations=2))) is None


def test_failures_in_a_row_end_a_run_only_after_one_more_of_them() -> None:
    story = Run(max_iterations=9)
    hold = gates.check(due(story, "codex's turn failed: boom", failures=MAX_FAILURES_IN_A_ROW))
    assert hold == Hold(kind="fail", by="failures", why="5 turns failed in a row; codex's turn failed: boom")
    assert gates.check(due(story, "codex's turn failed: boom", failures=MAX_FAILURES_IN_A_ROW - 1)) is None
    assert gates.check(due(story, failures=MAX_FAILURES_IN_A_ROW)) is None


def test_a_run_without_iterations_asks_also_when_the_last_of_them_failed_like_those_before() -> None:
    story = Run(max_iterations=MAX_FAILURES_IN_A_ROW, interactive=True, cooldown_ms=0)
    for _ in range(MAX_FAILURES_IN_A_ROW):
        story.settle(failed())
    assert story.state.phase is run.Phase.FOLLOW_UP


def test_a_gate_keeps_back_what_its_event_has_asked_for_and_lets_the_rest_come_to_its_end() -> None:
    story = Run(checks=("pytest",))
    before = story.state
    after = joblist.add(before, ChecksJob(label="checks-1"))
    held = steps.pass_gates(before, after, over_budget)
    [turn, checks] = held.jobs
    assert (turn.issued, checks.issued, checks.id) == (True, False, "checks-1")
    assert (held.hold, held.stuck, held.paused) == (BUDGET, "the budget is spent", False)
    assert [each.text for each in held.once if isinstance(each, run.Notice)] == ["the budget is spent"]


def test_a_gate_takes_back_what_waits_and_keeps_the_next_iteration_for_later() -> None:
    story = Run()
    story.settle(limited(NOW + 1_000))
    held = steps.pass_gates(story.state, story.state, over_budget)
    assert [(job.issued, job.label) for job in held.jobs] == [(False, "iteration-1-limit")]
    released = joblist.release(held)
    assert (released.hold, [job.issued for job in released.jobs]) == (None, [True])

    story = Run()
    before = replace(story.state, jobs=())
    held = steps.pass_gates(before, replace(before, due=""), over_budget)
    assert (held.phase, held.due) == (run.Phase.COOLDOWN, None)
    assert [(job.issued, job.id) for job in held.jobs] == [(False, "cooldown-1")]


def test_what_holds_a_run_already_is_not_said_again_and_a_stop_stays_a_stop() -> None:
    story = Run()
    held = steps.pass_gates(story.state, story.state, over_budget)
    assert steps.pass_gates(held, replace(held, once=()), over_budget).once == ()
    story.happens(run.StopRequested(reason="enough"))
    stopping = steps.pass_gates(story.state, story.state, over_budget)
    assert (stopping.stopping, stopping.once) == (True, ())


def test_a_gate_says_why_where_the_user_had_only_paused() -> None:
    story = Run()
    story.happens(run.PauseRequested())
    held = steps.pass_gates(story.state, story.state, over_budget)
    assert held.hold == BUDGET


def test_no_gate_is_asked_before_a_run_has_begun_and_after_it_has_ended() -> None:
    assert steps.pass_gates(run.initial(), run.initial(), over_budget) == run.initial()
    story = Run(needs_plan=True)
    story.settle(failed())
    assert story.state.phase is run.Phase.FAILED
    assert steps.pass_gates(story.state, story.state, over_budget) == story.state


def test_a_hold_says_who_has_put_it_there_and_why() -> None:
    story = Run(interactive=True)
    story.happens(run.PauseRequested())
    assert story.state.hold == Hold(kind="pause")
    story.happens(run.ResumeRequested())
    assert story.state.hold is None
    story.settle(finished(DONE))
    story.happens(run.StopRequested(reason="enough"))
    assert story.state.hold == Hold(kind="stop", why="enough")
