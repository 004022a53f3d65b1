"""What must never happen while a surface is fed: a traceback in the log, a dead thread, a hang, growing memory."""

from __future__ import annotations

import ctypes
import gc
import logging
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types
from loguru import logger

ROOT = Path(__file__).resolve().parents[2]
OURS = tuple(str(ROOT / package) for package in ("actors", "supervisor", "shell"))


class Failed(Exception):  # noqa: N818 - it is a verdict
    """The surface did what it must not do. `args[0]` says what."""


class Hung(BaseException):
    """An input took too long."""


class LogWatch:
    """Collects tracebacks from loguru, logging, threads and the interpreter, in whatever thread they come."""

    def __init__(self) -> None:
        self.lines = 0
        self._found: list[tuple[str, str]] = []
        self._guard = threading.Lock()

    def install(self) -> None:
        """Takes the place of all sinks and hooks of this process."""
        logger.remove()
        logger.add(self._from_loguru, level="WARNING", format="{message}", backtrace=False, diagnose=False)
        logging.basicConfig(handlers=[_Handler(self)], level=logging.WARNING, force=True)
        threading.excepthook = lambda args: self.note(args.exc_value, f"in thread {args.thread and args.thread.name}")
        sys.unraisablehook = lambda args: self.note(args.exc_value, f"unraisable in {args.object!r}"[:200])

    def take(self) -> list[tuple[str, str]]:
        """The tracebacks since the last call: kind and text of each."""
        with self._guard:
            found, self._found = self._found, []
        return found

    def note(self, error: BaseException | None, where: str) -> None:
        """Notes an exception that must not happen."""
        if error is None or isinstance(error, Hung):
            return
        with self._guard:
            if len(self._found) < 1_000:
                self._found.append(described(error, where))

    def _from_loguru(self, message: Any) -> None:
        self.lines += 1
        record = message.record
        if record["exception"] is not None:
            self.note(record["exception"].value, f"logged: {record['message'][:200]}")
        elif "Traceback (most recent call last)" in message:
            self.note(Failed(str(message)[-2_000:]), "logged")


class _Handler(logging.Handler):
    def __init__(self, watch: LogWatch) -> None:
        super().__init__()
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        self._watch.lines += 1
        if record.exc_info and record.exc_info[1] is not None:
            self._watch.note(record.exc_info[1], f"logged by {record.name}: {record.getMessage()[:200]}")


def described(error: BaseException, where: str) -> tuple[str, str]:
    """What kind of failure this is (error and place, without values), and all about it."""
    place = ""
    step: TracebackType | None = error.__traceback__
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        if name.startswith(OURS):
            place = f" at {Path(name).relative_to(ROOT)}:{step.tb_lineno}"
        step = step.tb_next
    kind = str(error)[:120] if isinstance(error, Failed) and not place else type(error).__name__
    text = "".join(traceback.format_exception(error, limit=-12))
    return f"{kind}{place}", f"{where}\n{text[:1_000]}{' ... ' if len(text) > 4_000 else ''}{text[1_000:][-3_000:]}"


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises `Hung` in the main thread when it takes longer."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def raise_hung(_number: int, _frame: FrameType | None) -> None:
    """The handler of SIGALRM."""
    raise Hung


def resident_mb(pids: list[int]) -> float:
    """The memory of these processes in MB. This process first gives back what it does not need."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
    total = 0
    for pid in pids:
        with suppress(psutil.Error):
            total += psutil.Process(pid).memory_info().rss
    return total / 1e6
