"""The findings of `loop doctor`: as lines, as an object, and as the answer to "can a run start here?". Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from actors.text import line

Level = Literal["ok", "note", "problem"]

USUAL = "loop TASK"
PLACE = "--place "

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


def verdict(findings: Iterable[Finding], peers: Mapping[str, str], *, can_travel: bool = True) -> Verdict:
    """Judges the findings. `peers`: each agent's peer, in order of preference. An agent is usable here when its finding
    is ok, and on a host that is ok, when a login is seen there. `can_travel`: a tree here can go to a host.
    """
    findings = list(findings)
    blocking = [each.subject for each in findings if each.blocks]
    if blocking:
        return Verdict(False, (), f"no run can start here: see {', '.join(blocking)}")
    usable = {each.subject for each in findings if each.area == "agents" and each.level == "ok"}
    there = _on_hosts(findings)
    starts = _starts(usable, there if can_travel else {}, peers)
    if not starts:
        if _starts(usable, there, peers):
            why = "no agent is ready but on hosts, and only the tree of a git repository can go there"
            return Verdict(False, (), f"no run can start here: {why}; run git init")
        return Verdict(False, (), "no run can start here: no agent is ready, here or on a host")
    if starts[0] == USUAL:
        return Verdict(True, starts, f"a run can start here: {USUAL}")
    if PLACE in starts[0]:
        return Verdict(True, starts, f"a run can start here, with agents on hosts: {starts[0]}")
    worker, peer = next(iter(peers.items()))
    return Verdict(True, starts, f"a run can start here, but not with {worker} and {peer}: {starts[0]}")


def _on_hosts(findings: Iterable[Finding]) -> dict[str, str]:
    """The first host where each agent is ready."""
    found: dict[str, str] = {}
    for each in findings:
        if each.area == "hosts" and each.level == "ok":
            for name, is_seen in each.facts.get("agents", {}).items():
                if is_seen:
                    found.setdefault(name, each.subject)
    return found


def _starts(usable: Collection[str], there: Mapping[str, str], peers: Mapping[str, str]) -> tuple[str, ...]:
    """The commands that start a run: both agents here, both but not both here, one agent alone."""
    here: list[str] = []
    away: list[str] = []
    ready = {*usable, *there}
    for number, (name, peer) in enumerate(peers.items()):
        if name in ready and peer in ready:
            roles = (("worker", name), ("reviewer", peer))
            places = [f"{PLACE}{role}={there[each]}" for role, each in roles if each not in usable]
            agent = [f"--agent {name}"] if number else []
            (away if places else here).append(" ".join(["loop", *agent, *places, "TASK"]))
    alone = [name for name in ("claude", "codex") if name in ready]
    one = [f"{name}-loop TASK" for name in alone if name in usable]
    one += [f"{name}-loop {PLACE}worker={there[name]} TASK" for name in alone if name not in usable]
    return (*here, *away, *one)


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
