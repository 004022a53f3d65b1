"""A turn of ours in Codex, from before it is sent until it is over. Decides nothing."""

from __future__ import annotations

import asyncio

from actors.adapters.codex_protocol import Json, TurnProgress
from actors.errors import AgentError
from actors.messages import TurnOutcome


class OpenTurn:
    """The running turn: its progress and its waiter. Made and used in the session's loop."""

    def __init__(self, message_id: str, model: str) -> None:
        self.message_id = message_id
        self.model = model
        self.progress = TurnProgress()
        self.sent = False  # not yet while the user's turn runs
        self.may_be_sent = asyncio.Event()
        self.asked_to_end = False
        # Codex refuses to steer or interrupt a turn between its answer to turn/start and turn/started.
        self.begun = asyncio.Event()
        self.over: asyncio.Future[TurnOutcome | AgentError] = asyncio.get_running_loop().create_future()

    def take(self, method: str, params: Json) -> None:
        """Notes one notification of the turn's thread."""
        self.progress.take(method, params)
        # The second: Codex ran a turn of its own (a sub-agent returned), and ours has joined it.
        if method == "turn/started" or (self.progress.turn_id and params.get("turnId") == self.progress.turn_id):
            self.begun.set()
        if self.progress.outcome is not None:
            self.end(self.progress.outcome)

    def end(self, result: TurnOutcome | AgentError) -> None:
        """Ends the turn; the first call counts."""
        self.begun.set()
        self.may_be_sent.set()
        if not self.over.done():
            self.over.set_result(result)
