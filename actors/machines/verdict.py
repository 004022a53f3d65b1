"""Reads an agent's last message: does it claim done, and does a review approve the work? Pure.

Never guesses: a reviewer's verdict counts as an approval only in the one exact form that the review prompt asks for.
Everything else counts against the work, with a reason that names the fault of the form.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

REVIEW_PASS = "<review>PASS</review>"  # noqa: S105 - a marker in a text, not a password
REVIEW_FAIL = "<review>FAIL</review>"

NO_REASON = "changes are asked for, but no reason was given"
MISSING = f"the review has no verdict: its last line must be {REVIEW_PASS} or {REVIEW_FAIL}"
MALFORMED = "the review's verdict is malformed: the last line must hold the verdict and nothing else"
NOT_LAST = "the review's verdict is followed by more text, so it is not known which of the two counts"
CONTRADICTORY = "the review holds both verdicts, PASS and FAIL"

MIXED = "the review passes the work and names findings that block it"
NOTHING_BLOCKS = "the review asks for changes and names nothing that blocks: only what is minor, or was settled before"

VerdictKind = Literal["pass", "changes", "inconclusive", "unavailable", "limited"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One reviewer's verdict. Only "pass" approves; `reason` is empty then, and never empty otherwise.

    changes: the reviewer asks for them, `reason` is its text. inconclusive: the text breaks the form.
    unavailable: there is no text, because the review turn failed; `reason` is the cause. limited: the same, at a limit
    that was not waited for any longer.
    """

    kind: VerdictKind
    reason: str = ""

    @property
    def approves(self) -> bool:
        """Whether this reviewer passes the work."""
        return self.kind == "pass"


def says_done(text: str, signal: str) -> bool:
    """Whether a line of `text`, trimmed, is the signal, or holds it in double quotes. Case and inner space count.

    A signal within a sentence only mentions it; some agents write the real signal in quotes.
    """
    bare = signal.strip()
    return any(line.strip() == bare or f'"{bare}"' in line for line in text.splitlines())


def read_verdict(text: str) -> Verdict:
    """Reads a finished review. The verdict is the last non-empty line, bare or in double quotes, and the only one.

    A code fence around that line alone, or around the whole review, is decoration. A fence with other text is a
    quotation of unknown origin.
    """
    lines = _without_fence(text.rstrip().splitlines())
    if not lines:
        return Verdict(kind="inconclusive", reason=MISSING)
    signals = [_signal(line) for line in lines]
    present = set(signals) - {None}
    last = signals[-1]
    if last is None:
        return Verdict(kind="inconclusive", reason=_what_is_wrong_with(lines[-1], talked_on=bool(present)))
    if len(present) > 1:
        return Verdict(kind="inconclusive", reason=CONTRADICTORY)
    if last == REVIEW_PASS:
        return Verdict(kind="pass")
    return Verdict(kind="changes", reason="\n".join(lines[:-1]).strip() or NO_REASON)


def unavailable(cause: str) -> Verdict:
    """The verdict of a reviewer whose turn did not finish: it counts against the work, with the cause."""
    return Verdict(kind="unavailable", reason=f"the review could not be done: {cause.strip() or 'no cause given'}")


_FENCE = re.compile(r"\s*(`{3,}|~{3,})[^`]*")


def _without_fence(lines: list[str]) -> list[str]:
    """The lines without the fence at their end, where that is decoration."""
    if not lines or not _FENCE.fullmatch(lines[-1]):
        return lines
    inner = lines[:-1]
    while inner and not inner[-1].strip():
        inner.pop()
    if not inner or _signal(inner[-1]) is None:
        return lines
    above = [index for index, line in enumerate(inner) if _FENCE.fullmatch(line)]
    opens = above[-1] if len(above) % 2 else None
    if opens is None or all(not line.strip() for line in inner[opens + 1 : -1]):
        return inner if opens is None else [*inner[:opens], inner[-1]]
    return inner[1:] if not any(line.strip() for line in inner[: above[0]]) and len(above) == 1 else lines


def _signal(line: str) -> str | None:
    bare = line.strip()
    for signal in (REVIEW_PASS, REVIEW_FAIL):
        if bare in {signal, f'"{signal}"'}:
            return signal
    return None


def _what_is_wrong_with(last_line: str, *, talked_on: bool) -> str:
    if talked_on:
        return NOT_LAST
    if REVIEW_PASS in last_line or REVIEW_FAIL in last_line:
        return MALFORMED
    return MISSING
