"""The ledger of findings: known by place and description, closed by their reviewer, suppressed until code changes."""

from __future__ import annotations

import msgspec

from actors.machines import findings
from actors.machines.findings import MOST_KEPT, MOST_SHOWN, Ledger
from actors.machines.review_answer import Answer, Became, SaidEarlier, SaidFinding
from actors.machines.verdict import Verdict
from actors.settings import Role

ZERO = SaidFinding(place="app.py:12", description="It divides by zero.", command="pytest -k zero")
TYPO = SaidFinding(place="README.md", description="a typo", severity="minor")
PASSES = Answer(Verdict(kind="pass"))
CHANGES = Verdict(kind="changes", reason="the text")


def asks(*said: SaidFinding, **earlier: Became) -> Answer:
    return Answer(CHANGES, said, tuple(SaidEarlier(id=each, became=became) for each, became in earlier.items()))


def reviewed(ledger: Ledger, answer: Answer, review_round: int, by: Role = "reviewer", text: str = "") -> Ledger:
    return findings.after_review(ledger, answer, by=by, review_round=review_round, text=text)


def states(ledger: Ledger) -> list[tuple[str, str, int]]:
    return [(each.id, findings.state_of(each), each.times_raised) for each in ledger]


def test_a_finding_that_is_raised_again_after_its_line_has_moved_is_the_same_one() -> None:
    first = reviewed((), asks(ZERO, TYPO), 1)
    moved = SaidFinding(place="./app.py:40-41", description="it divides by   zero")
    [zero, typo] = reviewed(first, asks(moved), 2)
    assert (zero.id, zero.times_raised, zero.last_round, zero.place) == ("f1", 2, 2, "./app.py:40-41")
    assert (typo.id, typo.times_raised) == ("f2", 1)


def test_two_reviewers_that_find_the_same_have_raised_it_once() -> None:
    first = reviewed((), asks(ZERO), 1)
    assert reviewed(first, asks(ZERO), 1, by="worker") == first


def test_a_pass_closes_what_its_reviewer_has_raised_and_nothing_of_another() -> None:
    ledger = reviewed(reviewed((), asks(ZERO), 1), asks(TYPO), 1, by="worker")
    assert states(reviewed(ledger, PASSES, 2)) == [("f1", "fixed", 1), ("f2", "raised", 1)]


def test_a_refusal_goes_back_to_its_reviewer_who_settles_it_either_way() -> None:
    refused = findings.after_work(reviewed((), asks(ZERO), 1), {"f1": "zero cannot come", "f9": "?"})
    assert states(refused) == [("f1", "refused: zero cannot come", 1)]
    assert findings.open_ones(refused) == refused
    assert states(reviewed(refused, asks(TYPO, f1="accepted"), 2))[0] == (
        "f1",
        "refused, and settled: zero cannot come",
        1,
    )
    assert states(reviewed(refused, asks(f1="stays"), 2)) == [("f1", "raised 2 times", 2)]
    assert states(reviewed(refused, PASSES, 2)) == [("f1", "refused, and settled: zero cannot come", 1)]


def test_nobody_accepts_a_refusal_in_place_of_the_reviewer_that_raised_it() -> None:
    refused = findings.after_work(reviewed((), asks(ZERO), 1), {"f1": "zero cannot come"})
    assert reviewed(refused, asks(TYPO, f1="accepted"), 2, by="worker")[0] == refused[0]
    assert reviewed(refused, asks(TYPO, f1="fixed"), 2, by="worker")[0] == refused[0]


def test_a_finding_that_was_not_refused_cannot_be_accepted_away() -> None:
    ledger = reviewed((), asks(ZERO), 1)
    assert states(reviewed(ledger, asks(TYPO, f1="accepted"), 2))[0] == ("f1", "raised", 1)


def test_what_is_waived_or_settled_stays_suppressed_until_that_code_changes() -> None:
    waived = findings.waived(reviewed((), asks(ZERO), 1), "f1", "not now")
    assert states(reviewed(waived, asks(ZERO), 2)) == [("f1", "waived: not now", 1)]
    elsewhere = findings.code_changed(waived, ["other.py"])
    assert states(reviewed(elsewhere, asks(ZERO), 2)) == [("f1", "waived: not now", 1)]
    changed = findings.code_changed(waived, ["app.py"])
    assert states(reviewed(changed, asks(ZERO), 2)) == [("f1", "raised 2 times", 2)]


