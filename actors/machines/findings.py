"""The ledger of a run's findings: raised, fixed, refused, waived. Pure.

A finding is known by the file of its place and by its description, so a line number that moves makes no new one. Its
reviewer alone closes it: fixed, or, when the worker refuses it with a reason, settled. The user may waive it. A finding
that was waived or settled stays suppressed until that code changes; where the changed files are unknown, it may be
raised again at once.

Nothing here reads an answer (machines/review_answer) or makes a prompt (machines/prompts).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from msgspec.structs import replace

from actors.machines.review_answer import DESCRIPTION_LENGTH, Answer, SaidFinding, words
from actors.messages import Finding
from actors.settings import Role
from actors.text import line, printable

Ledger = tuple[Finding, ...]

MOST_KEPT = 500  # beyond that closed ones are forgotten, the oldest first; of open ones no more are kept
MOST_SHOWN = 50  # in a status or a prompt
SHOWN_LENGTH = 400  # characters of a description in a prompt or a list


def after_review(ledger: Ledger, answer: Answer, *, by: Role, review_round: int, text: str = "") -> Ledger:
    """The ledger after one reviewer's answer. `text`: the review, where it as a whole is the finding."""
    ledger = _with_earlier(ledger, answer, by, review_round)
    if answer.verdict.kind == "pass":
        stays = _said_to_stay(answer)
        ledger = tuple(
            _closed(each) if each.by == by and each.open and each.id not in stays else each for each in ledger
        )
    if answer.findings:
        for said in answer.findings:
            ledger = _raised(ledger, said, by, review_round)
    elif answer.verdict.kind == "changes" and not answer.earlier:
        whole = SaidFinding(description=printable(text).strip()[:DESCRIPTION_LENGTH])
        superseded = (
            replace(each, state="fixed")
            if each.by == by and each.open and not each.place and _key(each) != _key(whole)
            else each
            for each in ledger
        )
        ledger = _raised(tuple(superseded), whole, by, review_round)
    return _kept(ledger)


def _closed(finding: Finding) -> Finding:
    """A review that passes the work accepts refusals."""
    return replace(finding, settled=True) if finding.state == "refused" else replace(finding, state="fixed")


def _with_earlier(ledger: Ledger, answer: Answer, by: Role, review_round: int) -> Ledger:
    became = {each.id: each.became for each in answer.earlier}
    found = []
    for each in ledger:
        match became.get(each.id) if each.open and each.by == by else None:
            case "fixed":
                found.append(replace(each, state="fixed"))
            case "accepted" if each.state == "refused":
                found.append(replace(each, settled=True, code_changed=False))
            case "stays" if each.last_round != review_round:
                found.append(_again(each, review_round))
            case _:
                found.append(each)
    return tuple(found)


def _raised(ledger: Ledger, said: SaidFinding, by: Role, review_round: int) -> Ledger:
    known = next((each for each in ledger if _key(each) == _key(said)), None)
    if known is None:
        fresh = Finding(
            id=f"f{_last_number(ledger) + 1}",
            place=said.place,
            description=said.description,
            severity=said.severity,
            command=said.command,
            by=by,
            review_round=review_round,
            last_round=review_round,
        )
        return (*ledger, fresh)
    if is_suppressed(known) or (known.open and known.last_round == review_round):  # the other reviewer has found it too
        return ledger
    by = known.by if known.open else by
    fresh = replace(_again(known, review_round), severity=said.severity, place=said.place, by=by)
    return tuple(fresh if each is known else each for each in ledger)


def _again(finding: Finding, review_round: int) -> Finding:
    return replace(
        finding,
        state="raised",
        reason="",
        settled=False,
        code_changed=False,
        times_raised=finding.times_raised + 1,
        last_round=review_round,
    )


def is_suppressed(finding: Finding) -> bool:
    """Whether raising it again changes nothing: the user or its reviewer has settled it, and its code is the same."""
    return (finding.state == "waived" or finding.settled) and not finding.code_changed


def names_a_blocker(ledger: Ledger, answer: Answer) -> bool:
    """Whether an answer that asks for changes names something that blocks. Free text does."""
    if not answer.is_structured:
        return True
    known = {_key(each): each for each in ledger}
    suppressed = {key for key, each in known.items() if is_suppressed(each)}
    if any(each.severity == "blocking" and _key(each) not in suppressed for each in answer.findings):
        return True
    return keeps_a_blocker(ledger, answer)


