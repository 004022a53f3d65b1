"""Reports turns, messages and the status of a session to its actor, by the listener's methods.

Decides only who gets which report: the run for its turns, a mail's sender, the user for his messages.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.adapters.base import AgentEvent
from actors.machines import turn
from actors.messages import Purpose, Receipt, TurnOutcome, Usage
from actors.session.listener import SessionListener, SessionStatus


class Reporter:
    """Lives in the session's thread."""

    def __init__(self, listener: SessionListener) -> None:
        self._listener = listener
        self._status: SessionStatus | None = None  # the last reported one

    def note(self, text: str) -> None:
        """Shows a line to the user."""
        self._listener.agent_event(AgentEvent(kind="note", text=text))

    def opened(self, session_id: str) -> None:
        """Reports the agent's session."""
        self._listener.session_opened(session_id)

    def message(self, purpose: Purpose, message_id: str, receipt: Receipt) -> None:
        """Reports the progress of a message."""
        if purpose == "mail":
            self._listener.mail_receipt(message_id, receipt)
        elif receipt == "handled":
            self._listener.human_heard(message_id, "settled", "")

    def heard(self, entry: turn.Entry, how: Literal["steered", "turn", "waits"], detail: str = "") -> None:
        """Reports the progress of a user's message; ignores other turns."""
        if entry.purpose == "human":
            self._listener.human_heard(entry.turn_id, how, detail)

    def withdrawn(self, entry: turn.Entry, reason: str) -> None:
        """The agent certainly does not have this mail."""
        self._listener.mail_receipt(entry.turn_id, "failed", reason)

    def settled(self, entry: turn.Entry, outcome: TurnOutcome) -> None:
        """A turn is over."""
        self.costs(turn.costs_of(entry, outcome))
        if entry.purpose == "human":
            self._listener.human_heard(entry.turn_id, "settled", outcome.error)
        elif entry.purpose == "mail":
            failed = outcome.status in ("failed", "limited")
            self._listener.mail_receipt(entry.turn_id, "seen")  # the agent accepted it, whatever its turn's outcome
            self._listener.mail_receipt(entry.turn_id, "failed" if failed else "handled", outcome.error)
        else:
            self._listener.turn_settled(entry.turn_id, entry.purpose, outcome)

    def spends(self, entry: turn.Entry, model: str = "") -> None:
        """Reports what an open turn has used so far."""
        cost = turn.running_cost(entry)
        if cost.usage != Usage():
            self._listener.usage_seen(msgspec.structs.replace(cost, model=cost.model or model))

    def costs(self, costs: tuple[turn.Cost, ...]) -> None:
        """Reports the costs of turns that the run does not wait for."""
        for cost in costs:
            self._listener.usage_grew(cost)

    def status(
        self, ledger: turn.Ledger, *, running: str | None, since_ms: int, can_steer: bool, asks: str, account: str
    ) -> None:
        """Reports the session's status, if it has changed. `running`: id of the running turn, begun at `since_ms`."""
        entry = ledger.open.get(running or "")
        status = SessionStatus(
            session_id=ledger.session_id,
            can_steer=can_steer,
            turn_id=entry.turn_id if entry else "",
            purpose=entry.purpose if entry else "",
            since_ms=since_ms if entry else 0,
            waiting=sum(each is not entry and not each.carrier for each in ledger.open.values()),
            turns=ledger.turns,
            usage=ledger.spent,
            asks=asks,
            account=account,
        )
        if status != self._status:
            self._status = status
            self._listener.session_changed(status)
