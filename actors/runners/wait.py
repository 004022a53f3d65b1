"""Waits. A cool-down restarts after a crash; a wait for a provider ends at the journalled time.

A wait ends by the wall clock, since a provider's reset is a time of day, and a machine may sleep. It never takes longer
than it was to take, whatever happens to that clock.
"""

from __future__ import annotations

import threading
import time

from actors.clock import wall_ms
from actors.machines import run

LOOK_S = 10.0  # how soon a wait notices that the machine has slept, or that its clock was set


class WaitRunner:
    """For `StartCooldown`."""

    def __init__(self, command: run.StartCooldown) -> None:
        self._command = command
        self._cancelled = threading.Event()
        self._began_s = time.monotonic()

    def run(self) -> run.CooldownEnded | None:
        """Returns when the time is over."""
        while (left := left_ms(self._command, now_ms=wall_ms(), passed_ms=self._passed_ms())) > 0:
            if self._cancelled.wait(min(left / 1_000, LOOK_S)):
                return None
        return run.CooldownEnded(wait_id=self._command.wait_id)

    def cancel(self) -> None:
        """Ends the wait."""
        self._cancelled.set()

    def _passed_ms(self) -> int:
        return int((time.monotonic() - self._began_s) * 1_000)


def left_ms(command: run.StartCooldown, *, now_ms: int, passed_ms: int) -> int:
    """What is left of the wait, by the wall clock or by a clock that is never set, whichever ends first. Pure."""
    return min(command.until_ms - now_ms, command.ms - passed_ms)
