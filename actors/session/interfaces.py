"""What the parts of a session need of its driver. Pure."""

from __future__ import annotations

from typing import Protocol

from actors.machines import turn


class Recorder(Protocol):
    """Keeps the turn ledger."""

    ledger: turn.Ledger

    async def record(self, *events: turn.LedgerEvent) -> None:
        """Makes the events durable, then true."""


class ProgramOwner(Recorder, Protocol):
    """Keeps the agent's program, too."""

    async def drop_agent(self) -> None:
        """Closes the program."""
