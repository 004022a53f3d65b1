"""Reads a run's log from its file: all of it, its end, or as it grows. Reads only; any thread."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from actors.edges import files, run_lock
from actors.errors import UserError
from shell import log_lines
from shell.log_lines import LogRecord

FIRST_REACH = 200_000  # bytes: a thousand lines


def read_log(directory: Path, *, follow: bool, pause: Callable[[], None] = lambda: None) -> Iterator[LogRecord]:
    """The records of the run's log; with `follow` also future ones, until its root is gone. `pause` waits a while."""
    yield from log_lines.records(_lines(_log_of(directory), lambda: follow and run_lock.is_active(directory), pause))


def last_records(directory: Path, count: int, wanted: Callable[[LogRecord], bool]) -> list[LogRecord]:
    """The last `count` wanted records of the run's log. Reads from its end, as the log of a long run is large."""
    path = _log_of(directory)
    reach, size = FIRST_REACH, path.stat().st_size
    while True:
        lines = files.tail(path, reach)[0].decode(errors="replace").removesuffix("\n").split("\n")
        found = [record for record in log_lines.records(f"{line}\n" for line in lines) if wanted(record)]
        if len(found) >= count or reach >= size:
            return found[-count:]
        reach *= 10


def _log_of(directory: Path) -> Path:
    path = directory / "log"
    if not files.is_regular(path):
        raise UserError(f"there is no log at {path}: the run was not made by this loop, or has only just begun")
    return path


def _lines(path: Path, more_to_come: Callable[[], bool], pause: Callable[[], None]) -> Iterator[str]:
    """Whole lines, and "" when there are no more for the moment. Continues with the new file after a rotation."""
    while True:
        with io.TextIOWrapper(files.open_regular(path), "utf-8", "replace", newline="\n") as file:
            torn = ""
            while True:
                there = more_to_come()  # asked before reading, so that the last lines are read
                for line in file:
                    torn += line
                    if torn.endswith("\n"):
                        yield torn
                        torn = ""
                if not there:
                    return
                yield ""
                if not _same(path, file.fileno()):
                    break
                pause()


def _same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return True  # the next line makes it
