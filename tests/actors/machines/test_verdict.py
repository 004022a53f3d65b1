"""Sentences of agents, and what they count for."""

from __future__ import annotations

import pytest

from actors.machines import verdict
from actors.machines.verdict import Verdict, read_verdict, says_done, unavailable

SIGNAL = "<promise>DONE</promise>"
PASSED = Verdict(kind="pass")


def changes(reason: str) -> Verdict:
    return Verdict(kind="changes", reason=reason)


def inconclusive(reason: str) -> Verdict:
    return Verdict(kind="inconclusive", reason=reason)


# --- done ---


def test_a_line_that_is_the_signal_says_done() -> None:
    assert says_done(f"All tests pass.\n{SIGNAL}", SIGNAL)


def test_a_line_that_is_the_signal_in_double_quotes_says_done() -> None:
    assert says_done(f'"{SIGNAL}"', SIGNAL)


def test_a_sentence_that_holds_the_signal_in_double_quotes_says_done() -> None:
    assert says_done(f'I end with "{SIGNAL}" as asked.', SIGNAL)


def test_white_space_around_the_signal_does_not_matter() -> None:
    assert says_done(f"done\n   {SIGNAL}\t\n\n", SIGNAL)


def test_a_signal_that_is_not_on_the_last_line_says_done_too() -> None:
    assert says_done(f"{SIGNAL}\nSee you.", SIGNAL)


def test_windows_line_ends_do_not_hide_the_signal() -> None:
    assert says_done(f"ok\r\n{SIGNAL}\r\n", SIGNAL)


def test_talk_about_the_signal_does_not_say_done() -> None:
    assert not says_done(f"I will write {SIGNAL} once the tests pass.", SIGNAL)


def test_a_signal_in_single_quotes_within_a_sentence_does_not_say_done() -> None:
    assert not says_done(f"I do not write '{SIGNAL}' yet.", SIGNAL)


def test_a_signal_with_a_full_stop_does_not_say_done() -> None:
    assert not says_done(f"{SIGNAL}.", SIGNAL)


def test_a_signal_in_other_letters_does_not_say_done() -> None:
    assert not says_done(SIGNAL.lower(), SIGNAL)


def test_an_empty_text_does_not_say_done() -> None:
    assert not says_done("", SIGNAL)


def test_a_signal_of_ones_own_is_looked_for_without_the_space_around_it() -> None:
    assert says_done("work\nFINISHED", " FINISHED ")


# --- review ---


def test_pass_alone_on_the_last_line_passes() -> None:
    assert read_verdict("I ran the tests.\n<review>PASS</review>") == PASSED


def test_pass_in_double_quotes_passes() -> None:
    assert read_verdict('Fine.\n"<review>PASS</review>"') == PASSED


def test_pass_without_any_text_above_passes() -> None:
    assert read_verdict("<review>PASS</review>") == PASSED


def test_empty_lines_and_space_after_the_verdict_do_not_matter() -> None:
    assert read_verdict("Fine.\n  <review>PASS</review>  \n\n \n") == PASSED


def test_windows_line_ends_do_not_break_a_verdict() -> None:
    assert read_verdict("a.py: wrong\r\n\r\n<review>FAIL</review>\r\n") == changes("a.py: wrong")


def test_the_reason_of_a_fail_is_the_text_above_it() -> None:
    text = "a.py:3 wrong name\n\n  indented\nb.py: no test\n\n<review>FAIL</review>"
    assert read_verdict(text) == changes("a.py:3 wrong name\n\n  indented\nb.py: no test")


def test_a_fail_without_text_above_has_a_reason_all_the_same() -> None:
    assert read_verdict("\n<review>FAIL</review>\n") == changes(verdict.NO_REASON)


def test_a_fail_in_double_quotes_asks_for_changes() -> None:
    assert read_verdict('no test\n"<review>FAIL</review>"') == changes("no test")


FENCES = ["```\n{}\n```", "~~~\n{}\n~~~", "```text\n\n{}\n\n```\n", "{}\n```"]


@pytest.mark.parametrize("fence", FENCES)
def test_a_code_fence_around_the_verdict_alone_is_decoration(fence: str) -> None:
    assert read_verdict("Fine.\n" + fence.format("<review>PASS</review>")) == PASSED
    assert read_verdict("a.py: wrong\n" + fence.format("<review>FAIL</review>")) == changes("a.py: wrong")


