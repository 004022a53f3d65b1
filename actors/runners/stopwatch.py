"""Measures the time in which a run works, for its limit of time, and reports when the next report is due.

Used from the mailbox's thread alone; the report is made in the timer's thread. Nothing polls: one timer is armed for
the next report. The time of a sleeping machine does not count.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from actors.messages import Message


class ClockTicked(Message, frozen=True, kw_only=True):
    """The stopwatch's thread -> its own actor: a report of the passed time is due. Never leaves the process."""


class Stopwatch:
    """Begins to count when `set` starts it. `clock` counts seconds."""

    def __init__(self, tick: Callable[[ClockTicked], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tick = tick
        self._clock = clock
        self._since: float | None = None  # what is before it was taken; None: it is stopped
        self._timer: threading.Timer | None = None

    def set(self, next_ms: int | None) -> None:
        """Runs from now on, if it does not yet, and ticks when this time has passed since the last `take`; None: stops.

        What was not taken before it stops is lost.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if next_ms is None:
            self._since = None
            return
        now = self._clock()
        self._since = now if self._since is None else self._since
        left_s = max(0.0, next_ms / 1_000 - (now - self._since))
        self._timer = threading.Timer(left_s, self._tick, (ClockTicked(),))
        self._timer.daemon = True
        self._timer.start()

    def take(self, *, at_least_ms: int = 1) -> int:
        """The time since the last call, in ms, counted from then on; 0 when it is shorter than this."""
        if self._since is None:
            return 0
        passed_ms = round((self._clock() - self._since) * 1_000)
        if passed_ms < at_least_ms:
            return 0
        self._since += passed_ms / 1_000
        return passed_ms

    def close(self) -> None:
        """Stops it."""
        self.set(None)
