"""What a review says beside its verdict: findings, and what became of earlier ones. Pure.

A reviewer answers in one of three forms, and the first that fits counts:

- typed: one JSON object of `SCHEMA`. Codex and Claude are bound to it; any agent may write it.
- lines: FINDING, FIXED, STAYS and ACCEPTED, each on a line of its own, anywhere above the verdict.
- free text: the whole text is one finding, without a place.

The last line is the verdict in the second and third form, as machines/verdict reads it. Answers are foreign: what is
read here is bounded in size and number, and printable. An answer that passes the work and names something that blocks
it is neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from actors.machines.verdict import MIXED, NO_REASON, REVIEW_FAIL, REVIEW_PASS, Verdict, read_verdict
from actors.messages.values import Finding, Severity
from actors.text import ForeignJsonError, line, printable, read_object

MOST_FINDINGS = 20  # of one answer: they are ordered, so the rest matters less
MOST_EARLIER = 200
MOST_BYTES = 256 * 1024  # of a typed answer
PLACE_LENGTH, COMMAND_LENGTH, DESCRIPTION_LENGTH, REASON_LENGTH = 300, 500, 4_000, 1_000

Became = Literal["fixed", "stays", "accepted"]


class SaidFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding as a review gives it."""

    description: str
    place: str = ""
    severity: Severity = "blocking"
    command: str = ""


class SaidEarlier(msgspec.Struct, frozen=True, kw_only=True):
    """What a review says of an earlier finding. accepted: the worker's refusal is right."""

    id: str
    became: Became


class _Typed(msgspec.Struct, frozen=True, kw_only=True):
    verdict: Literal["pass", "changes"]
    summary: str = ""
    findings: list[SaidFinding] = []
    earlier: list[SaidEarlier] = []


class Answer(NamedTuple):
    """A review that was read. `summary`: its text without the findings; "" when the text as a whole is the finding."""

    verdict: Verdict
    findings: tuple[SaidFinding, ...] = ()
    earlier: tuple[SaidEarlier, ...] = ()
    summary: str = ""

    @property
    def is_structured(self) -> bool:
        """Whether it names findings one by one, or settles earlier ones."""
        return bool(self.findings or self.earlier)


def _strings(*names: str, **choices: list[str]) -> Mapping[str, object]:
    properties: dict[str, object] = {name: {"type": "string"} for name in names}
    properties |= {name: {"type": "string", "enum": words} for name, words in choices.items()}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


# Each field is required, and no other allowed: OpenAI takes a strict schema only so.
SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "verdict": {"type": "string", "enum": ["pass", "changes"]},
        "summary": {"type": "string"},
        "findings": {
            "type": "array",
            "items": _strings("place", "description", "command", severity=["blocking", "minor"]),
        },
        "earlier": {"type": "array", "items": _strings("id", became=["fixed", "stays", "accepted"])},
    },
    "required": ["verdict", "summary", "findings", "earlier"],
    "additionalProperties": False,
}


# What the prompts show as examples. An agent that repeats one says nothing by it.
EXAMPLE = SaidFinding(place="app.py:12", description="what is wrong", command="the command that shows it")
EXAMPLE_REASON = "the reason"


def read_answer(text: str) -> Answer:
    """Reads a finished review."""
    typed = _typed(text)
    if typed is not None:
        return _answer_of(typed)
    verdict = read_verdict(text)
    findings, earlier, rest = _read_lines(text)
    if verdict.kind == "pass" and any(each.severity == "blocking" for each in findings):
        verdict = Verdict(kind="inconclusive", reason=MIXED)
    return Answer(verdict, findings, earlier, rest if findings or earlier else "")


def rendered(text: str) -> str:
    """A typed answer as the text that a user reads, with the verdict as its last line. Any other text is unchanged."""
    typed = _typed(text)
    return text if typed is None else f"{_readable(typed)}\n{_LAST_LINES[typed.verdict]}".lstrip()


_LAST_LINES = {"pass": REVIEW_PASS, "changes": REVIEW_FAIL}
_BETWEEN = re.compile(r"(?<=\})\n\n(?=\{)")  # of fixed width: any other is slow on a hostile text
_FENCED = re.compile(r"```\w*\n(.*)\n```", re.DOTALL)


def _typed(text: str) -> _Typed | None:
    """The typed answer; the last of several, one after each word of the user in the same turn."""
    bare = text.strip()
    fenced = _FENCED.fullmatch(bare)
    bare = fenced[1].strip() if fenced else bare
    if not (bare.startswith("{") and bare.endswith("}")) or len(bare) > MOST_BYTES:
        return None
    try:
        return [msgspec.convert(read_object(each), _Typed) for each in _BETWEEN.split(bare)][-1]
    except (ForeignJsonError, msgspec.ValidationError):
        return None


