"""What a session tells its actor. Pure."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from actors.adapters.base import AgentEvent
from actors.machines import turn
from actors.messages import Purpose, TurnOutcome, Usage


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a session does now; the fields are those of `messages.AgentStatus`."""

    session_id: str
    can_steer: bool
    turn_id: str
    purpose: str
    since_ms: int
    waiting: int
    turns: int
    usage: Usage
    asks: str


class SessionListener(Protocol):
    """Told what happened, after it is durable, in the session's thread. Must only pass it on."""

    def session_opened(self, session_id: str) -> None:
        """The agent's session id is known (new, resumed, or replaced)."""

    def turn_settled(self, turn_id: str, purpose: Purpose, outcome: TurnOutcome) -> None:
        """A turn of the run (not a mail) has settled."""

    def usage_grew(self, cost: turn.Cost) -> None:
        """A turn that the run does not wait for has cost this. Told again with each start of the session."""

    def mail_changed(self, mail_id: str, state: str, reason: str = "") -> None:
        """`state` is accepted, seen, handled or failed (for this `reason`)."""

    def human_heard(self, message_id: str, how: Literal["steered", "turn", "waits", "settled"], detail: str) -> None:
        """See `messages.HumanHeard`."""

    def session_changed(self, status: SessionStatus) -> None:
        """What the session does now is something else than before."""

    def agent_event(self, event: AgentEvent) -> None:
        """Something the agent did, for people."""

    def session_crashed(self, error: BaseException) -> None:
        """The session cannot go on (a bug, or this incarnation is fenced off): its actor must end."""
