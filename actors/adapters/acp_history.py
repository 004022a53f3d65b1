"""Reads an ACP agent's output: its messages, how its turns ended, and which prompts a replayed session has.

Pure: fed with the protocol's updates by the adapter (acp.py), in its thread; no I/O.
"""

from __future__ import annotations

import re
from typing import Any

from acp.schema import AgentMessageChunk, PromptResponse, SessionInfoUpdate, ToolCallStart, UserMessageChunk

from actors.adapters.causes import cause_of, said_limit
from actors.messages import FoundTurn, TurnOutcome, Usage, Window
from actors.wire.acp_extension import RESETS_AT_MS, TURN_ENDED, TURN_ID, USAGE_LIMIT_CODE

LINE_LENGTH = 200  # characters

_MARKER = re.compile(r"\(message ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\)")
_HTTP_ERRORS = range(400, 600)
AUTHENTICATION_REQUIRED = -32000
_STOPPED_EARLY = {
    "refusal": "the agent refused to continue",
    "max_tokens": "the agent's answer reached the model's limit of tokens",
    "max_turn_requests": "the agent reached its limit of model requests in one turn",
}


def one_line(text: str) -> str:
    """The text on one line of bounded length, for the user; the raw event is complete."""
    line = " ".join(text.split())
    return line if len(line) <= LINE_LENGTH else line[: LINE_LENGTH - 1] + "…"


def with_marker(message_id: str, prompt: str) -> str:
    """The prompt for an agent that returns no ids: the id is in the text, which every agent stores and replays."""
    return f"{prompt}\n\n(message {message_id})"


def is_echo(echo: str, prompt: str) -> bool:
    """Whether this is the sent prompt, or its beginning, ignoring white space."""
    return "".join(prompt.split()).startswith("".join(echo.split()))


def chunk_text(chunk: UserMessageChunk | AgentMessageChunk) -> str:
    """The chunk's text; "" for an image and the like."""
    return chunk.content.text if chunk.content.type == "text" else ""


class ChunkHalves:
    """Joins a surrogate pair that the agent has split between two chunks of one text."""

    def __init__(self) -> None:
        self._half = ""
        self._of: tuple[object, object] = ("", "")  # session and kind of its chunk

    def join(self, message: Any) -> None:
        """Changes the message: removes half a pair from its end, and prepends the half from before."""
        try:
            params = message["params"]
            update = params["update"]
            of, text = (params.get("sessionId"), update["sessionUpdate"]), update["content"]["text"]
        except (KeyError, TypeError, AttributeError):
            return
        if not isinstance(text, str) or not str(of[1]).endswith("_chunk"):
            return
        if self._of == of and "\udc00" <= text[:1] <= "\udfff":
            text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        self._of = of
        update["content"]["text"] = text.removesuffix(self._half)


class Speech:
    """Assembles the agent's message from its chunks. A message ends where another message or a tool call begins.

    Chunks without a message id belong to one message while nothing comes between them and their `_meta` agree: notices
    and sub-agents' messages have other `_meta`.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._of: object = None  # distinguishes its chunks from those of another
        self.last = ""  # the last whole message that was not blank

    def add(self, chunk: AgentMessageChunk) -> str:
        """Adds a chunk. Returns the message that it ended by starting another, else ""."""
        of = (chunk.message_id, frozenset(chunk.field_meta or {}))
        ended = self.end() if self._pieces and of != self._of else ""
        self._of = of
        self._pieces.append(chunk_text(chunk))
        return ended

    def end(self) -> str:
        """Ends the message and returns it; "" when there is none."""
        text = "".join(self._pieces).strip()
        self._pieces.clear()
        self.last = text or self.last
        return text


def usage_of(response: PromptResponse | None, cost_usd: float | None) -> Usage:
    """The turn's usage, from its answer (Gemini: from `_meta`). `cost_usd`: None is unknown."""
    said = response.usage if response is not None else None
    tokens: Any = None if said is None else (said.input_tokens, said.output_tokens)
    quota = ((response.field_meta if response is not None else None) or {}).get("quota")
    counts = quota.get("token_count") if isinstance(quota, dict) else None
    if tokens is None and isinstance(counts, dict):
        tokens = (counts.get("input_tokens"), counts.get("output_tokens"))
    is_known = tokens is not None and all(isinstance(each, int) and each >= 0 for each in tokens)
    return Usage(
        input_tokens=tokens[0] if is_known else 0,
        output_tokens=tokens[1] if is_known else 0,
        cost_usd=max(0.0, cost_usd or 0.0),
        tokens_known=is_known,
        cost_known=cost_usd is not None,
    )


def stopped(reason: str, text: str, usage: Usage | None = None) -> TurnOutcome:
    """The outcome of a turn that ended with this stop reason. `text` is the agent's last message."""
    usage = usage or Usage()
    if reason == "end_turn":
        return TurnOutcome(status="finished", text=text, usage=usage)
    if reason == "cancelled":
        return TurnOutcome(status="interrupted", text=text, error="the turn was cancelled", usage=usage)
    error = _STOPPED_EARLY.get(reason, f"the agent stopped for the reason {reason!r}")
    return TurnOutcome(status="failed", text=text, error=error, usage=usage)


