"""What is approved is one tree: each change to it, at any time, repeats the checks and voids the verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from actors.machines import run
from actors.machines.run import Phase
from actors.machines.run.trees import MOST_MOVES
from tests.actors.machines.test_run import DONE, FAIL, PASS, Run, failed, finished

FOUND = run.PullRequestStatus(
    found=run.PullRequest(url="https://example.org/1", state="OPEN", is_draft=True, branch="b")
)


class Bound(Run):
    """A run that is bound to its tree; each look at it is answered by `sees_tree`."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**{"binds_to_tree": True, "cooldown_ms": 0, "checks": ("make test",), **changes})
        self.sees_tree("base")

    def sees_tree(self, tree_id: str, *changed: str, **facts: Any) -> None:
        [look] = [each for each in run.outstanding(self.state, self.now_ms) if isinstance(each, run.TakeTree)]
        uncommitted = facts.pop("uncommitted", ())
        tree = run.Tree(id=tree_id, reason="" if tree_id else "no git", **facts)
        taken = run.TreeTaken(take_id=look.take_id, tree=tree, changed=changed, uncommitted=uncommitted)
        self.happens(taken)


def in_review(**changes: Any) -> Bound:
    """The tree is "work", the checks have passed."""
    story = Bound(**changes)
    story.settle(finished(DONE))
    story.sees_tree("work")
    if story.state.run.checks:
        story.checks(0)
        story.sees_tree("work")
    assert story.state.phase is Phase.REVIEWING
    return story


def in_publication(**changes: Any) -> Bound:
    story = in_review(**changes)
    story.reviews(PASS, PASS)
    story.sees_tree("work")
    assert story.open().purpose == "pull-request"
    return story


def test_a_tree_that_nobody_changes_is_approved_and_named_at_the_end() -> None:
    story = in_publication()
    story.settle(finished("opened"))
    story.sees_tree("work", uncommitted=("notes.txt",))
    assert story.one(run.EndRun).state == "completed"
    assert story.one(run.EndRun).detail == "review approved, tree work (not committed: notes.txt)"
    assert run.fold(story.journal) == story.state


def test_a_tree_that_is_published_unchanged_is_named_beside_the_pull_request() -> None:
    story = in_review(looks_for_pull_request=True)
    story.reviews(PASS, PASS)
    story.sees_tree("work")
    story.sees(run.PullRequestStatus())
    story.settle(finished("opened"))
    story.sees_tree("work")
    story.sees(FOUND)
    assert story.one(run.EndRun).detail == "review approved, draft pull request https://example.org/1, tree work"


def test_a_review_that_changes_the_tree_and_passes_it_approves_nothing_and_the_checks_run_again() -> None:
    story = in_review()
    story.reviews(PASS, PASS)
    story.sees_tree("broken", "app.py")
    assert story.state.phase is Phase.CHECKING
    assert "app.py" in story.said()
    assert "does not count" in story.said()
    story.checks(1)
    assert story.open().purpose == "work"
    assert "output of make test" in story.open().prompt


def test_when_the_checks_pass_again_every_reviewer_is_asked_again_and_told_what_was_changed() -> None:
    story = in_review()
    story.reviews(PASS, PASS)
    story.sees_tree("other", "app.py")
    story.checks(0)
    story.sees_tree("other")
    assert {turn.role for turn in story.all(run.StartTurn)} == {"worker", "reviewer"}
    assert all("app.py" in turn.prompt for turn in story.all(run.StartTurn))
    story.reviews(PASS, PASS)
    story.sees_tree("other")
    assert story.open().purpose == "pull-request"
    assert story.state.iteration == 1


def test_without_checks_the_verdicts_are_bound_to_the_tree_too() -> None:
    story = in_review(checks=())
    story.reviews(PASS, PASS)
    story.sees_tree("other", "app.py")
    assert story.state.phase is Phase.REVIEWING
    assert story.state.review_round == 2
    assert story.state.verdicts == ()


def test_reviews_that_change_the_tree_each_time_end_with_the_iterations() -> None:
    story = in_review(max_iterations=1)
    for number in range(MOST_MOVES):
        story.reviews(PASS, PASS)
        story.sees_tree(f"moved-{number}", "app.py")
        story.checks(0)
        story.sees_tree(f"moved-{number}")
    story.reviews(PASS, PASS)
    story.sees_tree("moved again", "app.py")
    assert story.one(run.EndRun).state == "stopped"
    assert "app.py" in story.said()


def test_reviews_that_change_the_tree_each_time_are_told_to_the_next_iteration() -> None:
    story = in_review(checks=())
    for number in range(MOST_MOVES + 1):
        story.reviews(PASS, PASS)
        story.sees_tree(f"moved-{number}", "app.py")
    assert story.open().purpose == "work"
    assert "Nothing was approved, because the tree was changed" in story.open().prompt


def test_a_round_with_a_fail_needs_no_look_at_the_tree() -> None:
    story = in_review()
    story.reviews(PASS, f"app.py: wrong\n{FAIL}")
    assert story.open().purpose == "work"


