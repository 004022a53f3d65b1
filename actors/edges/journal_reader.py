"""Reads a run's journal without being its writer, while the run is live or after its end.

Takes no lock of the run, fences no writer, and leaves nothing behind. SQLite would make files beside a database that it
reads. Made by another user, they would lock the run's owner out, so missing ones are not made. It reads all that is
durable, including a killed writer's write-ahead log. Runs in the caller's thread, in any process.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from actors.edges import files
from actors.edges.scratch import scratch
from actors.errors import BadFileError, JournalError
from actors.messages import Record

BUSY_S = 5.0  # a writer that recovers or checkpoints blocks us for milliseconds


def read_streams(directory: Path, streams: Iterable[str]) -> dict[str, list[Record]]:
    """All records of these streams, in order; empty for a run without a journal (as the original's runs are).

    Raises `JournalError` when the journal cannot be read.
    """
    path = directory / "journal.sqlite"
    found: dict[str, list[Record]] = {stream: [] for stream in streams}
    try:
        if not files.is_regular(path):
            return found
        with _opened(path) as db:
            for stream, records in found.items():
                rows = db.execute(
                    "SELECT event_id, at_ms, kind, body FROM events WHERE stream = ? ORDER BY version", (stream,)
                )
                names = ("event_id", "at_ms", "kind", "body")
                records += [msgspec.convert(dict(zip(names, row, strict=True)), Record) for row in rows]
    except (sqlite3.Error, OSError, BadFileError, ValueError) as error:  # ValueError: a column of another type
        why = error.reason if isinstance(error, BadFileError) else error
        raise JournalError(f"cannot read the journal {path}: {why}") from error
    return found


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    log, index = Path(f"{path}-wal"), Path(f"{path}-shm")
    if not log.exists():
        with _connected(path, "immutable=1") as db:  # its writer has closed it: all of it is in this one file
            yield db
    elif index.exists():
        with _connected(path, "mode=ro") as db:
            yield db
    else:
        with scratch(Path(tempfile.gettempdir()), "loop-journal-") as directory:
            copy = directory / path.name
            shutil.copyfile(path, copy)
            shutil.copyfile(log, f"{copy}-wal")
            with _connected(copy, "mode=rw") as db:
                yield db


@contextmanager
def _connected(path: Path, how: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=BUSY_S)) as db:
        db.execute("BEGIN")  # one view of all streams
        yield db
