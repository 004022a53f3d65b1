"""The unsent news and answers of consoles, bounded in bytes. Pure: no socket, no thread; the control server sends.

All consoles that follow a run read one log of news, each from its own place (`NewsLog`). So a hundred slow consoles
cost as much as one. A console misses news that leaves the log unread, and learns how many when it reads again. Answers
and traces of one console wait in its own queue (`Own`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

LOG_BYTES = 16 * 1024 * 1024
LOG_LENGTH = 5_000
# News that a console which attaches late can ask for.
REMEMBERED = 500
# Limit for one console that does not read. It may miss traces; a console that asks and never reads misses answers.
MOST_TRACES_BYTES = 256 * 1024
MOST_ANSWERS_BYTES = 4 * 1024 * 1024


class Found(NamedTuple, Generic[T]):
    """The next news for a reader: the item, the next place, and how many items before it have left the log."""

    item: T
    place: int
    missed: int


class NewsLog(Generic[T]):
    """The newest news, numbered from 0. Holds at most `LOG_BYTES` and `LOG_LENGTH`, and always the newest item."""

    def __init__(self, most_bytes: int = LOG_BYTES, most: int = LOG_LENGTH) -> None:
        self._most_bytes = most_bytes
        self._most = most
        self._items: OrderedDict[int, tuple[T, int]] = OrderedDict()
        self.size = 0  # bytes
        self.end = 0  # the number of the next one

    def add(self, item: T, size: int) -> None:
        """Appends news. `size`: its bytes."""
        self._items[self.end] = (item, size)
        self.end += 1
        self.size += size
        while len(self._items) > 1 and (self.size > self._most_bytes or len(self._items) > self._most):
            _, (_, left) = self._items.popitem(last=False)
            self.size -= left

    def lost(self, count: int) -> None:
        """Counts news that found no room: every reader misses them."""
        self.end += count

    def last(self, count: int) -> int:
        """The place from which a reader gets the last `count` items."""
        kept = list(self._items)[-min(count, REMEMBERED) :] if count > 0 else []
        return kept[0] if kept else self.end

    def next(self, place: int) -> Found[T] | None:
        """The next item for a reader at `place`; None at the end."""
        for number in range(place, self.end):
            if number in self._items:
                return Found(self._items[number][0], number + 1, number - place)
            if self._items and number < (oldest := next(iter(self._items))):
                return Found(self._items[oldest][0], oldest + 1, oldest - place)
        return None


@dataclass
class Own(Generic[T]):
    """The queue of one console: its answers and traces, in order."""

    items: deque[tuple[T, int]] = field(default_factory=deque)
    size: int = 0
    missed: int = 0  # traces

    def answer(self, item: T, size: int) -> None:
        """Appends an answer. The oldest items make room when the console does not read."""
        while self.items and self.size + size > MOST_ANSWERS_BYTES:
            self.pop()
        self._add(item, size)

    def trace(self, item: T, size: int) -> bool:
        """Appends a trace, which says how many were missed before it. False: there is no room."""
        if self.size + size > MOST_TRACES_BYTES:
            self.missed += 1
            return False
        self._add(item, size)
        self.missed = 0
        return True

    def pop(self) -> None:
        """Removes the first item, which was sent."""
        _, size = self.items.popleft()
        self.size -= size

    def _add(self, item: T, size: int) -> None:
        self.items.append((item, size))
        self.size += size