def test_an_answer_that_names_only_what_is_minor_or_settled_names_nothing_that_blocks() -> None:
    waived = findings.waived(reviewed((), asks(ZERO), 1), "f1", "")
    assert not findings.names_a_blocker(waived, asks(ZERO, TYPO))
    assert not findings.names_a_blocker(waived, asks(f1="stays"))
    assert findings.names_a_blocker((), asks(ZERO))
    assert findings.names_a_blocker(reviewed((), asks(ZERO), 1), asks(f1="stays"))
    assert findings.names_a_blocker(waived, Answer(CHANGES))  # free text


def test_a_finding_that_comes_and_goes_is_counted_each_time_it_comes() -> None:
    ledger: Ledger = ()
    for number in range(1, 7, 2):
        ledger = reviewed(ledger, asks(ZERO), number)
        ledger = reviewed(ledger, asks(TYPO, f1="fixed"), number + 1)
    assert [each.times_raised for each in ledger] == [3, 3]


def test_a_free_text_is_one_finding_that_the_next_text_replaces() -> None:
    first = reviewed((), Answer(CHANGES), 1, text="the tests fail")
    assert [(each.place, each.description) for each in first] == [("", "the tests fail")]
    assert states(reviewed(first, Answer(CHANGES), 2, text="The tests fail!")) == [("f1", "raised 2 times", 2)]
    assert states(reviewed(first, Answer(CHANGES), 2, text="the docs lie")) == [
        ("f1", "fixed", 1),
        ("f2", "raised", 1),
    ]


def test_the_users_approval_waives_what_blocks() -> None:
    ledger = findings.after_approval(reviewed((), asks(ZERO, TYPO), 1))
    assert [each.state for each in ledger] == ["waived", "raised"]


def test_the_ledger_forgets_closed_findings_before_it_grows_without_bound() -> None:
    ledger: Ledger = reviewed((), asks(ZERO), 1)
    for number in range(2, MOST_KEPT + 50):
        ledger = reviewed(ledger, Answer(CHANGES), number, text=f"fault {number}")
    assert len(ledger) == MOST_KEPT
    assert ledger[0].id == "f1"
    assert len({each.id for each in ledger}) == MOST_KEPT


def test_a_reviewer_that_raises_findings_without_end_fills_the_ledger_and_no_more() -> None:
    ledger: Ledger = ()
    for number in range(1, 40):
        said = (SaidFinding(place=f"{number}/{n}.py", description="wrong") for n in range(20))
        ledger = reviewed(ledger, asks(*said), number)
    assert len(ledger) == MOST_KEPT
    assert all(each.open for each in ledger)
    assert len({each.id for each in ledger}) == MOST_KEPT


def test_a_prompt_names_the_newest_of_many_findings_and_a_status_the_open_ones() -> None:
    ledger: Ledger = reviewed((), asks(ZERO), 1)
    for number in range(2, 100):
        ledger = reviewed(ledger, asks(SaidFinding(place=f"{number}.py", description="wrong"), f1="stays"), number)
        ledger = tuple(msgspec.structs.replace(each, state="fixed") if each.id != "f1" else each for each in ledger)
    assert len(findings.shown(ledger)) == MOST_SHOWN
    assert [each.id for each in findings.shown(ledger)][:2] == ["f1", "f99"]
    assert findings.lines(ledger)[0] == "(49 older ones are not shown)"
    assert findings.lines(ledger)[-1].startswith("f99 ")


def test_a_status_shows_open_findings_first_and_in_one_line() -> None:
    ledger = reviewed(reviewed((), asks(ZERO), 1), PASSES, 2)
    ledger = reviewed(ledger, asks(SaidFinding(description="a\nb " + "x" * 9_000)), 3)
    shown = findings.shown(ledger)
    assert [each.id for each in shown] == ["f2", "f1"]
    assert len(findings.lines(shown)[0]) < 500
    assert findings.lines(shown)[1] == "f1 [blocking] app.py:12: It divides by zero. (shown by: pytest -k zero) (fixed)"
