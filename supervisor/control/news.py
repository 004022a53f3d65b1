"""What consoles have not been sent yet, bounded in bytes. Pure: no socket, no thread; the control server sends.

All consoles that follow a run read one log of news, each from where it is (`NewsLog`). So a hundred of them that do not
read cost what one costs. News that a console has not read when it leaves the log, it misses; it is told how many as
soon as it reads again. What is for one console alone, its answers and its traces, waits in its own queue (`Own`).
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
# Of one console that does not read. Its traces may be missed; an answer is, when somebody asks and never reads.
MOST_TRACES_BYTES = 256 * 1024
MOST_ANSWERS_BYTES = 4 * 1024 * 1024


class Found(NamedTuple, Generic[T]):
    """The next news for a reader: which, where it reads on, and how many before it have left the log."""

    item: T
    place: int
    missed: int


class NewsLog(Generic[T]):
    """The newest news, numbered from 0 on. At most `LOG_BYTES` and `LOG_LENGTH`, and always the newest one."""

    def __init__(self, most_bytes: int = LOG_BYTES, most: int = LOG_LENGTH) -> None:
        self._most_bytes = most_bytes
        self._most = most
        self._items: OrderedDict[int, tuple[T, int]] = OrderedDict()
        self.size = 0  # bytes
        self.end = 0  # the number of the next one

    def add(self, item: T, size: int) -> None:
        """The next news. `size`: its bytes."""
        self._items[self.end] = (item, size)
        self.end += 1
        self.size += size
        while len(self._items) > 1 and (self.size > self._most_bytes or len(self._items) > self._most):
            _, (_, left) = self._items.popitem(last=False)
            self.size -= left

    def lost(self, count: int) -> None:
        """So many news came that nobody could take in: every reader misses them."""
        self.end += count

    def last(self, count: int) -> int:
        """Where a reader begins that wants the last `count`."""
        kept = list(self._items)[-min(count, REMEMBERED) :] if count > 0 else []
        return kept[0] if kept else self.end

    def next(self, place: int) -> Found[T] | None:
        """What a reader at `place` reads next."""
        for number in range(place, self.end):
            if number in self._items:
                return Found(self._items[number][0], number + 1, number - place)
            if self._items and number < (oldest := next(iter(self._items))):
                return Found(self._items[oldest][0], oldest + 1, oldest - place)
        return None


@dataclass
class Own(Generic[T]):
    """What is for one console alone, in order."""

    items: deque[tuple[T, int]] = field(default_factory=deque)
    size: int = 0
    missed: int = 0  # traces

    def answer(self, item: T, size: int) -> None:
        """An answer. The oldest of what waits makes room: its console does not read."""
        while self.items and self.size + size > MOST_ANSWERS_BYTES:
            self.pop()
        self._add(item, size)

    def trace(self, item: T, size: int) -> bool:
        """A trace, which says how many before it were missed. Returns whether there is room for it."""
        if self.size + size > MOST_TRACES_BYTES:
            self.missed += 1
            return False
        self._add(item, size)
        self.missed = 0
        return True

    def pop(self) -> None:
        """The first one was sent."""
        _, size = self.items.popleft()
        self.size -= size

    def _add(self, item: T, size: int) -> None:
        self.items.append((item, size))
        self.size += size
