"""What a reviewer and the worker say: verdicts, findings, refusals; as lines, as typed JSON, or as anything.

A whole review goes through the parser and the ledger of findings, as in a run. What comes out is bounded in number and
length, printable, and can be journalled. Good work: a review of each form.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from actors.machines import findings, review_answer
from actors.machines.verdict import REVIEW_FAIL, REVIEW_PASS, read_verdict
from actors.messages import Finding
from actors.text import printable
from actors.wire.encoding import to_json
from fuzz_surfaces import inputs as make
from fuzz_surfaces.oracle import Failed
from fuzz_surfaces.surface import Surface

WORDS = (
    "FINDING",
    "FIXED",
    "STAYS",
    "ACCEPTED",
    "REFUSED",
    "blocking",
    "minor",
    "[minor]",
    "f1",
    "f2",
    "F999999999",
    "|",
)
MORE = (
    "app.py:12",
    "it fails",
    "`pytest`",
    ":",
    "-",
    "*",
    "```json",
    "```",
    REVIEW_PASS,
    REVIEW_FAIL,
    "<review>",
    "{",
    "}",
)
GOOD_TYPED: dict[str, Any] = {
    "verdict": "changes",
    "summary": "No.",
    "findings": [{"place": "a.py:1", "description": "wrong", "command": "pytest", "severity": "blocking"}],
    "earlier": [{"id": "f1", "became": "stays"}],
}
MOST_FINDINGS = 400  # in the ledger, before it begins again


class ReviewsSurface(Surface):
    """See the module."""

    name = "reviews"
    batch = 20

    def open(self) -> None:
        self.ledger: tuple[Finding, ...] = ()
        self.round = 0
        self.settle()

    def make(self, rng: Random) -> tuple[str, str]:
        """The review, and the worker's answer to it."""
        return self._review(rng), _lines(rng)

    def _review(self, rng: Random) -> str:
        how = rng.random()
        if how < 0.4:
            return _lines(rng)
        if how < 0.5:
            return make.text(rng)
        tree = make.mutated(rng, GOOD_TYPED) if how < 0.9 else GOOD_TYPED
        if rng.random() < 0.05 and isinstance(tree, dict):
            tree = {**tree, "findings": GOOD_TYPED["findings"] * 500}
        typed = make.as_json(rng, tree)
        typed = make.mutated_bytes(rng, typed) if rng.random() < 0.2 else typed
        text = typed.decode("utf-8", "replace")
        if rng.random() < 0.2 and len(text) < 10_000:
            text = "\n\n".join([text] * rng.choice((2, 3, 200)))
        return f"```json\n{text}\n```" if rng.random() < 0.1 else text

    def feed(self, inputs: Sequence[tuple[str, str]]) -> None:
        for review, work in inputs:
            self._take(review, work)

    def _take(self, review: str, work: str) -> None:
        answer = review_answer.read_answer(review)
        shown = review_answer.rendered(review)
        _check_answer(answer)
        if answer.verdict.approves and read_verdict(shown).kind != "pass":
            raise Failed(f"a pass is shown as {shown[-100:]!r}")
        self.round += 1
        text = answer.verdict.reason
        findings.names_a_blocker(self.ledger, answer)
        findings.keeps_a_blocker(self.ledger, answer)
        ledger = findings.after_review(self.ledger, answer, by="reviewer", review_round=self.round, text=text)
        ledger = findings.after_work(ledger, review_answer.read_refusals(work))
        ledger = findings.code_changed(ledger, ["app.py"]) if self.round % 7 == 0 else ledger
        for line in findings.lines(ledger):
            if "\n" in line or line != printable(line):
                raise Failed(f"a finding is shown as {line[:200]!r}")
        to_json({"findings": [each.description for each in ledger]})
        if len({each.id for each in ledger}) != len(ledger):
            raise Failed("two findings have the same id")
        self.ledger = ledger if len(ledger) < MOST_FINDINGS else ()

    def settle(self) -> None:
        typed = review_answer.read_answer(json.dumps(GOOD_TYPED))
        lines = review_answer.read_answer(f"FINDING minor | a.py | it is odd\n\nFIXED f1\n{REVIEW_PASS}")
        if (typed.verdict.kind, lines.verdict.kind, len(typed.findings), len(lines.earlier)) != (
            "changes",
            "pass",
            1,
            1,
        ):
            raise Failed(f"good reviews are read as {typed} and {lines}")

    def reopen(self) -> None:
        self.ledger = ()


def _lines(rng: Random) -> str:
    rows = (" ".join(make.words(rng, (*WORDS, *MORE), 8)) for _ in range(rng.randrange(12)))
    text = rng.choice(("\n", "\n", "\r\n", "\x0b", "\u2028")).join(rows)
    return f"{text}\n{rng.choice((REVIEW_PASS, REVIEW_FAIL, ''))}"


def _check_answer(answer: review_answer.Answer) -> None:
    most = (review_answer.MOST_FINDINGS, review_answer.MOST_EARLIER)
    if len(answer.findings) > most[0] or len(answer.earlier) > most[1]:
        raise Failed(f"{len(answer.findings)} findings, {len(answer.earlier)} earlier ones")
    for each in answer.findings:
        texts: dict[str, tuple[Any, int]] = {
            "place": (each.place, review_answer.PLACE_LENGTH),
            "command": (each.command, review_answer.COMMAND_LENGTH),
            "description": (each.description, review_answer.DESCRIPTION_LENGTH),
        }
        for name, (text, length) in texts.items():
            if len(text) > length or text != printable(text):
                raise Failed(f"{name} is {text[:200]!r}, {len(text)} characters")
