"""What a run has spent: every turn counts once, with its session and its model."""

from __future__ import annotations

import msgspec
import pytest

from actors.errors import IllegalEventError
from actors.machines import projection, run
from actors.machines.run_status import run_status
from actors.machines.turn_ledger import MAIL_MEMORY
from actors.messages import Purpose, Spent, TurnOutcome, Usage
from actors.settings import Role
from tests.actors.machines.test_run import NOW, PASS, Run, finished, in_review

CENT = Usage(input_tokens=100, output_tokens=10, cost_usd=0.25)
TWO = Usage(input_tokens=200, output_tokens=20, cost_usd=0.5)
UNKNOWN = Usage(tokens_known=False, cost_known=False)


def costing(usage: Usage, text: str = "<promise>DONE</promise>") -> TurnOutcome:
    return TurnOutcome(status="finished", text=text, usage=usage)


def grew(
    turn_id: str, usage: Usage = CENT, role: Role = "worker", purpose: Purpose = "mail", model: str = ""
) -> run.UsageGrew:
    return run.UsageGrew(role=role, turn_id=turn_id, purpose=purpose, model=model, usage=usage)


def test_the_runs_own_turns_and_the_messages_turns_are_counted_alike() -> None:
    story = Run()
    story.happens(grew("brief", role="reviewer", purpose="brief"))
    story.settle(costing(CENT))
    story.happens(grew("mail-1"))
    story.settle(costing(CENT, PASS), "reviewer")
    assert story.state.spent == (
        Spent(role="reviewer", model="", turns=2, usage=TWO),
        Spent(role="worker", model="", turns=2, usage=TWO),
    )
    assert run.fold(story.journal).spent == story.state.spent
    assert run_status(story.state, NOW).spent == story.state.spent


def test_each_model_has_its_own_sum() -> None:
    story = in_review(worker_model="big", worker_review_model="small")
    story.settle(costing(CENT, PASS), "worker")
    story.happens(grew("mail-1", model="big"))
    assert [(each.model, each.turns) for each in story.state.spent] == [("small", 1), ("big", 1)]


def test_a_turn_that_is_reported_again_counts_once_and_is_not_journalled() -> None:
    story = Run()
    ids = [f"mail-{number}" for number in range(2 * MAIL_MEMORY)]
    for each in ids:
        story.happens(grew(each))
    story.happens(grew("mail-0", role="reviewer"))  # another session's ids are its own
    before = story.state
    for each in ids[-MAIL_MEMORY:]:  # what a session owner that was restarted remembers
        story.happens(grew(each))
        assert (story.state, story.commands) == (before, [])
    assert [each.turns for each in before.spent] == [len(ids), 1]
    assert len(before.counted) == MAIL_MEMORY + 1


def test_an_unknown_cost_makes_the_sum_the_least_that_it_was() -> None:
    story = Run()
    story.happens(grew("mail-1"))
    story.happens(grew("mail-2", UNKNOWN))
    [spent] = story.state.spent
    assert (spent.usage.cost_usd, spent.usage.cost_known, spent.turns) == (0.25, False, 2)


def test_a_turn_that_cost_nothing_is_not_there() -> None:
    story = Run()
    story.settle(finished())
    assert story.state.spent == ()


@pytest.mark.parametrize("event", [run.PauseRequested(), run.StopRequested(reason="enough")])
def test_a_messages_turn_may_end_in_any_phase_and_changes_nothing_else(event: run.Event) -> None:
    story = Run()
    story.happens(event)
    story.settle(TurnOutcome(status="interrupted"))
    before = story.state
    story.happens(grew("mail-1"))
    assert story.commands == []
    counts = {name: getattr(before, name) for name in ("spent", "counted", "most_tokens", "most_usd")}
    assert msgspec.structs.replace(story.state, **counts) == before
    assert projection.project(before, story.journal[-1], story.state, "") == []


def test_no_cost_comes_before_the_run() -> None:
    with pytest.raises(IllegalEventError):
        run.decide(run.initial(), grew("mail-1"), NOW)


def test_what_was_spent_stays_with_the_next_task() -> None:
    story = Run(task="", open_ended=True)
    story.happens(grew("mail-1"))
    story.happens(run.QuestionAnswered(text="Fix the parser."))
    assert [each.turns for each in story.state.spent] == [1]
    story.happens(grew("mail-1"))
    assert [each.turns for each in story.state.spent] == [1]
