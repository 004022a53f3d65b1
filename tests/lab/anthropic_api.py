"""The Anthropic Messages API as Claude Code uses it: request → conversation, scripted steps → SSE bytes.

Pure: no socket, clock or randomness. Facts measured with Claude Code 2.1.187 are in the comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import structs

from actors.embedded.scenario import (
    Answer,
    BridgeCall,
    Call,
    Entry,
    Fault,
    Prompt,
    Result,
    Run,
    Say,
    Step,
    ToolCall,
    Used,
)

BRIDGE_TOOL_PREFIX = "mcp__loop-bridge__"  # how Claude Code names the tools of the MCP server "loop-bridge"
USAGE = {"input_tokens": 10, "output_tokens": 5}

# What Claude Code adds, inside user messages and tool results.
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
# A message steered into a running turn is in a message of role "system"; with Haiku, which does not take those in the
# middle, in a reminder at the end of a tool result. Advice from Claude Code follows it.
_STEERED = re.compile(
    r"The user sent a new message while you were working:\n(.*?)\n\n(?:This is how Claude Code|IMPORTANT:)", re.DOTALL
)
# The text around a prompt that was typed into the TUI: the loop's first line, and the marks of a longer paste.
_TYPED = re.compile(
    r"^\s*\[loop [0-9a-f-]{36}\][^\n]*\n|^\s*<pasted_content id=\"\w+\">\n|\n</pasted_content id=\"\w+\">\s*$"
)
_INTERRUPTED_PROMPT = "[Request interrupted by user"
# Results that Claude Code invents: after an interrupt, and for a call that was running when it was killed.
_NO_RESULT = ("The user doesn't want to proceed with this tool use", "[Tool call interrupted", "[Request interrupted")
# An answer bound to a schema is a call of this tool, which ends the turn.
_TYPED_ANSWER = "StructuredOutput"
_ASKS_FOR_FORM = "[structured-output-enforce]"
_ANSWER_TAKEN = "Structured output provided successfully"
_NO_ANSWER = "No response requested."  # follows the invented result of a killed call


def conversation(request: Mapping[str, Any]) -> list[Entry]:
    """The prompts, results and answers in a request, without what Claude Code adds to them.

    An interrupted call gets no result, so the model repeats it.
    """
    return [entry for message in request.get("messages", []) for entry in _entries(message)]


def _entries(message: Mapping[str, Any]) -> Iterator[Entry]:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    match message["role"]:
        case "assistant":
            calls = any(block["type"] == "tool_use" for block in blocks)
            if not calls and texts != [_NO_ANSWER]:
                yield Answer("\n".join(texts))
        case "user":
            for block in blocks:
                yield from _user_entries(block)
        case _:  # "system": facts about the machine, and steered messages
            for text in texts:
                yield from _steered(text)


def _user_entries(block: Mapping[str, Any]) -> Iterator[Entry]:
    if block["type"] == "tool_result":
        text = _result_text(block.get("content", ""))
        if text == _ANSWER_TAKEN:
            yield Answer(text)
        elif not text.startswith(_NO_RESULT):
            yield Result(_REMINDER.sub("", text).strip())
        for reminder in _REMINDER.findall(text):
            yield from _steered(reminder)
    elif block["type"] == "text":
        for reminder in _REMINDER.findall(block["text"]):
            yield from _steered(reminder)
        text = _REMINDER.sub("", block["text"]).strip()
        steered = _STEERED.match(text)  # the TUI puts it beside the tool's result
        text = steered[1] if steered else text
        if text and not text.startswith((_INTERRUPTED_PROMPT, _ASKS_FOR_FORM)):
            yield Prompt(_untyped(text))


def _steered(text: str) -> Iterator[Entry]:
    return (Prompt(_untyped(prompt)) for prompt in _STEERED.findall(text))


def _untyped(text: str) -> str:
    return _TYPED.sub("", _TYPED.sub("", text)).strip()


def _result_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


def is_bound(request: Mapping[str, Any]) -> bool:
    """Whether its answer is to have the form of a schema."""
    return _TYPED_ANSWER in tool_names(request)


def asks_for_form(request: Mapping[str, Any]) -> bool:
    """Whether Claude Code itself asks, since the answer had no form."""
    newest = request["messages"][-1]["content"]
    texts = [newest] if isinstance(newest, str) else [str(block.get("text")) for block in newest]
    return any(text.startswith(_ASKS_FOR_FORM) for text in texts)


def in_form(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps with an answer that is a JSON object as a bound model gives it; any other answer breaks the form."""
    match steps[-1].action:
        case Say(text) if text.lstrip().startswith("{"):
            return (*steps[:-1], structs.replace(steps[-1], action=ToolCall(_TYPED_ANSWER, json.loads(text))))
    return steps


