"""The journal of one run: SQLite, WAL, synchronous=FULL. Lives in the persistence process, in one thread.

It stores streams of events and the resulting lines of transcript.jsonl in one transaction. So the database can always
complete the file. It never decides and never reads an event's body.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from actors.edges import files
from actors.errors import BadFileError, JournalConflictError, JournalError, JournalUnusableError, LoopError
from actors.messages import Record

Migration = Callable[[sqlite3.Connection], None]

FILE_NAME = "journal.sqlite"  # in the run directory
RUN_STREAM = "run"  # the stream of the run's own events


def m001_events(db: sqlite3.Connection) -> None:
    """Streams of events, and the transcript lines that belong to them."""
    db.execute("CREATE TABLE streams (stream TEXT PRIMARY KEY, version INTEGER NOT NULL, epoch INTEGER NOT NULL)")
    db.execute(
        "CREATE TABLE events ("
        " seq INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, version INTEGER NOT NULL,"
        " event_id TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
        " kind TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (stream, version))"
    )
    db.execute(
        "CREATE TABLE transcript (number INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT UNIQUE, line TEXT NOT NULL)"
    )
    db.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)")


MIGRATIONS: list[Migration] = [m001_events]  # ordered; a name is applied once

# A message holds 64 MiB; a page stays far below, and a stream of any length can be loaded.
PAGE_BYTES = 8 * 1024 * 1024

# What sqlite3 raises for a file that is damaged. The second: SQLite's message, or a name in the schema, is not UTF-8.
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)

LOCK_PATIENCE_S = 10.0  # a killed predecessor is gone within 2 s; longer means that another process owns the run


class Journal:
    """Opened by its only writer; a second one waits `LOCK_PATIENCE_S` and then gets `JournalError`.

    `generation` counts the root processes that have opened this run: an epoch is only comparable within one, so
    both together fence: the journal refuses an older incarnation.
    """

    def __init__(self, path: Path, *, generation: int = 0) -> None:
        self._lock = _take_lock(path.with_suffix(".lock"))
        self._generation = generation
        try:
            os.close(files.open_own(path))  # else SQLite makes it with the umask's mode
        except (BadFileError, OSError):
            os.close(self._lock)
            raise
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=LOCK_PATIENCE_S)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # FULL survives power loss; NORMAL only process crashes
            _migrate(self._db, path)
        except SQLITE_ERRORS as error:
            os.close(self._lock)
            raise _trouble(error, f"cannot open the journal {path}") from error
        except LoopError:
            self._db.close()
            os.close(self._lock)
            raise

    def load(self, stream: str, epoch: int, after: int = 0) -> tuple[list[Record], bool]:
        """The records of the stream in order from number `after` on, a page of them, and whether there are more.

        From now on, older epochs are refused.
        """
        with self._transaction():
            self._check_epoch(stream, epoch)
            self._db.execute(
                "INSERT INTO streams VALUES (?, 0, ?) ON CONFLICT (stream) DO UPDATE SET epoch = excluded.epoch",
                (stream, self._fence(epoch)),
            )
        page: list[Record] = []
        size = 0
        for record in self.read(stream, after):
            size += len(record.body)
            if page and size > PAGE_BYTES:
                return page, True
            page.append(record)
        return page, False

    def read(self, stream: str, after: int = 0) -> Iterator[Record]:
        """All records of the stream in order from number `after` on; fences no writer."""
        query = "SELECT event_id, at_ms, kind, body FROM events WHERE stream = ? AND version > ? ORDER BY version"
        for row in self._rows(query, stream, after):
            yield _record(row)

    def append(
        self,
        stream: str,
        epoch: int,
        expected_version: int,
        records: Sequence[Record],
        lines: Sequence[str] = (),
    ) -> int:
        """Makes records and transcript lines durable in one commit; returns the stream's new version.

        Raises `JournalConflictError` for an older epoch or an unexpected version.
        """
        with self._transaction():
            self._check_epoch(stream, epoch)
            version = self._version(stream)
            if version != expected_version:
                raise JournalConflictError(
                    f"stream {stream!r} has {version} records, the writer expected {expected_version}: it must reload"
                )
            for record in records:
                version += 1
                self._db.execute(
                    "INSERT INTO events (stream, version, event_id, epoch, at_ms, kind, body) VALUES (?,?,?,?,?,?,?)",
                    (
                        stream,
                        version,
                        record.event_id,
                        self._fence(epoch),
                        record.at_ms,
                        record.kind,
                        record.body,
                    ),
                )
            self._db.execute(
                "INSERT INTO streams VALUES (?, ?, ?) ON CONFLICT (stream) DO UPDATE SET version = excluded.version",
                (stream, version, self._fence(epoch)),
            )
            self._add_lines(lines, source=None)
            return version

    def version_of(self, event_id: str) -> int | None:
        """The position of this event in its stream, from 1; None when it is absent.

        Recognises a write that is repeated after a crash.
        """
        row = next(self._rows("SELECT version FROM events WHERE event_id = ?", event_id), None)
        return None if row is None else _number(row[0])

    def note(self, source: str, line: str) -> bool:
        """Adds a transcript line that belongs to no event. Returns False when this `source` was already written."""
        with self._transaction():
            return self._add_lines([line], source=source) > 0

    def lines(self) -> list[str]:
        """All transcript lines in order."""
        return [str(row[0]) for row in self._rows("SELECT line FROM transcript ORDER BY number")]

    def fact(self, name: str) -> str | None:
        """A named value beside the streams (session ids, counts); None when it was never set."""
        row = next(self._rows("SELECT value FROM facts WHERE name = ?", name), None)
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Sets a named value; durable when it returns."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

    def close(self) -> None:
        """Releases the lock. Called once, by the thread that opened it."""
        self._db.close()
        os.close(self._lock)

    def _rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Raises `JournalError`, or its subclass `JournalUnusableError` when the journal is damaged."""
        try:
            yield from self._db.execute(query, values)
        except SQLITE_ERRORS as error:
            raise _trouble(error, "the journal cannot be read") from error

    def _add_lines(self, lines: Sequence[str], source: str | None) -> int:
        statement = "INSERT OR IGNORE INTO transcript (source, line) VALUES (?, ?)"
        return sum(self._db.execute(statement, (source, line)).rowcount for line in lines)

    def _version(self, stream: str) -> int:
        row = self._db.execute("SELECT version FROM streams WHERE stream = ?", (stream,)).fetchone()
        return 0 if row is None else _number(row[0])

    def _fence(self, epoch: int) -> int:
        return self._generation * 1_000_000 + epoch  # a run sees fewer than a million incarnations of one actor

    def _check_epoch(self, stream: str, epoch: int) -> None:
        row = self._db.execute("SELECT epoch FROM streams WHERE stream = ?", (stream,)).fetchone()
        if row is not None and self._fence(epoch) < _number(row[0]):
            raise JournalConflictError(f"stream {stream!r} was taken over by a newer incarnation than #{epoch}")

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK on any exception; a full disk becomes `JournalError`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self._db.execute("COMMIT" if kind is None else "ROLLBACK")
        except SQLITE_ERRORS as failure:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _trouble(failure, "the journal cannot be written") from failure
        if isinstance(error, SQLITE_ERRORS):
            raise _trouble(error, "the journal cannot be written") from error


