"""What the prompts must say, and must not say."""

from __future__ import annotations

import pytest

from actors.machines import continuations, prompts
from actors.machines.prompts import Note

SIGNAL = "<promise>DONE</promise>"


def work(
    *,
    task: str = "Fix the parser.",
    proof: str = "",
    notes: tuple[Note, ...] = (),
    unanimous: bool = False,
    peer: str | None = None,
    checks: tuple[str, ...] = (),
) -> str:
    return prompts.iteration(
        2,
        of=20,
        task=task,
        proof=proof,
        done_signal=SIGNAL,
        notes=notes,
        unanimous=unanimous,
        peer=peer,
        checks=checks,
    )


def review(*, proof: str = "", send_notes_to: str | None = None, checks: tuple[str, ...] = ()) -> str:
    return prompts.review(
        3, task="Fix the parser.", proof=proof, done_signal=SIGNAL, checks=checks, send_notes_to=send_notes_to
    )


def every_prompt_without_a_peer() -> dict[str, str]:
    return {
        "Plan": prompts.plan("Fix the parser.", proof="run pytest"),
        "Plan review": prompts.plan_review("Fix the parser."),
        "Iteration 2": work(),
        "Review round 3": review(),
        "Draft pull request": prompts.pull_request("Fix the parser."),
    }


@pytest.mark.parametrize(("header", "prompt"), every_prompt_without_a_peer().items())
def test_the_first_line_names_what_the_prompt_is(header: str, prompt: str) -> None:
    assert prompt.splitlines()[0] == header


@pytest.mark.parametrize("prompt", every_prompt_without_a_peer().values())
def test_every_prompt_holds_the_task(prompt: str) -> None:
    assert "Fix the parser." in prompt


@pytest.mark.parametrize("prompt", every_prompt_without_a_peer().values())
def test_without_a_peer_no_prompt_speaks_of_one(prompt: str) -> None:
    assert not any(word in prompt.lower() for word in ("bridge", "peer", "pair ", "send_message", "another agent"))


@pytest.mark.parametrize("prompt", every_prompt_without_a_peer().values())
def test_no_prompt_has_trailing_space_or_holes(prompt: str) -> None:
    assert prompt == prompt.strip()
    assert "\n\n\n" not in prompt


def test_the_work_prompt_shows_the_done_signal_alone_on_a_line() -> None:
    assert SIGNAL in work().splitlines()


def test_the_proof_stands_in_the_work_prompt() -> None:
    assert "run pytest\nand ruff" in work(proof=" run pytest\nand ruff\n")


def test_a_proof_whose_lines_all_stand_in_the_task_is_not_repeated() -> None:
    prompt = work(task="Fix it.\n  run pytest\nLater: nothing\nand ruff", proof="run pytest\n\nand ruff")
    assert prompt.count("run pytest") == 1


def test_a_proof_of_which_one_line_is_new_is_given_whole() -> None:
    prompt = work(task="Fix it.\nrun pytest", proof="run pytest\nand ruff")
    assert prompt.count("run pytest") == 2
    assert "and ruff" in prompt


def test_without_proof_none_is_asked_for() -> None:
    assert "Proof" not in work(proof=" \n ")


def test_the_first_iteration_is_not_told_of_earlier_ones() -> None:
    prompt = prompts.iteration(1, of=20, task="t", proof="", done_signal=SIGNAL)
    assert "earlier" not in prompt


def test_notes_carry_the_label_of_their_source() -> None:
    notes = (Note(kind="self-review", source="codex", text="a.py"), Note(kind="checks", source="checks", text="exit 1"))
    prompt = work(notes=notes)
    assert "[codex] a.py" in prompt
    assert "[checks] exit 1" in prompt


def test_notes_come_with_the_freedom_to_decide_and_the_duty_to_say_why() -> None:
    prompt = work(notes=(Note(kind="review", source="claude", text="a.py"),))
    assert "You decide" in prompt
    assert "say why" in prompt


