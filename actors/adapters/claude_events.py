"""Turns Claude Code's events into lines for the user. Pure and stateless: one raw event in, `AgentEvent`s out.

Reads the JSON lines themselves: the SDK's message types lack echoes, message ids and the command life cycle, which the
adapter needs. Unknown events and missing fields are not errors: the user's own `claude` may
be older or newer than the SDK.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from actors.adapters.base import AgentEvent
from actors.adapters.causes import cause_of, is_limit
from actors.adapters.shapes import UNKNOWN_SHAPE, as_text, moment_s, money, whole
from actors.messages import Cause, TurnOutcome, Usage

LINE_LENGTH = 160
# The most telling argument of a call, in this order; otherwise the first text among them.
_TELLING = ("command", "file_path", "path", "pattern", "url", "query", "description", "message", "prompt")

# A program that was started with a schema offers this tool; a call that fits the schema ends the turn. A model that
# ends its turn without a call is told once to call it, in a message that begins with `TOLD`.
TYPED_ANSWER = "StructuredOutput"
TOLD = "[structured-output-enforce]"
_TAKEN = "Structured output provided successfully"

ENDED = frozenset({"completed", "failed", "killed", "stopped"})  # states of a background task

RawEvent = Mapping[str, Any]


def is_heartbeat(event: RawEvent) -> bool:
    """Whether the program only reports, each 30 s, that a tool still runs, whether or not it does anything."""
    return event.get("type") == "tool_progress"


def describe(event: RawEvent) -> Iterator[AgentEvent]:
    """The user's events for one raw event of a known shape.

    Omits subagents' messages, but not their tool calls: these show that work continues.
    """
    with suppress(*UNKNOWN_SHAPE):
        yield from _described(event)


def _described(event: RawEvent) -> Iterator[AgentEvent]:
    match event.get("type"), event.get("subtype"):
        case "assistant", _:
            yield from _assistant(event)
        case "user", _ if not event.get("isReplay"):
            for block in _blocks(event):
                if block.get("type") == "tool_result":
                    prefix = "error: " if block.get("is_error") else ""
                    text = line(prefix + text_of(block.get("content")))
                    kind: Literal["raw", "tool-result"] = "raw" if text == _TAKEN else "tool-result"
                    yield AgentEvent(kind=kind, text=text, ends=str(block.get("tool_use_id") or ""))
        case "system", "init":  # at the beginning of each turn
            for server in event.get("mcp_servers") or ():
                if server.get("status") == "failed":
                    yield AgentEvent(kind="note", text=line(f"MCP server {server.get('name')} cannot be reached"))
        case "system", "task_started":
            text = line(f"background task started: {event.get('description', '')}")
            yield AgentEvent(kind="note", text=text, begins=str(event.get("task_id") or ""))
        case "system", "task_notification":
            summary = f"background task {event.get('status', '')}: {event.get('summary', '')}"
            yield AgentEvent(kind="note", text=line(summary), ends=str(event.get("task_id") or ""))
        case "system", "task_updated" if (event.get("patch") or {}).get("status") in ENDED:
            # In some versions this is the only sign of its end.
            yield AgentEvent(kind="raw", ends=str(event.get("task_id") or ""))
        case "system", "api_retry":
            attempt = f"{event.get('error')}, attempt {event.get('attempt')} of {event.get('max_retries')}"
            yield AgentEvent(kind="note", text=line(f"the model is asked again ({attempt})"))
        case "system", "compact_boundary":
            yield AgentEvent(kind="note", text="the conversation was compacted")
        case "rate_limit_event", _:
            info = event.get("rate_limit_info") or {}
            if info.get("status") != "allowed":
                yield AgentEvent(kind="limit", text=limit_text(info))
        case "result", _:
            if typed := typed_answer(event):
                yield AgentEvent(kind="say", text=typed)
            yield AgentEvent(kind="usage", text=_usage(event))


# The program's own codes for refusals of the API; other causes are found in the text.
_CAUSES: Mapping[str, Cause] = {
    "authentication_failed": "login",
    "billing_error": "billing",
    "overloaded": "transient",
    "server_error": "transient",
}


def refused(
    error: str, *, kind: str, status: int | None, resets_at_s: int | None, text: str = "", usage: Usage | None = None
) -> TurnOutcome:
    """The outcome of a turn that the API or the program refused."""
    usage = usage or Usage()
    cause = _CAUSES.get(kind) or cause_of(error, status)
    if cause not in ("billing", "login") and (kind == "rate_limit" or is_limit(error, status)):
        resets_at_ms = resets_at_s * 1000 if resets_at_s else None
        return TurnOutcome(status="limited", text=text, error=error, resets_at_ms=resets_at_ms, usage=usage)
    return TurnOutcome(status="failed", text=text, error=error, usage=usage, cause=cause)


def call_text(name: str, arguments: Any) -> str:
    """A tool's call on one line: `Bash: make test`."""
    # mcp__loop-bridge__send_message → loop-bridge.send_message
    shown = name.removeprefix("mcp__").replace("__", ".", 1)
    return f"{shown}: {_argument(arguments if isinstance(arguments, Mapping) else {})}".removesuffix(": ")