# These are transient, or end when space is freed. Any other error means a damaged file, or none of ours.
_MAY_CHANGE = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT,
}  # fmt: skip


def _trouble(error: Exception, what: str) -> JournalError:
    """The error to raise for SQLite's error."""
    code = getattr(error, "sqlite_errorcode", None)  # Python's own errors have none, e.g. for text that is not UTF-8
    kind = JournalError if code is not None and code & 0xFF in _MAY_CHANGE else JournalUnusableError
    return kind(f"{what}: {error}; the run's files are left as they are")


def _record(row: tuple[Any, ...]) -> Record:
    """Checks the row's types: SQLite does not enforce them, and a damaged file may hold anything."""
    try:
        return msgspec.convert(dict(zip(("event_id", "at_ms", "kind", "body"), row, strict=True)), Record)
    except msgspec.ValidationError as error:
        raise JournalUnusableError(f"the journal holds what is no event ({error})") from error


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise JournalUnusableError(f"the journal holds {value!r:.40} in the place of a number")
    return value


def _take_lock(path: Path) -> int:
    descriptor = files.open_own(path)
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise JournalError(f"the journal beside {path} is held by another process") from None
            time.sleep(0.01)  # flock has no time-out; at start-up no mailbox waits
        else:
            return descriptor


def has_events(path: Path, stream: str) -> bool:
    """Whether this stream of the journal, which need not exist, has events. Changes nothing; needs no lock.

    Raises `BadFileError` when the path is not a regular file, and `JournalError` when the journal is unreadable or from
    a newer version.
    """
    if not files.is_regular(path):
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_PATIENCE_S)) as db:
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
            if "migrations" in tables:
                _applied(db, path)
            if "events" not in tables:  # its first writer was killed before it had made them
                return False
            return db.execute("SELECT 1 FROM events WHERE stream = ? LIMIT 1", (stream,)).fetchone() is not None
    except SQLITE_ERRORS as error:
        raise JournalError(f"cannot read the journal {path}: {error}; the run's files are left as they are") from error


def _applied(db: sqlite3.Connection, path: Path) -> set[str]:
    """The names of the journal's applied migrations. Raises `JournalError` for an unknown one."""
    applied = {str(row[0]) for row in db.execute("SELECT name FROM migrations")}
    unknown = applied - {migration.__name__ for migration in MIGRATIONS}
    if unknown:
        raise JournalUnusableError(
            f"the journal {path} was written by a newer version of loop (it has {min(unknown)}): "
            "update loop, then resume"
        )
    return applied


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)")
    applied = _applied(db, path)
    for migration in MIGRATIONS:
        if migration.__name__ not in applied:
            with _Transaction(db):
                migration(db)
                db.execute("INSERT INTO migrations VALUES (?)", (migration.__name__,))
