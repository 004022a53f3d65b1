"""The findings of `loop doctor`: as lines, as an object, and as the answer to "can a run start here?". Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from actors.text import line

Level = Literal["ok", "note", "problem"]

USUAL = "loop TASK"

_SUBJECT_WIDTH = 14
_LEVELS: dict[Level, str] = {"ok": "ok", "note": "note", "problem": "PROBLEM"}
_COLOURS: dict[Level, str] = {"ok": "32", "note": "33", "problem": "31"}
_INDENT = 2 + 8 + 1 + _SUBJECT_WIDTH + 1


class Finding(NamedTuple):
    """The result of checking one thing.

    ok: as it should be. note: something optional is missing. problem: `text` or `next` says what to do. `blocks`: no
    run can start. `facts` are for programs.
    """

    area: str
    subject: str
    level: Level
    text: str
    next: str = ""
    blocks: bool = False
    facts: Mapping[str, Any] = {}


class Verdict(NamedTuple):
    """Whether a run can start. `starts`: the commands that start one, the usual one first."""

    can_start: bool
    starts: tuple[str, ...]
    text: str


def verdict(findings: Iterable[Finding], peers: Mapping[str, str]) -> Verdict:
    """Judges the findings. `peers`: each agent's peer, in order of preference. An agent is usable when its finding is
    ok.
    """
    findings = list(findings)
    blocking = [each.subject for each in findings if each.blocks]
    if blocking:
        return Verdict(False, (), f"no run can start here: see {', '.join(blocking)}")
    usable = {each.subject for each in findings if each.area == "agents" and each.level == "ok"}
    starts = _starts(usable, peers)
    if not starts:
        return Verdict(False, (), "no run can start here: no agent is ready")
    if starts[0] == USUAL:
        return Verdict(True, starts, f"a run can start here: {USUAL}")
    worker, peer = next(iter(peers.items()))
    return Verdict(True, starts, f"a run can start here, but not with {worker} and {peer}: {starts[0]}")


def _starts(usable: Collection[str], peers: Mapping[str, str]) -> tuple[str, ...]:
    found = []
    for number, (name, peer) in enumerate(peers.items()):
        if name in usable and peer in usable:
            found.append(USUAL if number == 0 else f"loop --agent {name} TASK")
    found += [f"{name}-loop TASK" for name in ("claude", "codex") if name in usable]
    return tuple(found)


def lines(finding: Finding, *, width: int | None, colour: bool) -> list[str]:
    """A finding as lines. `width` None: one line, for pipes; else wrapped below its text."""
    level = _LEVELS[finding.level].ljust(8)
    if colour:
        level = f"\x1b[{_COLOURS[finding.level]}m{level}\x1b[0m"
    subject = line(finding.subject)
    head = f"  {level} {subject.ljust(_SUBJECT_WIDTH)} "
    text = line(f"{finding.text}; {finding.next}" if finding.next else finding.text)
    if width is None:
        return [head + text]
    room = max(width - _INDENT, 20)
    first, *rest = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    if len(subject) > _SUBJECT_WIDTH:  # it has a line of its own
        return [head.rstrip(), *(f"{' ' * _INDENT}{each}" for each in (first, *rest))]
    return [head + first, *(f"{' ' * _INDENT}{each}" for each in rest)]


def as_object(
    findings: Sequence[Finding], judged: Verdict, cleaned: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    """The object that --json prints."""
    return {
        "can_start": judged.can_start,
        "starts": list(judged.starts),
        "findings": [{**each._asdict(), "facts": dict(each.facts)} for each in findings],
        "cleaned": list(cleaned),
    }
