"""Looks into a run's journal without being its writer: for a run that is not running, or beside one that is.

Takes no lock, fences nobody and changes nothing. The newest events of a live run may be missing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from actors.errors import JournalError
from actors.messages import Record


def read_streams(directory: Path, streams: Iterable[str]) -> dict[str, list[Record]]:
    """All records of these streams, in order; none at all of a run that has no journal (the original's have none).

    Raises `JournalError` when there is one that cannot be read.
    """
    path = directory / "journal.sqlite"
    found: dict[str, list[Record]] = {stream: [] for stream in streams}
    if not path.exists():
        return found
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
            for stream, records in found.items():
                rows = db.execute(
                    "SELECT event_id, at_ms, kind, body FROM events WHERE stream = ? ORDER BY version", (stream,)
                )
                records += [Record(event_id=row[0], at_ms=row[1], kind=row[2], body=row[3]) for row in rows]
    except sqlite3.Error as error:
        raise JournalError(f"cannot read the journal {path}: {error}") from error
    return found
