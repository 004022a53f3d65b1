"""The events of a run as its log has them, for a client that loads the session again. Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import get_args

from actors.errors import UserError
from actors.messages import Progress
from actors.messages.values import ProgressKind
from shell.log_lines import LogRecord, is_of
from shell.run_files import ACTORS
from shell.run_log import last_records

MOST_EVENTS = 2_000  # the newest ones

_EVENT = re.compile(r"(?P<who>[^:]{0,80}): (?P<kind>[a-z-]{1,20}): (?P<text>.*)", re.DOTALL)
_KINDS = frozenset(get_args(ProgressKind))
_SOURCES = (*ACTORS, "supervisor", "console")


def events(directory: Path) -> Iterator[Progress]:
    """The newest events, oldest first; none without a log."""
    try:
        found = last_records(directory, MOST_EVENTS, lambda record: is_of(record, "root"))
    except (UserError, OSError):
        return
    for record in found:
        if (event := _event(record)) is not None:
            yield event


def _event(record: LogRecord) -> Progress | None:
    hit = _EVENT.fullmatch(record.text)
    if hit is None or hit["kind"] not in _KINDS:
        return None
    is_ours = hit["who"] in _SOURCES
    return Progress(
        at_ms=round(datetime.fromisoformat(record.at).timestamp() * 1000),
        source=hit["who"] if is_ours else "agent",
        agent="" if is_ours else hit["who"],
        kind=hit["kind"],  # type: ignore[arg-type]
        text=hit["text"],
    )
