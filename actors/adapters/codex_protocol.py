"""Interprets `codex app-server`: its notifications as outcomes, its transcript as found turns.

What the user is told is in codex_events.py. Pure: no I/O, clock or process. Shapes are those of app-server v2 as
measured with codex 0.163. Unknown ones are ignored: a newer CLI does not break a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from actors.adapters.base import FoundTurn
from actors.adapters.causes import TOO_MANY_REQUESTS, cause_of
from actors.adapters.shapes import UNKNOWN_SHAPE, as_text, decides, moment_s, whole
from actors.adapters.windows import of_codex
from actors.errors import AgentError
from actors.messages import Cause, TurnOutcome, Usage, Window

LINE_LENGTH = 200  # characters of an event's line for the user; the raw event is complete

Json = dict[str, Any]

# The user's allowance is used up, or the provider throttles: only waiting helps.
_LIMIT_ERRORS = frozenset({"usageLimitExceeded", "rateLimitExceeded"})
# Codex's own error codes. An HTTP status decides where there is one; without one, the provider did not answer.
_CAUSES: Mapping[str, Cause] = {
    "contextWindowExceeded": "context",
    "serverOverloaded": "transient",
    "internalServerError": "transient",
    "httpConnectionFailed": "transient",
    "responseStreamConnectionFailed": "transient",
    "responseStreamDisconnected": "transient",
    "responseTooManyFailedAttempts": "transient",
    "unauthorized": "login",
}

BRIDGE = "loop-bridge"  # Codex's name for the bridge's server
# Codex's default models (gpt-6.1-sol in 0.163) see their tools as functions of a script, and tools of an MCP server are
# omitted from the list. No setting of 0.163 or 0.171 changes that. The list has only Codex's own send_message.
_BRIDGE_HINT = """\
You work with another agent, which you reach through the MCP server loop-bridge. Its tools are \
mcp__loop_bridge__send_message, mcp__loop_bridge__receive_messages and mcp__loop_bridge__bridge_status. Where you call \
tools from a script (`exec`), they are functions of it, also when its description does not list them: \
`await tools.mcp__loop_bridge__send_message({target: "…", message: "…"})`. Wherever you are asked to use send_message, \
this one is meant. `collaboration.send_message` reaches sub-agents of your own only, and never the other agent."""


class RequestRefusedError(AgentError):
    """The app-server answered a request with an error. `message` is its own text."""

    def __init__(self, method: str, message: str) -> None:
        super().__init__(f"codex refused {method}: {one_line(message)}")
        self.message = message


def one_line(text: str, length: int = LINE_LENGTH) -> str:
    """The text on one line, cut off with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def with_bridge_hint(own: str | None) -> str:
    """The developer instructions of a thread with the bridge: the user's `own`, then how to call the bridge."""
    return f"{own}\n\n{_BRIDGE_HINT}" if own else _BRIDGE_HINT


# --- Codex's requests ----------------------------------------------------------------------------------------


APPROVALS = frozenset({"item/commandExecution/requestApproval", "item/fileChange/requestApproval"})


def answer(method: str, _params: Json | None) -> Json:
    """Answers the app-server's questions, since the run is unattended. Approvals are not expected under "never"."""
    if method in APPROVALS:
        return {"decision": "accept"}
    match method:
        case "mcpServer/elicitation/request":
            return {"action": "decline"}
        case "item/tool/requestUserInput":
            return {"answers": {}}
    return {}


# --- the conversation ---------------------------------------------------------------------------------------


def user_text(item: Json) -> str:
    """The text of a userMessage, with placeholders for other content."""
    parts = item.get("content") or []
    return "\n".join(str(part.get("text") or f"[{part.get('type')}]") for part in parts)


