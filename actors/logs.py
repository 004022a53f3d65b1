"""Set-up of the log of one process: loguru, with the keys run, actor and pid on every line.

Each process recreates a log file that was moved away (logrotate) when it writes its next line. A full disk costs lines
of the log file, and nothing else: a line that cannot be written is not written later.

Tracebacks never show the values of variables. The secrets of the environment (`actors.censor`) are redacted in every
line. Records of the standard library's `logging` go the same way.

A record is printable (`actors.text`). Foreign text cannot split a record: each further line begins with `FURTHER`, with
which no record begins. `shell.log_lines` reads them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from actors.censor import censor
from actors.text import FURTHER, json_escaped, printable, valid

if TYPE_CHECKING:
    from loguru import Message

from actors.edges import files
from actors.errors import BadFileError
from actors.starts import LogSettings as LogSettings  # it is part of a process's start arguments

STDERR = 2
_LINE = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level:<8} {process} {extra[run]}/{extra[actor]} {name}:{line} {message}"


def set_up(settings: LogSettings, *, run: str, actor: str, only: bool = False) -> None:
    """Replaces all sinks of this process. Called once at its start; reads the environment.

    `only`: lines that are bound to another run are left to `add_file`.
    """
    strike_out = censor(os.environ)
    logger.remove()
    logger.configure(extra={"run": run, "actor": actor})
    if settings.stderr:
        _add(_to_stderr, settings, strike_out, run if only else None)
    if settings.file:
        _add(_LogFile(Path(settings.file)).write, settings, strike_out, run if only else None)
    logging.basicConfig(handlers=[_Forward()], level=settings.level, force=True)


def keep_none() -> None:
    """For a command that is no run: its terminal is the user's, and loguru would write to it."""
    logger.remove()


def add_file(settings: LogSettings, *, run: str) -> Callable[[], None]:
    """Adds a file for this process's lines that are bound to `run`. Returns a function that closes it."""
    file = _LogFile(Path(settings.file))
    sink = _add(file.write, settings, censor(os.environ), run)

    def close() -> None:
        logger.remove(sink)
        file.close()

    return close


def _add(
    write: Callable[[bytes], None], settings: LogSettings, strike_out: Callable[[str], str], run: str | None
) -> int:
    return logger.add(
        _sink(write, strike_out, as_json=settings.json),
        level=settings.level,
        format=_LINE,
        filter=None if run is None else lambda record: record["extra"].get("run") == run,
        serialize=settings.json,
        backtrace=False,
        diagnose=False,  # would print the values of variables
    )


class _LogFile:
    """Appends to the file; opens a new one when the path is missing or names another file. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        files.make_private(path.parent)
        self._descriptor = self._open()
        self._is_torn = False  # the last line that was begun has no end

    def write(self, line: bytes) -> None:
        with suppress(OSError, BadFileError):
            if not self._is_there():
                before, self._descriptor = self._descriptor, self._open()
                os.close(before)
                self._is_torn = False
            rest = memoryview(b"\n" + line if self._is_torn else line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
                self._is_torn = bool(rest)

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> int:
        return files.open_own(self._path, os.O_WRONLY | os.O_APPEND)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False


def _to_stderr(line: bytes) -> None:
    os.write(STDERR, line)


def _sink(
    write: Callable[[bytes], None], strike_out: Callable[[str], str], *, as_json: bool
) -> Callable[[Message], None]:
    def take(message: Message) -> None:
        text = strike_out(valid(str(message)).rstrip("\n"))
        record = json_escaped(text) if as_json else printable(text).replace("\n", f"\n{FURTHER}")
        write(f"{record}\n".encode())

    return take


class _Forward(logging.Handler):
    """From the standard library's logging to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        known = record.levelname in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
        level = record.levelname if known else record.levelno
        logger.opt(exception=record.exc_info).log(level, "{}: {}", record.name, record.getMessage())
