"""The end of a task says what proves it: the tree, the checks and verdicts on that tree, by whom and when."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.machines import proof_words, run
from actors.machines.run_status import run_status
from actors.messages import Proof, ProvingCheck, ProvingVerdict
from tests.actors.machines.test_run import DONE, PASS, failed, finished
from tests.actors.machines.test_run_trees import Bound

AT = 1_800_000_000_000


class Timed(Bound):
    """Its events say when they happened."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**changes)
        self.timed, self.now_ms = True, AT

    def checks(self, *exit_codes: int) -> None:
        [job] = [each for each in run.outstanding(self.state, self.now_ms) if isinstance(each, run.RunChecks)]
        results = tuple(run.CheckResult(command="make test", exit_code=code) for code in exit_codes)
        self.happens(run.ChecksEnded(checks_id=job.checks_id, results=results, at_ms=self.now_ms))


def in_review(**changes: Any) -> Timed:
    story = Timed(**changes)
    story.settle(finished(DONE))
    story.sees_tree("work", commit="c0ffee", branch="polite")
    if story.state.run.checks:
        story.checks(0)
        story.sees_tree("work")
    return story


def proof_of(story: Timed) -> Proof:
    found = run_status(story.state, AT).proof
    assert found is not None
    return found


def publish(story: Timed, tree: str = "work") -> None:
    story.settle(finished("opened"))
    story.sees_tree(tree, commit="abcdef0123456789", branch="polite")


def test_a_completed_task_names_tree_checks_and_verdicts_with_their_times() -> None:
    story = in_review()
    story.now_ms = AT + 60_000
    story.reviews(PASS, PASS)
    story.sees_tree("work")
    publish(story)
    assert proof_of(story) == Proof(
        tree="work",
        commit="abcdef0123456789",
        branch="polite",
        checks=(ProvingCheck(command="make test", exit_code=0),),
        checks_at_ms=AT,
        review_round=1,
        verdicts=(
            ProvingVerdict(by="codex", verdict="pass", at_ms=AT + 60_000),
            ProvingVerdict(by="claude", verdict="pass", at_ms=AT + 60_000),
        ),
    )
    assert story.said().splitlines() == [
        "tree work, commit abcdef012345 on polite",
        "checks passed: make test (2027-01-15 08:00:00 UTC)",
        "review round 1: codex pass (2027-01-15 08:01:00 UTC), claude pass (2027-01-15 08:01:00 UTC)",
    ]
    assert run.fold(story.journal) == story.state


def test_the_turn_that_publishes_is_told_how_it_was_verified() -> None:
    story = in_review(looks_for_pull_request=True)
    story.reviews(PASS, PASS)
    story.sees_tree("work")
    story.sees(run.PullRequestStatus())
    assert "How it was verified, for the body:\ntree work" in story.open().prompt
    assert "checks passed: make test" in story.open().prompt


def test_what_a_person_approves_before_the_checks_is_not_called_checked_or_reviewed() -> None:
    story = in_review()
    story.reviews(PASS, "app.py: wrong\n<review>FAIL</review>")
    story.settle(finished(DONE))
    story.sees_tree("second")
    story.happens(run.VerdictSubmitted(approved=True, at_ms=AT + 5_000))
    story.sees_tree("second")
    publish(story, "second")
    found = proof_of(story)
    assert (found.checks, found.verdicts, found.approved_by, found.approved_at_ms) == ((), (), "human", AT + 5_000)
    assert "checks: none ran on this tree" in story.said()
    assert "approved by the user (2027-01-15 08:00:05 UTC)" in story.said()


def test_an_approval_by_a_person_does_not_outlast_a_change_of_its_tree() -> None:
    story = in_review()
    story.happens(run.VerdictSubmitted(approved=True, at_ms=AT))
    story.settle(finished())
    story.settle(finished(), "reviewer")
    story.sees_tree("work")
    story.settle(finished("opened"))
    story.sees_tree("more", "x.py")
    story.checks(0)
    story.sees_tree("more")
    story.reviews(PASS, PASS)
    story.sees_tree("more")
    publish(story, "more")
    found = proof_of(story)
    assert (found.approved_by, [each.verdict for each in found.verdicts]) == ("", ["pass", "pass"])


def test_checks_that_write_a_report_each_time_count_for_the_tree_without_it() -> None:
    story = Timed()
    story.settle(finished(DONE))
    story.sees_tree("work")
    story.checks(0)
    story.sees_tree("report 1", "report.xml")
    story.checks(0)
    story.sees_tree("report 2", "report.xml")
    story.sees_tree("without")
    story.reviews(PASS, PASS)
    story.sees_tree("without")
    publish(story, "without")
    assert [each.exit_code for each in proof_of(story).checks] == [0]


def test_a_run_that_is_not_completed_has_no_proof() -> None:
    story = in_review()
    assert run_status(story.state, AT).proof is None
    story.happens(run.StopRequested())
    story.settle(failed())
    story.settle(failed(), "reviewer")
    assert run_status(story.state, AT).proof is None


def test_the_next_task_begins_without_one() -> None:
    story = in_review(open_ended=True, interactive=True)
    story.reviews(PASS, PASS)
    story.sees_tree("work")
    publish(story)
    assert proof_of(story).tree == "work"
    story.happens(run.QuestionAnswered(text="The next thing."))
    assert run_status(story.state, AT).proof is None


def test_a_long_command_is_shortened_and_nothing_is_made_up() -> None:
    shown = proof_words.lines(Proof(tree="", checks=(ProvingCheck(command="x" * 99 + "\nmore", exit_code=1),)))
    assert shown == [f"checks: {'x' * 60}... exited with 1", "reviews: none"]
    assert msgspec.json.decode(msgspec.json.encode(Proof(tree="t")), type=Proof) == Proof(tree="t")