_WARNING_PERCENT = 90
_REFUSALS = {
    "context": "prompt is too long: 210000 tokens > 200000 maximum",
    "billing": "Your credit balance is too low to access the Anthropic API.",
}


def tool_names(request: Mapping[str, Any]) -> tuple[str, ...]:
    """The offered tools, in order."""
    return tuple(sorted(str(tool.get("name")) for tool in request.get("tools") or []))


def fault_response(fault: Fault, now_s: int) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an HTTP error, as Anthropic words it."""
    if fault.refuses:
        message = _REFUSALS[fault.refuses]
        body = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        return 400, {}, json.dumps(body).encode()
    kinds = {429: "rate_limit_error", 529: "overloaded_error"}
    headers: dict[str, str] = {}
    if fault.resets_in_s is not None:
        headers = {
            "anthropic-ratelimit-unified-status": "rejected",
            "anthropic-ratelimit-unified-reset": str(now_s + fault.resets_in_s),
            "anthropic-ratelimit-unified-representative-claim": "five_hour",
            "retry-after": str(fault.resets_in_s),
        }
    kind = kinds.get(fault.status, "api_error")
    body = {"type": "error", "error": {"type": kind, "message": f"scripted {fault.status}"}}
    return fault.status, headers, json.dumps(body).encode()


def window_headers(used: Used, now_s: int) -> dict[str, str]:
    """What an answer says of the five-hour window."""
    status = "allowed_warning" if used.percent >= _WARNING_PERCENT else "allowed"
    fraction, resets_at = str(used.percent / 100), str(now_s + used.resets_in_s)
    return {
        "anthropic-ratelimit-unified-status": status,
        "anthropic-ratelimit-unified-reset": resets_at,
        "anthropic-ratelimit-unified-representative-claim": "five_hour",
        "anthropic-ratelimit-unified-5h-status": status,
        "anthropic-ratelimit-unified-5h-utilization": fraction,
        "anthropic-ratelimit-unified-5h-reset": resets_at,
        **({"anthropic-ratelimit-unified-5h-surpassed-threshold": "0.9"} if status == "allowed_warning" else {}),
    }


class AnthropicReply:
    """An assistant message, built step by step. Each method returns the SSE bytes to send next.

    `reply_id` must be unique: the ids of the message and of its tool call are made from it.
    """

    def __init__(self, reply_id: str, model: str) -> None:
        self._id = reply_id
        self._model = model
        self._blocks: list[dict[str, Any]] = []
        self._stop_reason = "end_turn"

    def begin(self) -> bytes:
        """The first bytes of a stream."""
        message = self.message() | {"content": [], "stop_reason": None}
        return _sse("message_start", {"message": message})

    def say(self, text: str) -> bytes:
        """One piece of text, whole."""
        return self._block({"type": "text", "text": ""}, {"type": "text_delta", "text": text}) + self._stop(
            {"type": "text", "text": text}
        )

    def half_of(self, text: str) -> bytes:
        """The beginning of a say that breaks off."""
        delta = {"type": "text_delta", "text": text[: len(text) // 2]}
        return self._block({"type": "text", "text": ""}, delta)

    def call(self, call: Call) -> bytes:
        """One tool call; nothing but `end` may follow."""
        match call:
            case Run(command):
                name, arguments = "Bash", {"command": command}
            case BridgeCall(tool, arguments):
                name = BRIDGE_TOOL_PREFIX + tool
            case ToolCall(name, arguments):
                pass
        self._stop_reason = "tool_use"
        block = {"type": "tool_use", "id": f"toolu_{self._id}", "name": name, "input": arguments}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
        return self._block(block | {"input": {}}, delta) + self._stop(block)

    def end(self) -> bytes:
        """The last bytes of a stream."""
        delta = {"stop_reason": self._stop_reason, "stop_sequence": None}
        return _sse("message_delta", {"delta": delta, "usage": USAGE}) + _sse("message_stop", {})

    def message(self) -> dict[str, Any]:
        """The whole message so far: the answer to a request that does not stream."""
        return {
            "id": f"msg_{self._id}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": self._blocks,
            "stop_reason": self._stop_reason,
            "stop_sequence": None,
            "usage": USAGE,
        }

    def _block(self, start: dict[str, Any], delta: dict[str, Any]) -> bytes:
        index = len(self._blocks)
        return _sse("content_block_start", {"index": index, "content_block": start}) + _sse(
            "content_block_delta", {"index": index, "delta": delta}
        )

    def _stop(self, block: dict[str, Any]) -> bytes:
        self._blocks.append(block)
        return _sse("content_block_stop", {"index": len(self._blocks) - 1})


def _sse(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | data)}\n\n".encode()
