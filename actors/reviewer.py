"""ReviewerActor: the peer agent. It runs the turns that the worker orders and reports how they ended."""

from __future__ import annotations

from actors.agent_actor import AgentActor
from actors.host import Sender
from actors.messages import Message, RunTurn, TurnEnded


class ReviewerActor(AgentActor):
    """Keeps no state but its session's: a worker that asks again for the same turn gets the same outcome.

    Options beside the AgentActor's: `brief` (RunTurn or None): what its agent is told before anything else.
    """

    def on_start(self) -> None:
        """Its part comes first."""
        super().on_start()
        if self.context.options["brief"] is not None:
            self.session.want(self.context.options["brief"])

    def report(self, ended: TurnEnded) -> None:
        """The run does not wait for the peer to know its part."""
        if ended.purpose != "brief":
            super().report(ended)

    def receive(self, message: Message, sender: Sender) -> Message | None:
        """RunTurn, and what any session owner takes."""
        if isinstance(message, RunTurn):
            self.session.want(message)
            return None
        return super().receive(message, sender)
