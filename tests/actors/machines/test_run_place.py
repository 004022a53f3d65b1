"""Work on a branch that is not the run's is noticed before the checks, and costs no review."""

from __future__ import annotations

from typing import Any

import pytest

from actors.machines import run
from actors.machines.run import Phase
from tests.actors.machines.test_run import DONE, PASS, finished
from tests.actors.machines.test_run_trees import Bound


class Placed(Bound):
    """A run that began on `main`, at commit c0."""

    def __init__(self, **changes: Any) -> None:
        self.first = True
        super().__init__(**{"keeps_checkpoints": True, **changes})

    def sees_tree(self, tree_id: str, *changed: str, **facts: Any) -> None:
        if self.first:
            self.first = False
            facts = {"branch": "main", "commit": "c0", **facts}
        super().sees_tree(tree_id, *changed, **facts)

    def is_at(self, tree_id: str, branch: str, commit: str = "c1", **place: Any) -> None:
        [look] = [each for each in run.outstanding(self.state, self.now_ms) if isinstance(each, run.TakeTree)]
        assert look.begun_on is not None
        where = run.Whereabouts(**{"directory": "/repo", "own": False, "grown": False, **place})
        tree = run.Tree(id=tree_id, branch=branch, commit=commit)
        self.happens(run.TreeTaken(take_id=look.take_id, tree=tree, place=where))


def done(**changes: Any) -> Placed:
    story = Placed(**changes)
    story.settle(finished(DONE))
    return story


def test_the_branches_are_remembered_at_the_beginning_and_compared_before_the_checks_alone() -> None:
    story = done()
    [look] = story.all(run.TakeTree)
    assert (look.remember, look.begun_on) == (False, ("c0", "main"))
    story.is_at("work", "main")
    story.checks(0)
    assert story.one(run.TakeTree).begun_on is None


@pytest.mark.parametrize(
    ("branch", "said"), [("other", "is on branch other"), ("", "is on no branch: HEAD is detached")]
)
def test_another_branch_is_noticed_and_the_agent_is_told_where_the_work_has_to_be(branch: str, said: str) -> None:
    story = done()
    story.is_at("work", branch)
    assert story.state.phase is Phase.WORKING
    assert story.state.review_round == 0
    assert f"the run's directory /repo {said}; the run's branch is main" in story.said()
    assert "The work has to be in that directory and on main" in story.open().prompt
    assert run.fold(story.journal) == story.state


def test_the_agent_that_leaves_it_so_is_checked_and_reviewed() -> None:
    story = done()
    story.is_at("work", "other")
    story.settle(finished(DONE))
    story.is_at("work", "other")
    assert story.state.phase is Phase.CHECKING


def test_the_agent_that_brings_it_back_is_checked() -> None:
    story = done()
    story.is_at("work", "other")
    story.settle(finished(DONE))
    story.is_at("work", "main")
    assert story.state.phase is Phase.CHECKING


def test_a_branch_that_the_agent_made_on_top_is_fine_unless_the_run_has_its_own() -> None:
    story = done()
    story.is_at("work", "feature", grown=True)
    assert story.state.phase is Phase.CHECKING
    story = done()
    story.is_at("work", "feature", grown=True, own=True)
    assert story.state.phase is Phase.WORKING


def test_commits_on_another_branch_count_only_where_the_directory_is_as_it_was() -> None:
    story = done()
    story.is_at("base", "main", "c0", moved=("other",))
    assert "there are new commits on other" in story.said()
    assert "bring them to that directory and to main" in story.open().prompt
    story.settle(finished(DONE))
    story.is_at("base", "main", "c0", moved=("other",))
    assert story.state.phase is Phase.CHECKING
    story = done()
    story.is_at("work", "main", moved=("other",))
    assert story.state.phase is Phase.CHECKING


def test_a_branch_for_the_pull_request_is_the_run_s_from_then_on() -> None:
    story = done(checks=())
    story.is_at("work", "main")
    story.reviews(PASS, PASS)
    story.sees_tree("work", branch="main")
    story.settle(finished("opened"))
    story.sees_tree("more", "x.py", branch="polite", commit="c2")
    story.reviews("x.py: wrong\n<review>FAIL</review>", PASS)
    story.settle(finished(DONE))
    story.is_at("right", "polite")
    assert story.state.phase is Phase.REVIEWING


def test_where_nothing_is_known_of_the_place_nothing_is_said() -> None:
    story = done()
    story.sees_tree("work", branch="other")
    assert story.state.phase is Phase.CHECKING
