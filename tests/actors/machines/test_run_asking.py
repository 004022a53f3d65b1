"""A gate that asks: the user answers, or the run ends where it was, and a resume answers."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from actors.machines import projection, run
from actors.machines.run import asking, gates, machine, steps, user_requests
from actors.machines.run.gates import Gate
from actors.machines.run.state import Hold, RunState
from actors.machines.run_status import run_status
from tests.actors.machines.test_run import DONE, NOW, PASS, Run, finished, in_review

WORDS = "no progress in 3 iterations"
HOLD = Hold(kind="ask", by="progress", why=WORDS, ask="Say what to try (blank stops the run)")


def asks(_state: RunState) -> Hold | None:
    return HOLD


def asked(before: RunState, state: RunState, check: Gate = asks) -> RunState:
    """What the machine does after the handler of an event."""
    after = machine.hold_takes_effect(before, steps.pass_gates(before, state, check))
    return replace(after, once=())


def due(**changes: object) -> RunState:
    """A run whose gate asks when an iteration is due."""
    before = replace(Run(**changes).state, jobs=())
    return asked(before, replace(before, due=""))


def happens(state: RunState, event: run.Event) -> tuple[RunState, list[run.Command]]:
    return run.decide(state, event, NOW)


def test_the_user_is_asked_with_the_gates_own_words() -> None:
    state = due(interactive=True)
    assert run.outstanding(state, NOW) == [run.AskQuestion(question=f"{WORDS}. {HOLD.ask}")]
    assert projection.manifest_state(state) == "input-required"
    assert run.describe(state) == f"iteration 1 of 20: waits for the user's answer ({WORDS})"
    assert run_status(state, NOW).question.startswith(WORDS)


def test_the_answer_extends_the_task_and_the_next_iteration_begins_at_once() -> None:
    state, commands = happens(due(interactive=True), run.QuestionAnswered(text=" Use a table. "))
    [turn] = commands
    assert isinstance(turn, run.StartTurn)
    assert turn.prompt.startswith("Iteration 2\n")
    assert "Fix the parser.\n\nFollow-up:\nUse a table." in turn.prompt
    assert (state.hold, state.due, state.asking) == (None, None, False)


def test_a_blank_answer_stops_the_run_and_the_gate_decides_again_when_it_is_resumed() -> None:
    state, commands = happens(due(interactive=True), run.QuestionAnswered(text=""))
    assert commands == [run.EndRun(state="stopped", detail="no answer was given")]
    resumed = user_requests.resumed(state, run.RunResumed())
    assert (resumed.phase, resumed.due) == (run.Phase.COOLDOWN, "")
    assert asked(state, resumed).asking


def test_without_a_user_the_run_ends_with_the_gates_words_and_a_resume_answers() -> None:
    state = due()
    assert run.outstanding(state, NOW) == [run.EndRun(state="stopped", detail=WORDS)]
    assert state.asked == "progress"
    after, commands = happens(state, run.RunResumed())
    assert (after.asked, [type(each) for each in commands]) == ("", [run.StartCooldown])


def test_a_verdict_or_a_review_answers_where_an_iteration_would_begin() -> None:
    state, commands = happens(due(interactive=True), run.VerdictSubmitted(approved=True))
    assert (state.phase, state.hold, state.due, len(commands)) == (run.Phase.PULL_REQUEST, None, None, 1)
    state, [turn] = happens(due(interactive=True), run.VerdictSubmitted(approved=False, notes="faster"))
    assert isinstance(turn, run.StartTurn)
    assert "faster" in turn.prompt
    state, _ = happens(due(interactive=True), run.ReviewRequested())
    assert (state.phase, state.hold, state.due) == (run.Phase.REVIEWING, None, None)


@pytest.mark.parametrize("event", [run.ResumeRequested(), run.QuestionAnswered(text="go on")])
def test_in_the_middle_of_a_phase_the_run_resumes_where_it_was(event: run.Event) -> None:
    story = in_review(interactive=True)
    state = asked(story.state, story.state)
    assert (state.asking, len(state.open_turns)) == (False, 2)
    for role in ("worker", "reviewer"):
        job = next(job for job in state.open_turns if job.role == role)
        state, commands = happens(state, run.TurnSettled(turn_id=job.id, outcome=finished(PASS)))
    assert (state.asking, commands) == (True, [run.AskQuestion(question=f"{WORDS}. {HOLD.ask}")])
    state, [turn] = happens(state, event)
    assert isinstance(turn, run.StartTurn)
    assert (turn.purpose, state.phase) == ("pull-request", run.Phase.PULL_REQUEST)


def test_what_runs_finishes_and_the_user_is_told_why_at_once() -> None:
    story = Run(interactive=True)
    state = steps.pass_gates(story.state, story.state, asks)
    assert state.once == (run.Notice(text=WORDS, error=True),)
    assert run.describe(state) == "pausing, iteration 1 of 20: waits for codex"
    assert steps.pass_gates(state, state, asks) == state, "it is not said again"


def test_the_answer_to_a_gate_that_counts_nothing_is_for_the_agents() -> None:
    state = due(interactive=True)
    assert gates.answered(state, "nobody", "words") == (state, "words")
    assert asking.answered(state, run.QuestionAnswered(text="words")).hold is None


def test_a_stop_ends_a_run_that_asks_and_its_question_stays_open() -> None:
    state, commands = happens(due(interactive=True), run.StopRequested(reason="enough"))
    assert commands == [run.EndRun(state="stopped", detail="enough")]
    assert state.asked == "progress"


def test_a_pause_changes_nothing_while_a_gate_asks() -> None:
    state, [notice] = happens(due(interactive=True), run.PauseRequested())
    assert isinstance(notice, run.Notice)
    assert "changes nothing" in notice.text
    assert state.asking


def test_a_run_that_waits_for_the_user_is_not_asked_twice() -> None:
    story = Run(task="", open_ended=True, interactive=True)
    assert steps.pass_gates(story.state, story.state, asks) == story.state


def test_words_for_a_run_that_still_plans_are_a_note_of_the_first_iteration() -> None:
    story = Run(needs_plan=True, interactive=True, plan_reviewer=None)
    state = asked(story.state, story.state)
    state, _ = happens(state, run.TurnSettled(turn_id=story.open().turn_id, outcome=finished()))
    state, [read] = happens(state, run.QuestionAnswered(text="Use a table."))
    assert isinstance(read, run.ReadPlan)
    _, [turn] = happens(state, run.PlanRead(read_id=read.read_id, text=f"The plan. {DONE}"))
    assert isinstance(turn, run.StartTurn)
    assert "Use a table." in turn.prompt
