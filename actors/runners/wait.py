"""Waits. A cool-down restarts after a crash; a wait for a provider ends at the journalled time."""

from __future__ import annotations

import threading

from actors.machines import run


class WaitRunner:
    """For `StartCooldown`."""

    def __init__(self, command: run.StartCooldown) -> None:
        self._command = command
        self._given_up = threading.Event()

    def run(self) -> run.CooldownEnded | None:
        """Returns when the time is over."""
        if self._given_up.wait(self._command.ms / 1_000):
            return None
        return run.CooldownEnded(wait_id=self._command.wait_id)

    def cancel(self) -> None:
        """Ends the wait."""
        self._given_up.set()