def keeps_a_blocker(ledger: Ledger, answer: Answer) -> bool:
    """Whether the answer says of an open finding that blocks, that it stays."""
    stays = _said_to_stay(answer)
    return any(each.id in stays and each.blocks for each in ledger)


def _said_to_stay(answer: Answer) -> set[str]:
    return {each.id for each in answer.earlier if each.became == "stays"}


def after_work(ledger: Ledger, refusals: Mapping[str, str]) -> Ledger:
    """The ledger after the worker's answer: its refusals go to the reviewer."""
    return tuple(
        replace(each, state="refused", reason=refusals[each.id]) if each.id in refusals and each.open else each
        for each in ledger
    )


def waived(ledger: Ledger, finding_id: str, reason: str) -> Ledger:
    """The ledger after the user has waived a finding."""
    return tuple(
        replace(each, state="waived", reason=reason, code_changed=False) if each.id == finding_id else each
        for each in ledger
    )


def after_approval(ledger: Ledger) -> Ledger:
    """The ledger after the user has approved the work in place of the reviewers."""
    return tuple(
        replace(each, state="waived", reason="the user approved the work") if each.blocks else each for each in ledger
    )


def code_changed(ledger: Ledger, files: Collection[str]) -> Ledger:
    """The ledger after these files have changed: what was settled about them may be raised again."""
    if not files:
        return ledger
    return tuple(
        replace(each, code_changed=True) if is_suppressed(each) and _concerned(each, files) else each for each in ledger
    )


def _concerned(finding: Finding, files: Collection[str]) -> bool:
    place = file_of(finding.place)
    return not place or place in files


def open_ones(ledger: Ledger) -> Ledger:
    """Those that something is still to be done about, in the order in which they were raised."""
    return tuple(each for each in ledger if each.open)


def suppressed_ones(ledger: Ledger) -> Ledger:
    """Those that are not to be raised again."""
    return tuple(each for each in ledger if is_suppressed(each))


def shown(ledger: Ledger) -> Ledger:
    """The findings for a status: open ones first, then the newest, with short descriptions."""
    ordered = [*open_ones(ledger), *(each for each in reversed(ledger) if not each.open)]
    return tuple(replace(each, description=_short(each.description)) for each in ordered[:MOST_SHOWN])


def text_of(finding: Finding) -> str:
    """One line about a finding, without its state: "f1 [blocking] app.py:12: what is wrong (shown by: pytest)"."""
    return f"{finding.id} {words(replace(finding, description=_short(finding.description)))}"


def state_of(finding: Finding) -> str:
    """Its state for the user: "raised for the 3rd time", "refused, and settled: not needed"."""
    state: str = finding.state
    if finding.settled:
        state += ", and settled"
    if finding.state == "raised" and finding.times_raised > 1:
        state = f"raised {finding.times_raised} times"
    return f"{state}: {finding.reason}" if finding.reason else state


def lines(ledger: Sequence[Finding]) -> tuple[str, ...]:
    """One line for each finding, with its state; of too many the newest."""
    left_out = len(ledger) - MOST_SHOWN
    found = [f"{text_of(each)} ({state_of(each)})" for each in ledger[-MOST_SHOWN:]]
    return (f"({left_out} older ones are not shown)", *found) if left_out > 0 else tuple(found)


_LINE_NUMBER = re.compile(r":\d+(?:[-:]\d+)*$")


def file_of(place: str) -> str:
    """The file of a place, without the line."""
    return _LINE_NUMBER.sub("", place.strip().strip("`")).removeprefix("./")


def _key(finding: Finding | SaidFinding) -> tuple[str, str]:
    return file_of(finding.place), _words(finding.description)


@lru_cache(maxsize=2 * MOST_KEPT)  # each review compares each of its findings with all that are kept
def _words(description: str) -> str:
    return " ".join(re.findall(r"\w+", description.casefold()))


def _short(text: str) -> str:
    flat = " ".join(line(text).split())
    return flat if len(flat) <= SHOWN_LENGTH else f"{flat[:SHOWN_LENGTH]}…"


def _last_number(ledger: Ledger) -> int:
    return int(ledger[-1].id.removeprefix("f")) if ledger else 0


def _kept(ledger: Ledger) -> Ledger:
    spare = len(ledger) - MOST_KEPT
    if spare <= 0:
        return ledger
    forgotten = {each.id for each in [each for each in ledger[:-1] if not each.open][:spare]}
    return tuple(each for each in ledger if each.id not in forgotten)[:MOST_KEPT]
