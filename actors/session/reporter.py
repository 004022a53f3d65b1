"""What a session tells its actor about turns, messages and itself, in the listener's words.

Decides only who has to hear what: the run of its turns, the sender of a mail, the user of what he said.
"""

from __future__ import annotations

from typing import Literal

from actors.adapters.base import AgentEvent
from actors.machines import turn
from actors.messages import Purpose, TurnOutcome
from actors.session.listener import SessionListener, SessionStatus


class Reporter:
    """Lives in the session's thread."""

    def __init__(self, listener: SessionListener) -> None:
        self._listener = listener
        self._status: SessionStatus | None = None  # the last one that was told

    def note(self, text: str) -> None:
        """For the user."""
        self._listener.agent_event(AgentEvent(kind="note", text=text))

    def opened(self, session_id: str) -> None:
        """The agent's session."""
        self._listener.session_opened(session_id)

    def message(self, purpose: Purpose, message_id: str, state: Literal["accepted", "seen", "handled"]) -> None:
        """How far a message has come."""
        if purpose == "mail":
            self._listener.mail_changed(message_id, state)
        elif state == "handled":
            self._listener.human_heard(message_id, "settled", "")

    def heard(self, entry: turn.Entry, how: Literal["steered", "turn", "waits"], detail: str = "") -> None:
        """What becomes of the user's words; of other turns nobody asks that."""
        if entry.purpose == "human":
            self._listener.human_heard(entry.turn_id, how, detail)

    def withdrawn(self, entry: turn.Entry, reason: str) -> None:
        """The agent certainly does not have this mail."""
        self._listener.mail_changed(entry.turn_id, "failed", reason)

    def settled(self, entry: turn.Entry, outcome: TurnOutcome) -> None:
        """A turn is over."""
        self.costs(turn.costs_of(entry, outcome))
        if entry.purpose == "human":
            self._listener.human_heard(entry.turn_id, "settled", outcome.error)
        elif entry.purpose == "mail":
            failed = outcome.status in ("failed", "limited")
            self._listener.mail_changed(entry.turn_id, "seen")  # the agent took it, whatever became of its turn
            self._listener.mail_changed(entry.turn_id, "failed" if failed else "handled", outcome.error)
        else:
            self._listener.turn_settled(entry.turn_id, entry.purpose, outcome)

    def costs(self, costs: tuple[turn.Cost, ...]) -> None:
        """Of turns that the run does not wait for."""
        for cost in costs:
            self._listener.usage_grew(cost)

    def status(self, ledger: turn.Ledger, *, running: str | None, since_ms: int, can_steer: bool, asks: str) -> None:
        """What the session does now, if that has changed. `running`: id of the turn that does, since Unix time."""
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
        )
        if status != self._status:
            self._status = status
            self._listener.session_changed(status)
