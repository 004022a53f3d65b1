"""Waits. A cool-down begins again after a crash; a wait for a provider ends when the journal says."""

from __future__ import annotations

import threading

from actors.machines import run


class WaitRunner:
    """For `StartCooldown`."""

    def __init__(self, command: run.StartCooldown) -> None:
        self._command = command
        self._given_up = threading.Event()

    def run(self) -> run.CooldownEnded | None:
        """When the time is over."""
        if self._given_up.wait(self._command.ms / 1_000):
            return None
        return run.CooldownEnded(wait_id=self._command.wait_id)

    def break_off(self) -> None:
        """Ends the wait."""
        self._given_up.set()