def checked(message: Json) -> Json:
    """The message, if it is a request, a notification or an answer. Raises AgentBreachError for anything else."""
    with decides(message.get("method", "an answer")):
        if "method" in message:
            as_text(message["method"])
            if not isinstance(message.get("params") or {}, dict):
                raise TypeError("params are no object")
        if not isinstance(message.get("id", 0), int | str):
            raise TypeError("the id is neither a number nor a text")
    return message


def is_conversation(thread: Mapping[str, Any]) -> bool:
    """Whether the user started, opened or forked this thread in a TUI.

    Excludes sub-agents' threads, which have a parent, and threads for titles or side questions, which are never stored.
    """
    return not thread.get("ephemeral") and not thread.get("parentThreadId") and isinstance(thread.get("source"), str)


# --- limits -------------------------------------------------------------------------------------------------


def bridge_status(method: str, params: Json) -> str:
    """Codex's status of the bridge; "" for another server."""
    if method != "mcpServer/startupStatus/updated" or params.get("name") != BRIDGE:
        return ""
    return str(params.get("status"))


def resets_at_ms(limits: Json) -> int | None:
    """When work can continue, Unix ms: the end of the last exhausted window. None when none is known."""
    used_up = [window for window in limit_windows(limits) if window["usedPercent"] >= 100]
    ends = [end for window in used_up if (end := moment_s(window["resetsAt"]))]
    return max(ends) * 1000 if ends else None


def limit_windows(limits: Json) -> list[Json]:
    """The windows of a rate-limit snapshot; none with providers other than OpenAI."""
    return [limits[name] for name in ("primary", "secondary") if limits.get(name)]


# --- turns --------------------------------------------------------------------------------------------------


class _Said:
    """The agent's messages in one turn: its last one before each steered message, and the final one.

    The answer to a mail at the very end does not replace the answer to the prompt.
    """

    def __init__(self) -> None:
        self._answers: list[str] = []
        self._newest = ""

    def take(self, item: Json) -> None:
        if item["type"] == "agentMessage":
            self._newest = as_text(item["text"])
        elif item["type"] == "userMessage" and self._newest:
            self._answers.append(self._newest)
            self._newest = ""

    @property
    def text(self) -> str:
        return "\n\n".join(filter(None, [*self._answers, self._newest]))


class TurnProgress:
    """Follows one turn from its notifications. Feed it every notification of the thread, in order."""

    def __init__(self) -> None:
        self.turn_id = ""  # Codex's own id; "" until it is known
        self.outcome: TurnOutcome | None = None  # set by the last notification of the turn
        self._limits: Json = {}  # comes with the answer that reports the limit, just before the error
        self._said = _Said()
        self._before: Json | None = None  # the thread's token totals when the turn began
        self._total: Json = {}

    def take(self, method: str, params: Json) -> None:
        """Applies the notification to this turn."""
        if method == "turn/started" and not self.turn_id:
            self.turn_id = as_text(params["turn"]["id"])
        elif method == "turn/completed" and params["turn"]["id"] == self.turn_id:
            outcome = turn_outcome(params["turn"], self._said.text, self.usage, self._limits)
            self.outcome = replace(outcome, window=outcome.window or of_codex(self._limits))
        else:
            with suppress(*UNKNOWN_SHAPE):
                self._take_detail(method, params)

    def _take_detail(self, method: str, params: Json) -> None:
        if method == "account/rateLimits/updated":
            if limit_windows(params["rateLimits"]):
                self._limits = params["rateLimits"]
        elif params["turnId"] != self.turn_id:
            return
        elif method == "item/completed":
            self._said.take(params["item"])
        elif method == "thread/tokenUsage/updated":
            usage = params["tokenUsage"]
            if self._before is None:
                before = {name: whole(usage["total"][name]) - whole(usage["last"][name]) for name in usage["total"]}
                self._before = before
            self._total = usage["total"]

    @property
    def usage(self) -> Usage:
        """The usage of the turn so far."""
        before = self._before or {}
        return Usage(
            input_tokens=whole(whole(self._total.get("inputTokens")) - before.get("inputTokens", 0)),
            output_tokens=whole(whole(self._total.get("outputTokens")) - before.get("outputTokens", 0)),
            cached_input_tokens=whole(whole(self._total.get("cachedInputTokens")) - before.get("cachedInputTokens", 0)),
            cost_known=False,  # the app-server reports only tokens
        )


