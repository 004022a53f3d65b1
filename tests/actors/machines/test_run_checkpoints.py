"""Each iteration's tree is kept, under numbers that count over the whole run."""

from __future__ import annotations

from typing import Any

import pytest

from actors.machines import run
from actors.messages import TurnOutcome
from tests.actors.machines.test_run import DONE, PASS, UID, failed, finished
from tests.actors.machines.test_run_trees import Bound


def keeping(**changes: Any) -> Bound:
    return Bound(**{"keeps_checkpoints": True, "checks": (), **changes})


def look(story: Bound) -> run.TakeTree:
    [found] = [each for each in run.outstanding(story.state, story.now_ms) if isinstance(each, run.TakeTree)]
    return found


def kept(story: Bound) -> int | None:
    keep = look(story).keep
    return None if keep is None else keep.number


class Unbegun(Bound):
    """The look before the first iteration is not answered yet."""

    def sees_tree(self, tree_id: str, *changed: str, **facts: Any) -> None:
        if tree_id != "base":
            super().sees_tree(tree_id, *changed, **facts)


def test_checkpoint_0_is_asked_for_before_the_agent_works() -> None:
    story = Unbegun(keeps_checkpoints=True)
    assert look(story).keep == run.Keep(run_uid=UID, number=0, about="before the first iteration")
    assert story.all(run.StartTurn) == []


@pytest.mark.parametrize("outcome", [finished("not yet"), failed(), TurnOutcome(status="interrupted")])
def test_an_iteration_that_is_not_done_is_kept_before_the_next_one_begins(outcome: TurnOutcome) -> None:
    story = keeping()
    story.settle(outcome)
    assert kept(story) == 1
    assert story.all(run.StartTurn) == []
    story.sees_tree("one")
    assert story.open().prompt.startswith("Iteration 2\n")
    assert run.fold(story.journal) == story.state


def test_the_last_iteration_is_kept_too() -> None:
    story = keeping(max_iterations=1)
    story.settle(finished("not yet"))
    story.sees_tree("one")
    assert story.one(run.EndRun).state == "stopped"


def test_the_tree_that_is_checked_is_kept_and_so_is_a_change_of_it() -> None:
    story = keeping()
    story.settle(finished(DONE))
    assert kept(story) == 1
    story.sees_tree("work")
    story.reviews(PASS, PASS)
    assert look(story).keep == run.Keep(run_uid=UID, number=1, about="iteration 1, changed after its checks")
    story.sees_tree("work")
    story.settle(finished("opened"))
    assert kept(story) == 1
    story.sees_tree("work")
    assert story.one(run.EndRun).state == "completed"


def test_a_look_that_is_taken_back_is_asked_for_again() -> None:
    story = keeping()
    story.settle(finished("not yet"))
    story.happens(run.StopRequested())
    story.happens(run.RunResumed())
    assert kept(story) == 1
    story.sees_tree("one")
    assert story.open().purpose == "work"


def test_the_numbers_count_on_over_follow_ups() -> None:
    story = keeping(max_iterations=1, interactive=True)
    story.settle(finished("not yet"))
    story.sees_tree("one")
    story.happens(run.QuestionAnswered(text="Another thing."))
    story.settle(finished("not yet"))
    assert story.state.iteration == 1
    assert kept(story) == 2


def no_checkpoint(story: Bound, reason: str) -> None:
    story.happens(run.TreeTaken(take_id=look(story).take_id, tree=run.Tree(id="x"), unkept=reason))


def test_that_there_is_no_checkpoint_is_said_once_and_costs_nothing() -> None:
    story = keeping()
    story.settle(finished("not yet"))
    no_checkpoint(story, "/x is not in a git repository")
    assert story.said() == "there is no checkpoint of the tree: /x is not in a git repository"
    story.settle(finished("not yet"))
    no_checkpoint(story, "/x is not in a git repository")
    assert story.said() == ""
    assert story.open().prompt.startswith("Iteration 3\n")


def test_an_older_run_keeps_none() -> None:
    story = Bound()
    story.settle(finished("not yet"))
    assert story.open().prompt.startswith("Iteration 2\n")


def test_a_reviewer_is_told_how_to_see_what_was_changed_after_the_checks() -> None:
    story = keeping(checks=("make test",))
    story.settle(finished(DONE))
    story.happens(run.TreeTaken(take_id=look(story).take_id, tree=run.Tree(id="work"), kept="a" * 40))
    story.checks(0)
    story.sees_tree("work")
    story.reviews(PASS, PASS)
    moved = run.TreeTaken(take_id=look(story).take_id, tree=run.Tree(id="other"), changed=("x.py",), kept="b" * 40)
    story.happens(moved)
    story.checks(0)
    story.sees_tree("other")
    assert f"`git diff {'a' * 12} {'b' * 12}` shows what was changed:\nx.py" in story.open().prompt
