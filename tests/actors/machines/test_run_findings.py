"""A run's findings: raised by reviewers, refused by the worker, settled by the reviewer, waived by the user."""

from __future__ import annotations

from typing import Any

from actors.machines import findings, prompts, run
from actors.machines.run import Phase
from tests.actors.machines.test_run import DONE, FAIL, PASS, Run, finished

ZERO = "FINDING app.py:12 | it divides by zero | pytest -k zero"


def in_review(**changes: Any) -> Run:
    of_today = {"asks_again": True, "keeps_findings": True, "on_unavailable": "ask", "cooldown_ms": 0}
    story = Run(**{**of_today, "reviewers": ("reviewer",), **changes})
    story.settle(finished(DONE))
    assert story.state.phase is Phase.REVIEWING
    return story


def judges(story: Run, text: str) -> None:
    story.settle(finished(text), "reviewer")


def states(story: Run) -> list[str]:
    return [f"{each.id} {findings.state_of(each)}" for each in story.state.findings]


def test_the_worker_is_told_of_each_open_finding_and_how_it_refuses_one() -> None:
    story = in_review()
    judges(story, f"I ran it.\n{ZERO}\n{FAIL}")
    prompt = story.open().prompt
    assert f"[claude] I ran it.\n{ZERO}" in prompt  # its words, as ever
    assert "f1 [blocking] app.py:12: it divides by zero (shown by: pytest -k zero) (raised)" in prompt
    assert "REFUSED f1: the reason" in prompt


def test_a_refused_finding_goes_back_to_its_reviewer_with_the_reason_and_is_settled() -> None:
    story = in_review()
    judges(story, f"{ZERO}\n{FAIL}")
    story.settle(finished(f"REFUSED f1: the caller checks it\n{DONE}"))
    assert "codex refuses f1: the caller checks it" in story.said()
    prompt = story.open("reviewer").prompt
    assert "(refused: the caller checks it)" in prompt
    assert "ACCEPTED f1" in prompt
    judges(story, f"ACCEPTED f1\n{PASS}")
    assert states(story) == ["f1 refused, and settled: the caller checks it"]
    assert story.state.phase is Phase.PULL_REQUEST


def test_a_refusal_that_its_reviewer_does_not_accept_is_an_open_finding_again() -> None:
    story = in_review()
    judges(story, f"{ZERO}\n{FAIL}")
    story.settle(finished(f"REFUSED f1: the caller checks it\n{DONE}"))
    judges(story, f"STAYS f1\n{FAIL}")
    assert states(story) == ["f1 raised 2 times"]
    assert "f1 [blocking] app.py:12: it divides by zero" in story.open().prompt


def test_a_finding_that_stays_keeps_a_pass_from_counting() -> None:
    story = in_review()
    judges(story, f"{ZERO}\n{FAIL}")
    story.settle(finished(DONE))
    judges(story, f"STAYS f1\n{PASS}")
    assert "the review passes the work and names findings that block it" in story.said()
    judges(story, PASS)
    assert story.state.phase is Phase.REVIEWING  # the findings are in the review above: asked once more, still mixed
    assert story.state.iteration == 2


def test_changes_that_are_only_minor_do_not_block_and_cost_no_iteration() -> None:
    story = in_review()
    judges(story, f"FINDING minor | app.py | add tests\n{FAIL}")
    assert "names nothing that blocks" in story.said()
    assert story.open("reviewer").prompt.startswith(prompts.review_header(1))
    judges(story, PASS)
    assert story.state.phase is Phase.PULL_REQUEST
    assert states(story) == ["f1 raised"]
    assert "f1 [minor] app.py: add tests (raised)" in story.open().prompt  # for the body of the pull request