def turn_outcome(turn: Json, text: str, usage: Usage, limits: Json) -> TurnOutcome:
    """The outcome of a turn that is over: not `inProgress`."""
    match turn["status"]:
        case "completed":
            return TurnOutcome(status="finished", text=text, usage=usage)
        case "interrupted":
            return TurnOutcome(status="interrupted", text=text, error="the turn was interrupted", usage=usage)
    error = turn.get("error") or {"message": "codex gave no reason"}
    line = one_line(" ".join(filter(None, (error["message"], error.get("additionalDetails")))), 500)
    word, status = _word_and_status(error.get("codexErrorInfo"))
    cause = cause_of(line, status)
    if cause != "billing" and (status == TOO_MANY_REQUESTS or word in _LIMIT_ERRORS):
        reset = resets_at_ms(limits)
        used_up = Window(used_percent=100, resets_at_ms=reset) if word == "usageLimitExceeded" else None
        return TurnOutcome(
            status="limited", text=text, error=line, resets_at_ms=reset, usage=usage, window=of_codex(limits) or used_up
        )
    if cause != "billing" and word in _CAUSES and status is None:
        cause = _CAUSES[word]
    return TurnOutcome(status="failed", text=text, error=line, usage=usage, cause=cause)


def _word_and_status(info: Any) -> tuple[str, int | None]:
    """`codexErrorInfo` is a word, or a word with details: {"httpConnectionFailed": {"httpStatusCode": 529}}."""
    if not isinstance(info, Mapping):
        return str(info or ""), None
    for word, details in info.items():
        status = details.get("httpStatusCode") if isinstance(details, Mapping) else None
        return str(word), status if isinstance(status, int) else None
    return "", None


def find_turn(turns: Iterable[Json], message_id: str) -> FoundTurn:
    """What the turns of `thread/read` show of the user message, even of a steered one.

    An interrupted turn counts as unfinished: the transcript does not distinguish an interrupt, a crash and an orderly
    exit. A message steered in during the last milliseconds of a turn is stored, but the model does not get it (0.163):
    it is unread.
    """
    for turn in turns:
        items = turn["items"]
        place = next(
            (n for n, each in enumerate(items) if _is_message(each) and each.get("clientId") == message_id), -1
        )
        if place >= 0:
            if turn["status"] in {"inProgress", "interrupted"}:
                return FoundTurn(state="unfinished")
            if turn["status"] == "completed" and place > 0 and all(map(_is_message, items[place:])):
                return FoundTurn(state="unfinished", unread=True)
            said = _Said()
            for item in items:
                said.take(item)
            return FoundTurn(state="finished", outcome=turn_outcome(turn, said.text, Usage(), {}))
    return FoundTurn(state="absent")


def _is_message(item: Json) -> bool:
    return bool(item["type"] == "userMessage")


def has_without_id(rollout: Iterable[Json], text: str) -> bool:
    """Whether a thread's file holds a user message with this text whose id was never written.

    Codex writes two lines for each: first the model's input, without our id, and 1 ms later the item that `thread/read`
    shows. After a kill between the two the model has the message, but `thread/read` does not show it.
    """
    told = 0
    for entry in rollout:
        said = entry.get("payload") or {}
        match entry.get("type"):
            case "response_item" if said.get("type") == "message" and said.get("role") == "user":
                told += _plain_text(said) == text
            case "event_msg" if said.get("type") == "item_completed":
                item = said.get("item") or {}
                told -= item.get("type") == "UserMessage" and _plain_text(item) == text
    return told > 0


def _plain_text(message: Json) -> str:
    return "\n".join(str(part.get("text", "")) for part in message.get("content") or [])