def _answer_of(typed: _Typed) -> Answer:
    findings = _bounded(typed.findings)
    earlier = tuple(typed.earlier[:MOST_EARLIER])
    summary = printable(typed.summary).strip()[:DESCRIPTION_LENGTH]
    if typed.verdict == "pass":
        mixed = any(each.severity == "blocking" for each in findings)
        verdict = Verdict(kind="inconclusive", reason=MIXED) if mixed else Verdict(kind="pass")
    else:
        verdict = Verdict(kind="changes", reason=_readable(typed) or NO_REASON)
    return Answer(verdict, findings, earlier, summary)


def _readable(typed: _Typed) -> str:
    lines = [printable(typed.summary).strip()[:DESCRIPTION_LENGTH]]
    lines += [f"- {words(each)}" for each in _bounded(typed.findings)]
    lines += [f"- {each.id[:20]}: {each.became}" for each in typed.earlier[:MOST_EARLIER]]
    return printable("\n".join(filter(None, lines)))


def words(said: SaidFinding | Finding) -> str:
    """One finding on one line: "[blocking] app.py:12: what is wrong (shown by: pytest)"."""
    place = f" {said.place}:" if said.place else ""
    command = f" (shown by: {said.command})" if said.command else ""
    return f"[{said.severity}]{place} {' '.join(line(said.description).split())}{command}"


def _bounded(findings: Iterable[SaidFinding]) -> tuple[SaidFinding, ...]:
    """The first ones that say something, each within its bounds."""
    cut = (
        SaidFinding(
            description=printable(each.description).strip()[:DESCRIPTION_LENGTH],
            place=line(each.place).strip()[:PLACE_LENGTH],
            severity=each.severity,
            command=line(each.command).strip()[:COMMAND_LENGTH],
        )
        for each in findings
    )
    return tuple(each for each in cut if each.description and each != EXAMPLE)[:MOST_FINDINGS]


# --- the form of lines --------------------------------------------------------------------------------------------

_BULLET = re.compile(r"^\s*(?:[-*]\s+)?`?")
_FINDING = re.compile(r"FINDING\b[\s:]*(.+)")
_EARLIER = re.compile(r"(FIXED|STAYS|ACCEPTED)\s+(f\d{1,9})\b")
_REFUSED = re.compile(r"REFUSED\s+(f\d{1,9})\b[\s:.\u2013\u2014-]*(.*)")
_BECAME: Mapping[str, Became] = {"FIXED": "fixed", "STAYS": "stays", "ACCEPTED": "accepted"}


def _read_lines(text: str) -> tuple[tuple[SaidFinding, ...], tuple[SaidEarlier, ...], str]:
    findings: list[SaidFinding] = []
    earlier: list[SaidEarlier] = []
    rest: list[str] = []
    for row in text.splitlines():
        bare = _BULLET.sub("", row).rstrip("` \t")
        if found := _FINDING.fullmatch(bare):
            findings.append(_finding_of(found[1]))
        elif found := _EARLIER.match(bare):
            earlier.append(SaidEarlier(id=found[2], became=_BECAME[found[1]]))
        elif bare not in {REVIEW_PASS, REVIEW_FAIL}:
            rest.append(row)
    return _bounded(findings), tuple(earlier[:MOST_EARLIER]), "\n".join(rest).strip()


def _finding_of(text: str) -> SaidFinding:
    parts = [part.strip() for part in text.split("|", 3)]
    severity: Severity = "blocking"
    if parts[0].lower().strip("[]") in ("blocking", "minor"):
        severity = "minor" if parts.pop(0).lower().strip("[]") == "minor" else "blocking"
    if len(parts) <= 1:  # a severity alone says nothing
        return SaidFinding(description="".join(parts), severity=severity)
    place, description, *more = parts
    return SaidFinding(place=place, description=description, severity=severity, command=" | ".join(more).strip("` "))


def read_refusals(text: str) -> dict[str, str]:
    """The findings that the worker refuses in its answer, with its reasons. One without a reason is not refused."""
    found: dict[str, str] = {}
    for row in text.splitlines():
        said = _REFUSED.match(_BULLET.sub("", row))
        reason = line(said[2]).strip("` ")[:REASON_LENGTH] if said else ""
        if said and reason and reason != EXAMPLE_REASON and len(found) < MOST_EARLIER:
            found[said[1]] = reason
    return found
