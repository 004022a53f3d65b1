"""Messages to the agent, of its peer or the user: accepted, steered into the running turn where it takes one, seen.

Lives in the session's thread and loop, as the driver does. A message that is not steered waits for a turn of its own,
which the driver sends.
"""

from __future__ import annotations

import asyncio

from actors.errors import AgentError
from actors.machines import turn
from actors.session import choices
from actors.session.guard import STEER_PATIENCE_S
from actors.session.inbox import MessageDelivered
from actors.session.interfaces import Recorder
from actors.session.keeper import Keeper
from actors.session.reporter import Reporter


class Deliveries:
    """The messages of one session."""

    def __init__(self, session: Recorder, keeper: Keeper, report: Reporter) -> None:
        self._session = session
        self._keeper = keeper
        self._report = report

    async def take(self, brought: MessageDelivered, *, running: str | None, is_held: bool) -> None:
        """Accepts a message, once. `running`: id of the running turn, which it may join."""
        message_id = brought.message_id
        if turn.is_settled(self._session.ledger, message_id):
            self._report.message(brought.purpose, message_id, "handled")
            return
        if not turn.knows(self._session.ledger, message_id):
            await self._session.record(
                turn.TurnIntended(turn_id=message_id, purpose=brought.purpose, prompt=brought.text)
            )
        self._report.message(brought.purpose, message_id, "accepted")
        entry = self._session.ledger.open[message_id]
        if entry.status == "running":
            self._report.message(brought.purpose, message_id, "seen")
        if entry.status == "intended" and not entry.cuts:  # one that was cut has its prompt in the transcript
            await self._steer(entry, carrier=running, is_held=is_held)

    async def _steer(self, entry: turn.Entry, *, carrier: str | None, is_held: bool) -> None:
        """Steers the message into the running turn, if one accepts it; else it waits for its own."""
        agent = self._keeper.agent
        why = choices.why_not_steered(
            self._session.ledger,
            running=carrier,
            has_agent=agent is not None,
            can_steer=self._keeper.can_steer,
            is_held=is_held,
        )
        if agent is None or carrier is None or why:
            if why:
                self._report.heard(entry, "waits", why)
            return
        await self._session.record(
            turn.TurnSubmitted(turn_id=entry.turn_id, message_id=entry.message_id, carrier=carrier)
        )
        self._keeper.given.add(entry.message_id)
        try:
            async with asyncio.timeout(STEER_PATIENCE_S):
                taken = await agent.steer(entry.message_id, entry.prompt)
        except (AgentError, TimeoutError):
            return  # in doubt: looked up in the transcript when the carrier is over
        if taken:
            self._report.heard(entry, "steered")
        else:
            await self._session.record(turn.TurnReturned(turn_id=entry.turn_id))
            self._report.heard(entry, "waits", "the turn's end")

    async def seen(self, message_id: str) -> None:
        """The agent has the prompt or message with this id in its transcript."""
        entry = turn.sent_as(self._session.ledger, message_id)
        if entry is None or entry.status != "submitted":
            return
        await self._session.record(turn.TurnSeen(turn_id=entry.turn_id))
        self._report.message(entry.purpose, entry.turn_id, "seen")