def failed(code: int, message: str, data: Any, text: str) -> TurnOutcome:
    """The outcome of a turn that the agent answered with a JSON-RPC error."""
    detail = data.get("details") or data.get("message") if isinstance(data, dict) else data
    error = one_line(f"{message}: {detail}" if isinstance(detail, str) else message)
    said = said_limit(error)
    if code != USAGE_LIMIT_CODE and said is None:
        # An HTTP status as the code is not a JSON-RPC error, and is more precise than the text.
        cause = cause_of(error, code if code in _HTTP_ERRORS else None)
        if code == AUTHENTICATION_REQUIRED:
            cause = "login"
        return TurnOutcome(status="failed", text=text, error=f"{error} (error {code})", cause=cause)
    if cause_of(error) == "billing":
        return TurnOutcome(status="failed", text=text, error=error, cause="billing")
    resets_at_ms = data.get(RESETS_AT_MS) if isinstance(data, dict) else None
    if said is not None and said.resets_at_s:
        resets_at_ms = said.resets_at_s * 1_000
    if not isinstance(resets_at_ms, int):
        resets_at_ms = None
    window = Window(used_percent=100, resets_at_ms=resets_at_ms) if said is not None and said.is_window else None
    return TurnOutcome(status="limited", text=text, error=error, resets_at_ms=resets_at_ms, window=window)


class History:
    """The agent's prompts and how their turns ended, from its replay of the session and from our own turns.

    The rule for an agent that returns no ids and does not report how turns ended: a prompt's marker in its replay means
    that the agent has it. The turn never counts as finished, since a replay looks the same for an answer and for half
    of one. The owner then sends a continuation, not the same prompt. An agent that replays its own messages but not
    ours may have the prompt: unfinished as well. Absent means a replay without the prompt, from an agent that replays
    our messages or nothing at all.

    An agent that can only resume a session replays nothing, and may have the prompt too. If its own list of sessions
    lacks this one, it has kept no prompt. A prompt that it has answered there disproves the list.
    """

    def __init__(self) -> None:
        self._turns: dict[str, FoundTurn] = {}
        self._speech = Speech()
        self._user_text = ""  # of the user message in replay
        self._user_replayed = False
        self._agent_replayed = False
        self.is_blind = False  # the agent has resumed the session without a replay
        self.is_listed: bool | None = None  # whether its own list of sessions has this one; None: unknown

    def replay(self, update: object) -> None:
        """Adds one update of the replay, in order."""
        match update:
            case UserMessageChunk():
                self._user_replayed = True
                self._user_chunk(update)
                return
            case AgentMessageChunk():
                self._agent_replayed = True
                self._speech.add(update)
            case ToolCallStart():
                self._agent_replayed = True
                self._speech.end()
            case SessionInfoUpdate():
                self._ended(update)
            case _:
                return
        self._user_text = ""

    def begin(self, message_id: str) -> None:
        """The prompt is being sent: from now on it must not be sent again."""
        self._turns[message_id] = FoundTurn(state="unfinished")

    def finish(self, message_id: str, outcome: TurnOutcome) -> None:
        """Our turn is over."""
        self._turns[message_id] = FoundTurn(state="finished", outcome=outcome)

    @property
    def user_text(self) -> str:
        """The text of the user message in replay; "" when something else is replayed."""
        return self._user_text

    def knows(self, message_id: str) -> bool:
        """Whether the agent has the prompt."""
        return message_id in self._turns

    def find(self, message_id: str, answered: str = "") -> FoundTurn:
        """What is known of the prompt. A replay without the `answered` prompt is incomplete."""
        if message_id in self._turns:
            return self._turns[message_id]
        replays_ours = self._user_replayed or not self._agent_replayed
        if (self.is_blind and self.is_listed is not False) or (answered and answered not in self._turns):
            replays_ours = False
        return FoundTurn(state="absent" if replays_ours else "unfinished")

    def _user_chunk(self, chunk: UserMessageChunk) -> None:
        self._speech = Speech()
        message_id = (chunk.field_meta or {}).get(TURN_ID)
        if isinstance(message_id, str):
            self._turns[message_id] = FoundTurn(state="unfinished")
            return
        self._user_text += chunk_text(chunk)  # chunks may split a marker
        for marked in _MARKER.findall(self._user_text):
            self._turns.setdefault(marked, FoundTurn(state="unfinished"))

    def _ended(self, update: SessionInfoUpdate) -> None:
        ended = (update.field_meta or {}).get(TURN_ENDED)
        if not isinstance(ended, dict) or not isinstance(ended.get("turnId"), str):
            return
        self._speech.end()
        error = ended.get("error")
        if isinstance(error, dict):
            code = error.get("code")
            outcome = failed(
                code if isinstance(code, int) else 0,
                str(error.get("message", "")),
                error.get("data"),
                self._speech.last,
            )
        else:
            outcome = stopped(str(ended.get("stopReason")), self._speech.last)
        self.finish(ended["turnId"], outcome)
