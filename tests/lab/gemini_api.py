"""Google's Gemini API as Gemini CLI uses it: request → conversation, scripted steps → SSE bytes.

Pure: no socket, clock or randomness. Facts measured with Gemini CLI 0.61.0 are in the comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from actors.embedded.scenario import Answer, BridgeCall, Call, Entry, Fault, Prompt, Result, Run, ToolCall
from tests.lab.offered_tools import OfferedTools

SHELL_TOOL = "run_shell_command"
BRIDGE_PREFIX = "mcp_loop-bridge_"  # how Gemini CLI names the tools of the MCP server "loop-bridge"
USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}

# What Gemini CLI puts into user messages, in a part of its own, and around the output of a command.
_ADDED = re.compile(r"<session_context>.*?</session_context>\s*|</?untrusted_context>\s*", re.DOTALL)


def conversation(request: Mapping[str, Any]) -> list[Entry]:
    """The prompts, results and answers in a request, without what Gemini CLI adds to them.

    A call that was interrupted, or ran when the program was killed, gets no result, so the model repeats it.
    """
    return [entry for content in request.get("contents", []) for entry in _entries(content)]


def _entries(content: Mapping[str, Any]) -> Iterator[Entry]:
    parts = [part for part in content.get("parts", []) if not part.get("thought")]
    if content.get("role") == "model":
        if parts and not any("functionCall" in part for part in parts):
            yield Answer("\n".join(part.get("text", "") for part in parts))
        return
    for part in parts:
        if "functionResponse" in part:
            yield Result(_ADDED.sub("", _result_text(part["functionResponse"].get("response", {}))).strip())
        elif prompt := _ADDED.sub("", part.get("text", "")).strip():
            yield Prompt(prompt)


def _result_text(response: Mapping[str, Any]) -> str:
    return str(response.get("output") or response.get("error") or "")


def offered_tools(request: Mapping[str, Any]) -> OfferedTools:
    """The names of the tools that the agent offers."""
    names = (
        str(declared.get("name", ""))
        for tool in request.get("tools") or []
        for declared in tool.get("functionDeclarations", [])
    )
    return OfferedTools(tuple(names), BRIDGE_PREFIX)


_STATUSES = {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 529: "UNAVAILABLE"}


def fault_response(fault: Fault, _now_s: int) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an HTTP error, as Google words it."""
    status, name, message = fault.status, _STATUSES.get(fault.status, "UNKNOWN"), f"scripted {fault.status}"
    details: list[dict[str, Any]] = []
    if fault.refuses == "context":
        status, name = 400, "INVALID_ARGUMENT"
        message = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    elif fault.refuses == "billing":
        status, name = 429, "RESOURCE_EXHAUSTED"
        message = "You exceeded your current quota, please check your plan and billing details."
    elif fault.resets_in_s is not None:
        message = f"Resource has been exhausted. Please retry in {fault.resets_in_s}s."
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{fault.resets_in_s}s"}
        details.append(retry)
    error = {"code": status, "message": message, "status": name, "details": details}
    return status, {}, json.dumps({"error": error}).encode()


class GeminiReply:
    """An answer, built step by step. Each method returns the SSE bytes to send next.

    `reply_id` must be unique. Each piece of text is an answer of one part; the client puts them together.
    """

    def __init__(self, reply_id: str, model: str, offered: OfferedTools) -> None:
        self._id = reply_id
        self._model = model
        self._offered = offered
        self._parts: list[dict[str, Any]] = []

    def begin(self) -> bytes:
        """The first bytes of a stream: none, since an answer begins with its first part."""
        return b""

    def say(self, text: str) -> bytes:
        """One piece of text, whole. Pieces are lines of one message: the API knows no other boundary."""
        return self._part({"text": f"\n{text}" if self._parts else text})

    def half_of(self, text: str) -> bytes:
        """The beginning of a say that breaks off."""
        return _sse(self._answer([{"text": text[: len(text) // 2]}], ""))

    def call(self, call: Call) -> bytes:
        """One tool call; nothing but `end` may follow."""
        match call:
            case Run(command):
                name, arguments = SHELL_TOOL, {"command": command}
            case BridgeCall(tool, arguments):
                name = self._offered.of_bridge(tool)
            case ToolCall(name, arguments):
                pass
        return self._part({"functionCall": {"name": name, "args": arguments}})

    def end(self) -> bytes:
        """The last bytes of a stream."""
        return _sse(self._answer([{"text": ""}], "STOP"))

    def message(self) -> dict[str, Any]:
        """The whole answer: to a request that does not stream."""
        return self._answer(self._parts, "STOP")

    def _part(self, part: dict[str, Any]) -> bytes:
        self._parts.append(part)
        return _sse(self._answer([part], ""))

    def _answer(self, parts: list[dict[str, Any]], reason: str) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if reason:
            candidate["finishReason"] = reason
        return {
            "candidates": [candidate],
            "usageMetadata": USAGE,
            "modelVersion": self._model,
            "responseId": self._id,
        }


def _sse(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\r\n\r\n".encode()
