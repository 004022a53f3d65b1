"""The events of a run as lines for the user. Pure: text in, text out; readable without colour and when piped.

Foreign text in them is made printable (`actors.text`); the colours are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timezone

from actors.messages import Progress
from actors.text import line, printable
from actors.wire.encoding import to_json

NAME_WIDTH = 10

_COLOURS = {"run": "36", "worker": "36", "reviewer": "35", "bridge": "33", "supervisor": "34"}
_MARKS = {
    "tool": "$ ",
    "tool-result": "  ",
    "check": "check $ ",
    "error": "error: ",
    "session": "session ",
    "typed": "typed: ",
    "question": "question: ",
    "ready": "ready: ",
}


def lines(progress: Progress, *, zone: timezone | None, colour: bool) -> Iterator[str]:
    """The lines of one event: time, who, what. Further lines of a text are indented below the first."""
    moment = datetime.fromtimestamp(progress.at_ms / 1000, zone).strftime("%H:%M:%S")
    who = line(progress.agent) or (
        "loop" if progress.source in ("supervisor", "run", "worker", "console") else line(progress.source)
    )
    mark = _MARKS.get(progress.kind, "")
    first, *rest = printable(progress.text.rstrip()).split("\n")
    yield f"{moment} {_paint(who.ljust(NAME_WIDTH), progress, colour=colour)} {mark}{first}"
    indent = " " * (len(moment) + 1 + NAME_WIDTH + 1)
    for each in rest:
        yield f"{indent}{each}"


def record(progress: Progress, run: str, *, zone: timezone | None) -> str:
    """The event in one line, with its run: for one output of many runs."""
    first, *rest = lines(progress, zone=zone, colour=False)
    moment, what = first.split(" ", 1)
    return " | ".join([f"{moment} {run} {what}", *(each.strip() for each in rest if each.strip())])


def json_record(progress: Progress, run_id: str) -> str:
    """The event as one JSON object, in one line."""
    at = datetime.fromtimestamp(progress.at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record = {
        "at": at,
        "run": run_id,
        **{name: getattr(progress, name) for name in ("source", "agent", "kind", "text")},
    }
    return to_json(record)


def _paint(text: str, progress: Progress, *, colour: bool) -> str:
    code = "31" if progress.kind == "error" else _COLOURS.get(progress.source, "")
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text
