"""Calls back after a time, for code that must not wait itself. One thread for all alarms of an object.

The thread begins with the first alarm and ends with `close`. It is a daemon: an alarm keeps no process alive. `set` and
`close` may be called from any thread, also from a call-back.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Alarms(Generic[T]):
    """`ring` gets each value when its time has come, in the thread of the alarms. It must return at once, and must not
    raise. `clock` counts seconds.
    """

    def __init__(self, name: str, ring: Callable[[T], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._ring = ring
        self._clock = clock
        self._news = threading.Condition()
        self._numbers = itertools.count()  # two alarms of one moment ring in the order in which they were set
        self._alarms: list[tuple[float, int, T]] = []
        self._is_begun = False
        self._is_closed = False

    def set(self, after_s: float, value: T) -> None:
        """Rings with this value after that time. Nothing rings after `close`."""
        with self._news:
            heapq.heappush(self._alarms, (self._clock() + after_s, next(self._numbers), value))
            if not self._is_begun:
                self._is_begun = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._news.notify()

    def close(self) -> None:
        """Forgets all alarms, and ends the thread. May be called twice."""
        with self._news:
            self._is_closed = True
            self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._is_closed and (left_s := self._left_s()) != 0:
                    self._news.wait(left_s)
                if self._is_closed:
                    return
                _, _, value = heapq.heappop(self._alarms)
            self._ring(value)

    def _left_s(self) -> float | None:
        """The time to the next alarm; None: there is none."""
        return max(0.0, self._alarms[0][0] - self._clock()) if self._alarms else None
