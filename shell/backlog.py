"""A queue of output for a terminal, or a reader of standard output, that does not read: bounded in bytes.

`put` never waits. What does not fit is dropped and counted, and the reader is told when it reads again.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from actors.messages import Progress

T = TypeVar("T")

MOST_BYTES = 16 * 1024 * 1024
OF_EACH = 200  # bytes that an item takes beside its text


class Backlog(queue.Queue[T]):
    """A queue that is full when its items add up to `MOST_BYTES`. `size` returns the length of an item's text."""

    def __init__(self, size: Callable[[T], int]) -> None:
        self._size_of = size
        super().__init__(MOST_BYTES)

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - the five are queue.Queue's own hooks
        self.queue: deque[Any] = deque()
        self._bytes = 0

    def _qsize(self) -> int:
        return self._bytes

    def _put(self, item: T) -> None:
        self._bytes += OF_EACH + self._size_of(item)
        self.queue.append(item)

    def _get(self) -> T:
        item: T = self.queue.popleft()
        self._bytes -= OF_EACH + self._size_of(item)
        return item


class ThreadedWriter(Generic[T]):
    """Writes the queued items in a thread of its own. `write` gets an item, and how many were missed before it. An
    `OSError` of `write` means that the reader is gone, and ends the writing.
    """

    def __init__(self, write: Callable[[T, int], None], size: Callable[[T], int], name: str) -> None:
        self._write = write
        self._queue: Backlog[T | None] = Backlog(lambda item: 0 if item is None else size(item))
        self._missed = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Any thread; never blocks."""
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._missed += 1

    def close(self, timeout_s: float) -> None:
        """Writes the rest, unless the reader does not read."""
        with suppress(queue.Full):
            self._queue.put(None, timeout=timeout_s)
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            count, self._missed = self._missed, 0
            try:
                self._write(item, count)
            except OSError:
                return  # the run continues without a reader


def missed(count: int, at_ms: int) -> Progress:
    """The notice for a reader that reads again."""
    lines = "1 line was" if count == 1 else f"{count} lines were"
    text = f"{lines} not shown: the output was not read; the log has them"
    return Progress(at_ms=at_ms, source="console", agent="", kind="note", text=text)