def test_a_waived_finding_is_not_to_be_raised_again_and_does_not_block_when_it_is() -> None:
    story = in_review()
    judges(story, f"{ZERO}\n{FAIL}")
    story.happens(run.FindingWaived(finding_id="f1", reason="next week"))
    assert "waived: f1" in story.said()
    story.settle(finished(DONE))
    assert "Do not raise them again unless that code has changed" in story.open("reviewer").prompt
    assert "(waived: next week)" in story.open("reviewer").prompt
    judges(story, f"{ZERO}\n{FAIL}")
    assert "names nothing that blocks" in story.said()
    judges(story, PASS)
    assert story.state.phase is Phase.PULL_REQUEST
    assert states(story) == ["f1 waived: next week"]


def test_a_waived_finding_may_be_raised_again_once_its_file_has_changed() -> None:
    story = Run(asks_again=True, keeps_findings=True, cooldown_ms=0, reviewers=("reviewer",), binds_to_tree=True)

    def looks(tree: str, *changed: str) -> None:
        [look] = [each for each in run.outstanding(story.state, story.now_ms) if isinstance(each, run.TakeTree)]
        story.happens(run.TreeTaken(take_id=look.take_id, tree=run.Tree(id=tree), changed=changed))

    looks("t0")
    story.settle(finished(DONE))
    looks("t1")
    judges(story, f"{ZERO}\n{FAIL}")
    story.happens(run.FindingWaived(finding_id="f1"))
    story.settle(finished(DONE))
    looks("t2", "app.py")
    judges(story, f"{ZERO}\n{FAIL}")
    assert states(story) == ["f1 raised 2 times"]
    assert story.state.iteration == 3


def test_waiving_a_finding_that_is_not_there_says_which_are() -> None:
    story = in_review()
    judges(story, f"{ZERO}\n{FAIL}")
    story.happens(run.FindingWaived(finding_id="f7"))
    assert story.said() == "there is no finding f7: the run has f1"
    story.happens(run.FindingWaived(finding_id="f1"))
    story.happens(run.FindingWaived(finding_id="f1"))
    assert story.said() == "f1 is waived already"


def test_the_users_own_approval_waives_what_is_open_and_blocks() -> None:
    story = in_review(reviewers=("worker", "reviewer"))
    judges(story, f"{ZERO}\n{FAIL}")
    story.happens(run.VerdictSubmitted(approved=True))
    story.settle(finished(PASS))
    assert story.state.phase is Phase.PULL_REQUEST
    assert states(story) == ["f1 waived: the user approved the work"]


def test_a_free_text_reaches_the_worker_word_for_word_and_is_one_finding() -> None:
    story = in_review()
    judges(story, f"The parser is\nwrong.\n{FAIL}")
    assert [note.text for note in story.state.notes] == ["The parser is\nwrong."]
    assert states(story) == ["f1 raised"]
    assert "f1 [blocking] The parser is wrong." in story.open().prompt


def test_findings_that_come_and_go_are_counted_for_a_gate_to_see() -> None:
    story = in_review()
    for _ in range(3):
        judges(story, f"{ZERO}\nFIXED f2\n{FAIL}")
        story.settle(finished(DONE))
        judges(story, f"FINDING b.py | it is slow\nFIXED f1\n{FAIL}")
        story.settle(finished(DONE))
    assert [(each.id, each.times_raised) for each in story.state.findings] == [("f1", 3), ("f2", 3)]


def test_a_new_task_has_no_findings_of_the_old_one() -> None:
    story = in_review(open_ended=True)
    judges(story, f"FINDING minor | a.py | ugly\n{PASS}")
    story.settle(finished("opened"))
    story.happens(run.QuestionAnswered(text="The next one."))
    assert story.state.findings == ()


def test_a_run_of_before_keeps_no_findings_and_its_prompts_are_as_they_were() -> None:
    story = in_review(keeps_findings=False)
    assert not story.open("reviewer").typed
    assert "FINDING" not in story.open("reviewer").prompt
    judges(story, f"{ZERO}\n{FAIL}")
    assert story.state.findings == ()
    assert "REFUSED" not in story.open().prompt
