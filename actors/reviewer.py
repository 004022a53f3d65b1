"""ReviewerActor: the peer agent. It runs the turns that the worker orders and reports how they ended."""

from __future__ import annotations

from actors.agent_actor import AgentActor
from actors.host import Sender
from actors.messages import Message, RunTurn


class ReviewerActor(AgentActor):
    """Keeps no state but its session's: a worker that asks again for the same turn gets the same outcome."""

    def receive(self, message: Message, sender: Sender) -> Message | None:
        """RunTurn, and what any session owner takes."""
        if isinstance(message, RunTurn):
            self.session.want(message)
            return None
        return super().receive(message, sender)