def test_a_code_fence_around_the_whole_review_is_decoration() -> None:
    assert read_verdict("```markdown\n# Review\nFine.\n<review>PASS</review>\n```") == PASSED
    assert read_verdict("~~~\na.py: wrong\n<review>FAIL</review>\n~~~") == changes("a.py: wrong")


def test_other_fences_of_a_review_do_not_hide_a_fenced_verdict() -> None:
    assert read_verdict("I ran\n```\nmake test\n```\nand it is\n```\n<review>PASS</review>\n```") == PASSED


def test_a_verdict_in_a_fence_with_other_text_is_a_quotation_and_does_not_count() -> None:
    text = "What I was asked to write:\n```\nfindings\n<review>PASS</review>\n```"
    assert read_verdict(text).kind == "inconclusive"


def test_both_verdicts_in_a_fence_contradict_each_other() -> None:
    text = "one of\n```\n<review>PASS</review>\n<review>FAIL</review>\n```"
    assert read_verdict(text).kind == "inconclusive"


def test_a_fence_without_a_verdict_is_no_verdict() -> None:
    assert read_verdict("```\nmake test\n```") == inconclusive(verdict.MISSING)
    assert read_verdict("```") == inconclusive(verdict.MISSING)


def test_a_review_without_a_verdict_is_inconclusive() -> None:
    assert read_verdict("Looks good to me.") == inconclusive(verdict.MISSING)


def test_an_empty_review_is_inconclusive() -> None:
    assert read_verdict(" \n ") == inconclusive(verdict.MISSING)


def test_a_verdict_in_other_letters_is_missing() -> None:
    assert read_verdict("<review>pass</review>") == inconclusive(verdict.MISSING)


def test_a_verdict_inside_a_sentence_on_the_last_line_is_malformed() -> None:
    assert read_verdict("So it is <review>PASS</review> for me") == inconclusive(verdict.MALFORMED)


def test_a_verdict_with_a_full_stop_is_malformed() -> None:
    assert read_verdict("ok\n<review>PASS</review>.") == inconclusive(verdict.MALFORMED)


def test_a_verdict_in_markdown_is_malformed() -> None:
    assert read_verdict("ok\n**<review>FAIL</review>**") == inconclusive(verdict.MALFORMED)


def test_both_verdicts_on_the_last_line_are_malformed() -> None:
    assert read_verdict("<review>PASS</review> or <review>FAIL</review>") == inconclusive(verdict.MALFORMED)


def test_a_verdict_followed_by_more_text_does_not_count() -> None:
    assert read_verdict("<review>PASS</review>\nThanks!") == inconclusive(verdict.NOT_LAST)


def test_a_verdict_followed_by_talk_about_a_verdict_does_not_count() -> None:
    assert read_verdict("<review>PASS</review>\nso: <review>PASS</review>!") == inconclusive(verdict.NOT_LAST)


def test_fail_above_and_pass_below_contradict_each_other() -> None:
    assert read_verdict("<review>FAIL</review>\nfixed\n<review>PASS</review>") == inconclusive(verdict.CONTRADICTORY)


def test_pass_above_and_fail_below_contradict_each_other() -> None:
    assert read_verdict("<review>PASS</review>\n<review>FAIL</review>") == inconclusive(verdict.CONTRADICTORY)


def test_the_same_verdict_twice_is_one_verdict() -> None:
    assert read_verdict("<review>PASS</review>\nas said:\n<review>PASS</review>") == PASSED


def test_a_sentence_about_the_other_verdict_does_not_contradict() -> None:
    assert read_verdict("I looked for a reason to write <review>FAIL</review>.\n<review>PASS</review>") == PASSED


def test_a_review_that_could_not_be_done_names_the_cause() -> None:
    assert unavailable("exit code 1 \n").reason == "the review could not be done: exit code 1"


def test_a_review_that_could_not_be_done_has_a_reason_even_without_a_cause() -> None:
    assert unavailable(" ").reason == "the review could not be done: no cause given"


def test_only_a_pass_approves() -> None:
    others = [changes("x"), inconclusive("x"), unavailable("x")]
    assert PASSED.approves
    assert not any(each.approves for each in others)
