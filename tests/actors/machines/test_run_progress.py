"""No progress: what shows it, the one diagnosis that the worker is asked for, and the question to the user after it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from actors.machines import run
from actors.machines.run import Phase, progress
from actors.machines.run.state import Progress, RunState
from actors.messages import Finding
from actors.settings import RunSettings
from tests.actors.machines.test_run import DONE, FAIL, Run, failed, finished, settings
from tests.actors.machines.test_run_trees import Bound

REVIEW = "FINDING blocking | app.py:1 | it crashes | python app.py"


class Watched(Bound):
    """A run whose progress is watched; a work turn and what follows it is one call."""

    def __init__(self, **changes: Any) -> None:
        plain = {"keeps_checkpoints": True, "max_stalled": 3, "checks": (), "reviewers": ("reviewer",)}
        super().__init__(**{**plain, "interactive": True, **changes})

    def works(self, tree: str, text: str = "more to do") -> None:
        self.settle(finished(text))
        self.sees_tree(tree)

    def stalls(self, times: int, tree: str = "base") -> None:
        for _ in range(times):
            self.works(tree)


def state(**changes: Any) -> RunState:
    run_settings: RunSettings = settings(max_stalled=3, checks=("one", "two"))
    return RunState(phase=Phase.WORKING, settings=run_settings, **changes)


def check_rounds(*rounds: tuple[str, int]) -> RunState:
    """Rounds of checks: the tree, and how many of the two checks passed."""
    found = state()
    for tree, passed in rounds:
        found = progress.checked(
            run_with_tree(found, tree),
            [run.CheckResult(command="x", exit_code=0)] * passed + [run.CheckResult(command="y", exit_code=1)],
        )
    return found


def run_with_tree(found: RunState, tree: str) -> RunState:
    return replace(found, tree=run.Tree(id=tree))


@pytest.mark.parametrize(
    ("trees", "same"),
    [
        (["a"], 0),
        (["base"], 1),
        (["base", "base", "base"], 3),
        (["base", "a"], 0),
        (["a", "a", "b"], 0),
        (["a", "base", "a", "base"], 3),  # made, taken back, made again
        (["a", "b", "a"], 1),
        (["", "", ""], 0),  # unknown: it shows nothing
        (["base", "", "base"], 1),
    ],
)
def test_a_tree_that_was_there_before_is_counted_until_a_new_one_comes(trees: list[str], same: int) -> None:
    found = progress.begun(state(), run.Tree(id="base"))
    for number, tree in enumerate(trees, start=1):
        found = progress.worked(replace(found, worked=number), run.Tree(id=tree))
    assert found.progress.same == same


@pytest.mark.parametrize(
    ("rounds", "stalled"),
    [
        ([("a", 0)], 0),
        ([("a", 0), ("b", 0)], 1),
        ([("a", 0), ("b", 1)], 0),
        ([("a", 1), ("b", 0), ("c", 1), ("d", 0)], 3),  # it falls and rises, and is never better than before
        ([("a", 0), ("a", 0)], 0),  # the same code: that the tree is the same counts, not this
        ([("", 0), ("", 0)], 0),
    ],
)
def test_rounds_in_which_the_failing_checks_do_not_fall_are_counted_while_the_code_changes(
    rounds: list[tuple[str, int]], stalled: int
) -> None:
    assert check_rounds(*rounds).progress.stalled == stalled


def test_checks_that_all_pass_begin_the_count_again() -> None:
    found = check_rounds(("a", 0), ("b", 0))
    passed = [run.CheckResult(command=each, exit_code=0) for each in ("one", "two")]
    assert progress.checked(found, passed).progress == Progress(checked="b")


@pytest.mark.parametrize(
    ("seen", "part"),
    [
        (Progress(same=3), "3 iterations in a row left the files as they had been before (ignored files do not count)"),
        (Progress(same=2), ""),
        (Progress(stalled=5, fewest=2), "the code changed 5 times, and no fewer checks fail: at best 2"),
        (Progress(stalled=4, fewest=2), ""),
    ],
)
def test_the_reason_is_in_words_for_the_user_and_the_worker(seen: Progress, part: str) -> None:
    assert progress.why(state(progress=seen)) == part


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"times_raised": 3}, True),
        ({"times_raised": 2}, False),
        ({"times_raised": 3, "severity": "minor"}, False),
        ({"times_raised": 3, "state": "fixed"}, False),
        ({"times_raised": 3, "state": "refused", "settled": True}, False),
    ],
)
def test_a_finding_that_is_said_twice_to_be_not_fixed_shows_it(changes: dict[str, Any], counts: bool) -> None:
    plain = {"id": "f1", "place": "a.py", "description": "wrong", "by": "reviewer", "review_round": 1}
    finding = Finding(**{**plain, **changes})
    said = progress.why(state(findings=(finding,)))
    assert said == ("a reviewer said more than once that this is not fixed: f1: wrong" if counts else "")


def test_after_three_iterations_without_effect_the_worker_is_asked_for_a_diagnosis_and_nothing_else() -> None:
    story = Watched()
    story.stalls(2)
    assert story.open().purpose == "work"
    story.stalls(1)
    asked = story.open()
    assert (asked.purpose, asked.prompt.splitlines()[0]) == ("diagnosis", "Diagnosis")
    assert "ignored files do not count" in asked.prompt
    assert "the worker is asked for a diagnosis" in story.said()
    assert story.state.iteration == 3
    assert run.describe(story.state) == "iteration 3 of 20: waits for codex's diagnosis"


def test_a_diagnosis_is_shown_and_given_to_the_next_work_turn_and_to_the_reviewers() -> None:
    story = Watched()
    story.stalls(3)
    story.settle(finished("The port is taken."))
    assert "codex's diagnosis: The port is taken." in story.said()
    assert (story.open().purpose, story.state.iteration) == ("work", 4)
    assert "[codex] The port is taken." in story.open().prompt
    story.works("new", DONE)
    assert "It said:\nThe port is taken." in story.open("reviewer").prompt
    assert run.fold(story.journal) == story.state


def test_without_progress_after_the_diagnosis_the_user_is_asked_with_it_and_an_answer_begins_again() -> None:
    story = Watched()
    story.stalls(3)
    story.settle(finished("The port is taken."))
    story.stalls(1)
    question = story.one(run.AskQuestion).question
    assert question == (
        "no progress: 3 iterations in a row left the files as they had been before (ignored files do not count); "
        "codex's diagnosis: The port is taken. What next? (blank stops the run)"
    )
    story.happens(run.QuestionAnswered(text="use port 81"))
    assert "use port 81" in story.open().prompt
    story.stalls(2)
    assert story.open().purpose == "work"
    story.stalls(1)
    assert story.open().purpose == "diagnosis"


def test_a_run_without_a_user_stops_with_the_diagnosis_in_its_last_line() -> None:
    story = Watched(interactive=False)
    story.stalls(3)
    story.settle(failed("boom"))
    assert "no diagnosis: iteration 3 of 20: codex's turn failed: boom" in story.said()
    story.stalls(1)
    ended = story.one(run.EndRun)
    assert ended.state == "stopped"
    assert ended.detail.startswith("no progress: 3 iterations in a row")
    assert ended.detail.endswith("codex gave no diagnosis")


def test_progress_after_the_diagnosis_begins_the_count_again_but_it_is_asked_for_once() -> None:
    story = Watched()
    story.stalls(3)
    story.settle(finished("hm"))
    story.works("new")
    story.stalls(2, "new")
    assert story.open().purpose == "work"
    story.stalls(1, "new")
    assert story.one(run.AskQuestion).question.startswith("no progress")


def test_turns_that_failed_or_were_interrupted_are_no_sign_of_it() -> None:
    story = Watched()
    for _ in range(4):
        story.settle(failed())
        story.sees_tree("base")
    assert story.state.progress.same == 0


def test_a_review_that_the_user_asks_for_is_no_iteration_without_effect() -> None:
    story = Watched(cooldown_ms=1_000)
    story.works("base")
    story.happens(run.ReviewRequested())
    story.sees_tree("base")
    assert story.state.progress.same == 1


def test_a_plan_is_no_iteration_without_effect() -> None:
    story = Run(needs_plan=True, max_stalled=1, plan_reviewer=None)
    story.settle(finished("written"))
    story.reads("1. x")
    assert story.open().purpose == "work"


def test_a_finding_that_stays_twice_asks_for_a_diagnosis_and_then_for_the_user() -> None:
    story = Watched(asks_again=True, keeps_findings=True)

    def judged(tree: str, text: str) -> None:
        story.works(tree, DONE)
        if story.state.phase is not Phase.REVIEWING:
            story.sees_tree(tree)
        story.settle(finished(f"{text}\n{FAIL}"), "reviewer")

    judged("a", REVIEW)
    judged("b", "STAYS f1")
    assert story.open().purpose == "work"
    judged("c", "STAYS f1")
    assert story.open().purpose == "diagnosis"
    story.settle(finished("I cannot see the crash."))
    judged("d", "STAYS f1")
    assert "this is not fixed: f1: it crashes; codex's diagnosis: I cannot" in story.one(run.AskQuestion).question
    story.happens(run.QuestionAnswered(text="run it without arguments"))
    judged("e", "STAYS f1")
    assert story.open().purpose == "work"


def test_a_task_has_a_number_of_review_rounds() -> None:
    story = Watched(max_rounds=2, max_stalled=0)
    for tree in ("a", "b"):
        story.works(tree, DONE)
        story.settle(finished(f"no\n{FAIL}"), "reviewer")
    assert story.one(run.AskQuestion).question == (
        "2 review rounds are over, and the work is not approved (--max-rounds 2). What next? (blank stops the run)"
    )
    story.happens(run.QuestionAnswered(text="one more thing"))
    assert story.open().purpose == "work"
    assert story.state.progress.rounds == 0


def test_a_run_of_an_older_journal_is_not_watched() -> None:
    story = Watched(max_stalled=0)
    story.stalls(6)
    assert story.open().purpose == "work"
