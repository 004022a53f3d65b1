"""Reads lines of a run's log (actors/logs.py writes them). Pure.

A log may be foreign: from a process that died in the middle of a line, or from an older `loop` that let foreign text
begin lines. The output is printable, and only records begin at the left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from actors.log_line import LINE
from actors.text import FURTHER, printable

_LONGEST_NAME = 40  # of an actor; real ones have 15 letters


class LogRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record. A traceback, or a text of several lines, belongs to the record before it."""

    at: str  # local time
    level: str
    pid: int
    run: str
    actor: str  # with its incarnation: "worker#2", or "root"
    where: str  # module:line
    text: str


def records(lines: Iterable[str]) -> Iterator[LogRecord]:
    """The records of these lines; "" means that there are no more for the moment. Skips lines before the first."""
    last: LogRecord | None = None
    more: list[str] = []
    for line in lines:
        if not line:
            if last is not None:
                yield _with_more(last, more)
            last, more = None, []
            continue
        hit = LINE.fullmatch(line.rstrip("\n"))
        if hit is None:
            more.append(line.rstrip("\n").removeprefix(FURTHER))
            continue
        if last is not None:
            yield _with_more(last, more)
        more = []
        known: dict[str, Any] = hit.groupdict()
        last = LogRecord(**(known | {"pid": int(known["pid"])}))
    if last is not None:
        yield _with_more(last, more)


def _with_more(record: LogRecord, more: list[str]) -> LogRecord:
    return msgspec.structs.replace(record, text="\n".join([record.text, *more])) if more else record


def is_of(record: LogRecord, actor: str) -> bool:
    """Whether any incarnation of the actor wrote it."""
    return record.actor.partition("#")[0] == actor


def plain(record: LogRecord) -> str:
    """The record for the user. Further lines are indented below the first, by the length of a name at most."""
    level = "" if record.level == "INFO" else f"{record.level} "
    actor = " ".join(record.actor[:_LONGEST_NAME].split())
    beginning = f"{record.at[11:19]} {actor:<13} "
    return printable(f"{beginning}{level}{record.text}").replace("\n", "\n" + " " * len(beginning))