def line(words: str) -> str:
    """The words on one line of bounded length."""
    flat = " ".join(words.split())
    return flat if len(flat) <= LINE_LENGTH else flat[: LINE_LENGTH - 1] + "…"


def text_of(content: Any) -> str:
    """The text of a message's or tool result's content: a string, or a list of blocks."""
    if isinstance(content, str):
        return content
    return "\n".join(
        block["text"] for block in content or () if isinstance(block, dict) and isinstance(block.get("text"), str)
    )


def as_answer(data: object) -> str:
    """An answer in the form of a schema, as its JSON."""
    return json.dumps(data, ensure_ascii=False)


def typed_answer(result: RawEvent) -> str:
    """The same, of a `result` event; "" when there is none."""
    data = result.get("structured_output")
    return "" if data is None else as_answer(data)


def tokens(usage: Mapping[str, Any] | None) -> tuple[int, int]:
    """Tokens in (cached ones included) and out."""
    found = usage_of(usage)
    return found.input_tokens, found.output_tokens


def usage_of(usage: Mapping[str, Any] | None) -> Usage:
    """The tokens of a message or a result. Their cost is not known."""
    counted = usage or {}
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    found = Usage(
        input_tokens=sum(whole(counted.get(name)) for name in names),
        output_tokens=whole(counted.get("output_tokens")),
        cached_input_tokens=whole(counted.get("cache_read_input_tokens")),
    )
    return found if found == Usage() else msgspec.structs.replace(found, cost_known=False)


def _assistant(event: RawEvent) -> Iterator[AgentEvent]:
    subagent = event.get("parent_tool_use_id") is not None
    for block in _blocks(event):
        match block.get("type"):
            case "text" if not subagent and as_text(block["text"]).strip():
                # Errors of the API have the shape of a message.
                yield AgentEvent(kind="note" if event.get("error") else "say", text=block["text"])
            case "tool_use" if block["name"] == TYPED_ANSWER and not subagent:  # the result has what counts
                yield AgentEvent(kind="raw", begins=str(block.get("id") or ""))
            case "tool_use":
                call = call_text(block["name"], block.get("input"))
                text = line(f"subagent: {call}" if subagent else call)
                yield AgentEvent(kind="tool", text=text, begins=str(block.get("id") or ""))


def _blocks(event: RawEvent) -> list[dict[str, Any]]:
    content = (event.get("message") or {}).get("content")
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _argument(arguments: Mapping[str, Any]) -> str:
    texts = {name: value for name, value in arguments.items() if isinstance(value, str)}
    return next((texts[name] for name in _TELLING if name in texts), next(iter(texts.values()), ""))


def limit_text(info: Mapping[str, Any]) -> str:
    """A limit of the provider's, and when it ends."""
    name = str(info.get("rateLimitType") or "rate").replace("_", "-")
    ends = moment_s(info.get("resetsAt"))
    until = f", resets at {datetime.fromtimestamp(ends, UTC):%Y-%m-%d %H:%M} UTC" if ends else ""
    return f"{name} limit: {info.get('status', '')}{until}"


def _usage(event: RawEvent) -> str:
    tokens_in, tokens_out = tokens(event.get("usage"))
    cost = money(event.get("total_cost_usd"))
    return f"{tokens_in} tokens in, {tokens_out} out, ${cost:.4f} for the session so far"