@pytest.mark.parametrize("outcome", [finished("opened"), failed("boom")])
def test_a_turn_that_changes_the_tree_while_it_publishes_it_is_checked_and_reviewed_and_publishes_again(
    outcome: Any,
) -> None:
    story = in_publication()
    story.settle(outcome)
    story.sees_tree("more", "generated.py")
    assert story.state.phase is Phase.CHECKING
    story.checks(0)
    story.sees_tree("more")
    assert "generated.py" in story.open("reviewer").prompt
    story.reviews(PASS, PASS)
    story.sees_tree("more")
    assert story.open().purpose == "pull-request"
    story.settle(finished("pushed"))
    story.sees_tree("more")
    assert story.one(run.EndRun).detail == "review approved, tree more"


def test_what_was_published_and_then_fails_its_checks_is_worked_on() -> None:
    story = in_publication()
    story.settle(finished("opened"))
    story.sees_tree("more", "generated.py")
    story.checks(1)
    assert story.open().purpose == "work"


def test_a_person_approves_the_tree_as_it_is_then() -> None:
    story = in_review()
    story.happens(run.VerdictSubmitted(approved=True))
    story.settle(finished("interrupted"))
    story.settle(finished("interrupted"), "reviewer")
    story.sees_tree("what the person saw")
    assert story.open().purpose == "pull-request"
    story.settle(finished("opened"))
    story.sees_tree("what the person saw")
    assert story.one(run.EndRun).state == "completed"


def test_what_is_published_otherwise_than_a_person_has_approved_it_is_checked() -> None:
    story = in_review()
    story.happens(run.VerdictSubmitted(approved=True))
    story.settle(finished())
    story.settle(finished(), "reviewer")
    story.sees_tree("what the person saw")
    story.settle(finished("opened"))
    story.sees_tree("more", "x")
    assert story.state.phase is Phase.CHECKING


def test_checks_that_change_the_tree_run_a_second_time_on_what_they_have_made() -> None:
    story = Bound()
    story.settle(finished(DONE))
    story.sees_tree("work")
    story.checks(0)
    story.sees_tree("formatted", "app.py")
    assert "app.py" in story.said()
    story.checks(0)
    story.sees_tree("formatted")
    assert story.state.phase is Phase.REVIEWING
    assert story.state.tree == run.Tree(id="formatted")


def test_what_the_checks_write_each_time_they_run_does_not_count_from_then_on() -> None:
    story = Bound()
    story.settle(finished(DONE))
    story.sees_tree("work")
    story.checks(0)
    story.sees_tree("report 1", "report.xml")
    story.checks(0)
    story.sees_tree("report 2", "report.xml")
    assert story.one(run.TakeTree).apart == ("report.xml",)
    story.sees_tree("without report")
    story.reviews(PASS, PASS)
    assert story.one(run.TakeTree).apart == ("report.xml",)
    story.sees_tree("without report")
    assert story.open().purpose == "pull-request"


def test_where_no_tree_is_known_the_run_says_so_and_goes_on() -> None:
    story = Bound()
    story.settle(finished(DONE))
    story.sees_tree("")
    assert "bound to no tree: no git" in story.said()
    story.checks(0)
    story.sees_tree("")
    story.reviews(PASS, PASS)
    story.sees_tree("")
    assert story.open().purpose == "pull-request"


def test_a_tree_that_can_no_longer_be_known_is_changed() -> None:
    story = in_review()
    story.reviews(PASS, PASS)
    story.sees_tree("")
    assert story.state.phase is Phase.CHECKING


def test_work_in_another_working_tree_is_noticed_before_the_checks_and_the_agent_is_told() -> None:
    story = Run(binds_to_tree=True, cooldown_ms=0, checks=("make test",))
    base = run.Tree(id="base", commit="c", worktrees=("/old c",))
    [look] = story.all(run.TakeTree)
    story.happens(run.TreeTaken(take_id=look.take_id, tree=base))
    story.settle(finished(DONE))
    [look] = story.all(run.TakeTree)
    now = run.Tree(id="base", commit="c", worktrees=("/old c", "/repo/.claude/worktrees/x c"))
    story.happens(run.TreeTaken(take_id=look.take_id, tree=now))
    assert story.open().purpose == "work"
    assert "/repo/.claude/worktrees/x: bring" not in story.open().prompt
    assert "the repository has work: /repo/.claude/worktrees/x." in story.open().prompt
    assert "/old" not in story.open().prompt


def test_other_working_trees_are_nobodys_business_once_there_is_work_in_the_directory() -> None:
    story = Bound()
    story.settle(finished(DONE))
    story.sees_tree("work", worktrees=("/elsewhere c",))
    assert story.state.phase is Phase.CHECKING


def test_a_stop_takes_the_look_back_and_the_resumed_run_looks_again() -> None:
    story = Bound()
    story.settle(finished(DONE))
    first = story.one(run.TakeTree)
    story.happens(run.StopRequested())
    assert story.one(run.EndRun).state == "stopped"
    story.happens(run.TreeTaken(take_id=first.take_id, tree=run.Tree(id="late")))
    story.happens(run.RunResumed())
    story.sees_tree("work")
    story.checks(0)
    assert story.one(run.TakeTree).since == "work"


def test_an_older_journal_is_not_bound_to_a_tree() -> None:
    story = Run(checks=("make test",))
    story.settle(finished(DONE))
    assert story.all(run.TakeTree) == []
    assert story.state.phase is Phase.CHECKING
