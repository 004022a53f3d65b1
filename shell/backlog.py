"""What waits for a terminal, or a reader of standard output, that does not read: bounded in bytes.

Whoever puts something in never waits: what does not fit is missed, and counted by its owner, who says so.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from actors.messages import Progress

T = TypeVar("T")

MOST_BYTES = 16 * 1024 * 1024
OF_EACH = 200  # bytes that an item takes beside its text


class Backlog(queue.Queue[T]):
    """A queue that is full when its items have `MOST_BYTES` together. `size` tells the length of an item's text."""

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


def missed(count: int, at_ms: int) -> Progress:
    """What a reader is told who reads again."""
    text = f"{count} lines were not shown: nobody read them; the log has them"
    return Progress(at_ms=at_ms, source="console", agent="", kind="note", text=text)