def test_without_notes_nothing_is_said_about_notes() -> None:
    assert "note" not in work().lower()


def test_a_unanimous_round_says_so_and_weighs_the_same_finding_twice() -> None:
    notes = (Note(kind="self-review", source="codex", text="x"), Note(kind="review", source="claude", text="x"))
    assert "stronger signal" in work(notes=notes, unanimous=True)
    assert "stronger signal" not in work(notes=notes)


def test_notes_that_came_over_the_bridge_are_pointed_at_but_not_repeated() -> None:
    prompt = work(notes=(Note(kind="review", source="claude", text="rename foo", reached_worker=True),), peer="claude")
    assert "rename foo" not in prompt
    assert "[claude]" in prompt


def test_the_checks_to_come_are_named_in_the_work_prompt() -> None:
    assert "pytest -q\nruff check" in work(checks=("pytest -q", "ruff check"))


def test_a_pair_is_told_how_to_reach_the_peer_and_not_to_use_the_human() -> None:
    prompt = work(peer="claude")
    for word in ("loop-bridge", "send_message", "bridge_status", "receive_messages", '"claude"', "Never ask the human"):
        assert word in prompt


def test_the_review_prompt_asks_for_the_diff_for_evidence_and_for_one_verdict() -> None:
    prompt = review(proof="run pytest")
    for word in ("git diff", "run pytest", "<review>PASS</review>", "<review>FAIL</review>", "command", "place"):
        assert word in prompt


def test_a_verdict_is_not_shown_alone_on_a_line_where_it_could_be_copied_by_mistake() -> None:
    assert not {"<review>PASS</review>", "<review>FAIL</review>"} & set(review().splitlines())


def test_the_peer_is_told_to_send_its_notes_to_the_primary_agent() -> None:
    prompt = review(send_notes_to="codex")
    assert 'to "codex" with the tool send_message' in prompt


def test_the_checks_that_passed_are_named_in_the_review_prompt() -> None:
    assert "pytest -q" in review(checks=("pytest -q",))


def test_the_pull_request_is_a_draft_and_not_a_second_one() -> None:
    prompt = prompts.pull_request("t")
    assert "gh pr create --draft" in prompt
    assert "do not open a second one" in prompt


def test_the_plan_prompt_asks_for_the_plan_only_and_hands_on_the_proof() -> None:
    prompt = prompts.plan("t", proof="run pytest")
    assert "PLAN.md" in prompt
    assert "no other file" in prompt
    assert "run pytest" in prompt


def test_the_plan_reviewer_may_edit_the_plan_and_nothing_else() -> None:
    prompt = prompts.plan_review("t")
    assert "Correct PLAN.md directly" in prompt
    assert "Change no other file" in prompt


def test_a_continuation_keeps_the_header_and_gives_the_whole_prompt_again() -> None:
    prompt = continuations.continuation(work(proof="run pytest"), why="the run was paused")
    assert prompt.splitlines()[0] == "Iteration 2 (continued)"
    assert "the run was paused" in prompt
    assert prompt.endswith(work(proof="run pytest").partition("\n")[2].strip())


def test_a_continuation_of_a_continuation_does_not_grow() -> None:
    once = continuations.continuation(work(), why="the run was paused")
    assert continuations.continuation(once, why="the run was paused") == once


def test_a_continuation_has_a_reason_also_when_none_is_given() -> None:
    assert "cut short: the turn ended" in continuations.continuation(work())


def test_mail_says_whom_it_is_from_that_it_is_no_human_and_how_to_answer() -> None:
    prompt = prompts.mail("claude", "  look at a.py\n")
    assert prompt.splitlines()[0] == "Message from claude"
    for word in ("\n\nlook at a.py\n\n", "No human wrote it", "Do not answer the human", "send_message", "useful"):
        assert word in prompt
