"""The reports of a session to its actor. Pure."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from actors.adapters.base import AgentEvent
from actors.machines import turn
from actors.messages import Purpose, Receipt, TurnOutcome, Usage


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The current activity of a session; the fields are those of `messages.AgentStatus`."""

    session_id: str
    can_steer: bool
    turn_id: str
    purpose: str
    since_ms: int
    waiting: int
    turns: int
    usage: Usage
    asks: str
    account: str


class SessionListener(Protocol):
    """Called in the session's thread, once an event is durable. Must only pass it on."""

    def session_opened(self, session_id: str) -> None:
        """The agent's session id is known (new, resumed, or replaced)."""

    def turn_settled(self, turn_id: str, purpose: Purpose, outcome: TurnOutcome) -> None:
        """A turn of the run (not a mail) has settled."""

    def usage_grew(self, cost: turn.Cost) -> None:
        """The cost of a turn that the run does not wait for. Repeated at each start of the session."""

    def usage_seen(self, cost: turn.Cost) -> None:
        """What a turn that is not over has used so far."""

    def turn_wanted(self, turn_id: str, purpose: Purpose | Literal[""], after: str) -> None:
        """See `messages.GrantRequest`."""

    def mail_receipt(self, mail_id: str, receipt: Receipt, reason: str = "") -> None:
        """What has become of a mail. `reason`: of a failure."""

    def human_heard(self, message_id: str, how: Literal["steered", "turn", "waits", "settled"], detail: str) -> None:
        """See `messages.HumanHeard`."""

    def session_changed(self, status: SessionStatus) -> None:
        """The session's status has changed."""

    def agent_event(self, event: AgentEvent) -> None:
        """Something the agent did, for the user."""

    def session_crashed(self, error: BaseException) -> None:
        """The session cannot continue (a bug, or this incarnation is fenced off): its actor must end."""
