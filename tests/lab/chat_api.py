"""OpenAI's Chat Completions API as Copilot CLI and many other agents use it: request → conversation, steps → SSE bytes.

Pure: no socket, clock or randomness. Facts measured with Copilot CLI 1.0.102 and Mistral Vibe 3.0.2 are in the
comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from actors.embedded.scenario import Answer, BridgeCall, Call, Entry, Fault, Prompt, Result, Run, ToolCall
from tests.lab.offered_tools import OfferedTools

SHELL_TOOL = "bash"
BRIDGE_PREFIX = "loop-bridge-"  # how Copilot names the tools of the MCP server "loop-bridge"
VIBE_CODE, VIBE_BRIDGE = "run_typescript", "tools.mcp_loop_bridge"  # Vibe offers MCP tools to its code alone
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}

# What Copilot adds to user messages.
_ADDED = re.compile(r"<(current_datetime|reminder|system_reminder|system_notification)>.*?</\1>\s*", re.DOTALL)
# The results that Copilot invents: for a cancelled call, and for one that ran when Copilot was killed.
_NO_RESULT = (
    "The execution of this tool, or a previous tool was interrupted",
    "Tool execution was interrupted before a result was recorded",
)


def conversation(request: Mapping[str, Any]) -> list[Entry]:
    """The prompts, results and answers in a request, without what the agent adds to them.

    An interrupted call gets no result, so the model repeats it.
    """
    entries: list[Entry] = []
    for message in request.get("messages", []):
        text = _text(message.get("content"))
        match message["role"]:
            case "user":
                if prompt := _ADDED.sub("", text).strip():
                    entries.append(Prompt(prompt))
            case "assistant" if not message.get("tool_calls"):
                entries.append(Answer(text))
            case "tool" if not text.startswith(_NO_RESULT):
                entries.append(Result(text))
            case _:  # "system": instructions
                pass
    return entries


def offered_tools(request: Mapping[str, Any]) -> OfferedTools:
    """The names of the tools that the agent offers."""
    offered = {str(tool.get("function", {}).get("name", "")): tool["function"] for tool in request.get("tools") or []}
    shell = (offered.get(SHELL_TOOL) or {}).get("parameters") or {}
    return OfferedTools(
        tuple(offered),
        BRIDGE_PREFIX,
        in_code=(VIBE_CODE, VIBE_BRIDGE) if VIBE_CODE in offered else None,
        describes_commands=shell.get("additionalProperties") is not False or "description" in shell["properties"],
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or [])


def fault_response(fault: Fault, _now_s: int) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an HTTP error, as OpenAI words it."""
    status, headers = fault.status, {}
    error: dict[str, Any] = {"type": "server_error", "code": None, "message": f"scripted {fault.status}"}
    if fault.refuses == "context":
        status = 400
        message = "This model's maximum context length is 128000 tokens. Please reduce the length of the messages."
        error = {"type": "invalid_request_error", "code": "context_length_exceeded", "message": message}
    elif fault.refuses == "billing":
        status = 429
        message = "You exceeded your current quota, please check your plan and billing details."
        error = {"type": "insufficient_quota", "code": "insufficient_quota", "message": message}
    elif fault.status == 429:
        error = {"type": "requests", "code": "rate_limit_exceeded", "message": "Rate limit reached for requests"}
        if fault.resets_in_s is not None:
            headers = {"retry-after": str(fault.resets_in_s)}
    return status, headers, json.dumps({"error": error}).encode()


class ChatReply:
    """A completion, built step by step. Each method returns the SSE bytes to send next.

    `reply_id` must be unique: the ids of the completion and of its call are made from it.
    """

    def __init__(self, reply_id: str, model: str, offered: OfferedTools) -> None:
        self._id = reply_id
        self._model = model
        self._offered = offered
        self._text = ""
        self._calls: list[dict[str, Any]] = []

    def begin(self) -> bytes:
        """The first bytes of a stream."""
        return self._chunk({"role": "assistant", "content": ""})

    def say(self, text: str) -> bytes:
        """One piece of text, whole. Pieces are lines of one message: the API knows no other boundary."""
        text = f"\n{text}" if self._text else text
        self._text += text
        return self._chunk({"content": text})

    def half_of(self, text: str) -> bytes:
        """The beginning of a say that breaks off."""
        return self._chunk({"content": text[: len(text) // 2]})

    def call(self, call: Call) -> bytes:
        """One tool call; nothing but `end` may follow."""
        match call:
            case Run(command):
                name, arguments = SHELL_TOOL, {"command": command}
                if self._offered.describes_commands:
                    arguments |= {"description": command}  # what Copilot shows
            case BridgeCall(tool, arguments) if self._offered.in_code is not None:
                name, bridge = self._offered.in_code
                arguments = {"code": f"return await {bridge}.{tool}({json.dumps(arguments)});"}
            case BridgeCall(tool, arguments):
                name = self._offered.of_bridge(tool)
            case ToolCall(name, arguments):
                pass
        function = {"name": name, "arguments": json.dumps(arguments)}
        self._calls = [{"id": f"call_{self._id}", "type": "function", "function": function}]
        return self._chunk({"tool_calls": [{"index": 0} | self._calls[0]]})

    def end(self) -> bytes:
        """The last bytes of a stream."""
        return self._chunk({}, self._reason) + _sse(self._object("chat.completion.chunk", [])) + b"data: [DONE]\n\n"

    def message(self) -> dict[str, Any]:
        """The whole completion: the answer to a request that does not stream."""
        message: dict[str, Any] = {"role": "assistant", "content": self._text}
        if self._calls:
            message |= {"tool_calls": self._calls}
        return self._object("chat.completion", [{"index": 0, "message": message, "finish_reason": self._reason}])

    @property
    def _reason(self) -> str:
        return "tool_calls" if self._calls else "stop"

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return _sse(self._object("chat.completion.chunk", [choice]) | {"usage": None})

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._id}",
            "object": kind,
            "created": 0,
            "model": self._model,
            "choices": choices,
            "usage": USAGE,
        }


def _sse(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()
