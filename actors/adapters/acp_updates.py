"""What an ACP agent says of its session: the updates of a running turn, and those of a replay.

Takes them in order of arrival and passes them on as `AgentEvent`s. It keeps what a turn's outcome needs: the last text,
the cost, and the history. Runs in the adapter's asyncio loop; sends nothing to the agent.
"""

from __future__ import annotations

from typing import Any

import msgspec
from acp.schema import (
    AgentMessageChunk,
    AgentPlanUpdate,
    AgentThoughtChunk,
    ConfigOptionUpdate,
    CurrentModeUpdate,
    PromptResponse,
    SessionInfoUpdate,
    ToolCallProgress,
    ToolCallStart,
    ToolCallUpdate,
    UsageUpdate,
    UserMessageChunk,
)

from actors.adapters.acp_history import History, Speech, chunk_text, is_echo, usage_of
from actors.adapters.acp_replay import Pause, Replay
from actors.adapters.acp_setup import SessionSetup
from actors.adapters.acp_tools import ToolCalls
from actors.adapters.base import AgentEvent, EventSink
from actors.messages import Usage
from actors.wire.acp_extension import TURN_ENDED

# The updates of a replay. Others (commands, modes, usage) may come at any time.
_HISTORY = (
    UserMessageChunk,
    AgentMessageChunk,
    AgentThoughtChunk,
    AgentPlanUpdate,
    ToolCallStart,
    ToolCallProgress,
    SessionInfoUpdate,
)


class AcpUpdates:
    """The updates of one session. Set `session_id` and `setup` when they are known."""

    def __init__(self, sink: EventSink, pause: Pause) -> None:
        self.session_id = ""
        self.setup: SessionSetup | None = None
        self.is_new = False
        self.was_loaded = False
        self.turn_id: str | None = None  # of the running turn
        self.history = History()
        self.replay = Replay(pause)
        self._sink = sink
        self._calls = ToolCalls()
        self._speech = Speech()
        self._sent: list[str] = []  # in the running turn, as it was sent
        self._echo = ""  # the part of it that the agent has echoed
        self._seen = False
        self._cost_usd: float | None = None  # of the session so far; None: not known
        self._cost_at_start: float | None = None  # of the running turn

    # --- the running turn ---

    def begin(self, turn_id: str, sent: str) -> None:
        """A turn begins; this is its prompt, as it is sent."""
        self.turn_id, self._seen, self._speech = turn_id, False, Speech()
        self._sent, self._echo = [sent], ""

    def ready(self) -> None:
        """The replay is over, and the prompt is sent next: the turn's cost counts from here."""
        self._cost_at_start = self._cost_usd

    def steered(self, message_id: str, sent: str) -> None:
        """The agent took this message into the running turn."""
        self.history.begin(message_id)
        self._sent.append(sent)

    def end_message(self) -> None:
        """The agent's present message is complete."""
        text = self._speech.end()
        if text:
            self._sink(AgentEvent(kind="say", text=text))

    def saw_turn(self) -> None:
        """The agent has reacted to the prompt, or echoed it."""
        if self.turn_id is not None and not self._seen:
            self._seen = True
            self._sink(AgentEvent(kind="seen", message_id=self.turn_id))

    @property
    def last_said(self) -> str:
        """The last message of the turn."""
        return self._speech.last

    def usage(self, response: PromptResponse | None, *, is_exact: bool) -> Usage:
        """What the running turn has used. `is_exact`: the agent's counts are complete."""
        usage = usage_of(response, self._cost_of_turn())
        return msgspec.structs.replace(usage, tokens_known=True, cost_known=True) if is_exact else usage

    def _cost_of_turn(self) -> float | None:
        """The cost of the running turn; None: unknown."""
        before = 0.0 if self._cost_at_start is None and self.is_new else self._cost_at_start
        return None if self._cost_usd is None or before is None else self._cost_usd - before

    # --- what arrives ---

    def take(self, session_id: str, update: Any) -> None:
        """Handles one session update."""
        match update:
            case CurrentModeUpdate() if self.setup is not None:
                self.setup.mode_changed(update.current_mode_id)
            case ConfigOptionUpdate() if self.setup is not None:
                self.setup.options_changed([each.model_dump(by_alias=True) for each in update.config_options])
        if self._is_replayed(update):
            if isinstance(update, UsageUpdate):
                self._take_cost(update)
            return
        if session_id == self.session_id:
            self._sink(AgentEvent(kind="raw", raw=update.model_dump_json(by_alias=True, exclude_none=True)))
            self._take_live(update)

    def take_permission(self, tool_call: ToolCallUpdate) -> None:
        """Handles the call for which the agent requests a permission."""
        self.end_message()
        self._tell_call(tool_call, asks=True)

    def _take_live(self, update: Any) -> None:
        match update:
            case AgentMessageChunk():
                self.saw_turn()
                ended = self._speech.add(update)
                if ended:
                    self._sink(AgentEvent(kind="say", text=ended))
            case ToolCallStart():
                self.saw_turn()
                self.end_message()
                self._tell_call(update)
            case ToolCallProgress():
                self._tell_call(update)
            case AgentThoughtChunk() | AgentPlanUpdate():
                self.saw_turn()
                self.end_message()
            case UserMessageChunk():
                self.saw_turn()
            case CurrentModeUpdate() | ConfigOptionUpdate():
                self.end_message()
            case UsageUpdate():
                self._take_cost(update)
                if self.turn_id is not None and self._cost_of_turn() is not None:
                    spent = usage_of(None, self._cost_of_turn())
                    self._sink(AgentEvent(kind="spent", message_id=self.turn_id, usage=spent))
                self._sink(AgentEvent(kind="usage", text=f"{update.used:,} of {update.size:,} tokens of context"))
            case SessionInfoUpdate() if TURN_ENDED in (update.field_meta or {}):
                self.end_message()

    def _is_replayed(self, update: Any) -> bool:
        """Whether this is history: until the replay is over, and when a late rest follows, with a prompt that is not
        ours.

        A late rest never counts for the running turn. It ends with the echo of that turn's prompt, or after a period of
        silence.
        """
        may_be = self.was_loaded and not self.replay.running and isinstance(update, _HISTORY)
        foreign = isinstance(update, UserMessageChunk) and not self._echoes(chunk_text(update))
        if may_be and (foreign or not self._sent):
            self.replay.begin()
            self.replay.answered()
        if not self.replay.running:
            return False
        self.history.replay(update)
        if self.turn_id is not None and self.turn_id in self.history.user_text:
            self.replay.end()
            return False
        if isinstance(update, _HISTORY):
            self.replay.came()
        return True

    def _echoes(self, text: str) -> bool:
        """Whether this text, alone or after the earlier chunks, is this turn's prompt."""
        for echo in (self._echo + text, text):
            if any(is_echo(echo, sent) for sent in self._sent):
                self._echo = echo
                return True
        return False

    def _tell_call(self, call: ToolCallStart | ToolCallProgress | ToolCallUpdate, *, asks: bool = False) -> None:
        for event in self._calls.take(call, asks=asks):
            if event.kind == "tool":
                self.end_message()  # some agents report a call only when it is over
            self._sink(event)

    def _take_cost(self, update: UsageUpdate) -> None:
        if update.cost is not None and update.cost.currency == "USD":
            self._cost_usd = update.cost.amount
