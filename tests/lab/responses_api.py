"""The OpenAI Responses API as Codex uses it: request → conversation, scripted steps → SSE bytes.

Pure: no socket, clock or randomness. Facts measured with Codex 0.163 are in the comments.

Codex offers its tools in one of two ways, by its configured model. An unknown model gets function tools. Its own
default models work in *code mode*: the offer is an item of the input. The one tool for work is `exec`, which takes
JavaScript, and all other tools are functions of that script.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from actors.embedded.scenario import Answer, BridgeCall, Call, Entry, Fault, Prompt, Result, Run, ToolCall, Used

BRIDGE_NAMESPACE = "mcp__loop_bridge"  # how Codex names the tools of the MCP server "loop-bridge"
CODE_NAMESPACE = "functions"  # of `exec`
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 15,
}

# Without it Codex continues after 10 s while the command still runs; it waits at most 30 s.
YIELD_MS = 30_000

# User messages that Codex itself puts into a conversation.
_ADDED_BY_CODEX = (
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md instructions",
    "<turn_aborted>",
)
# The output that Codex invents after an interrupt ("aborted by user"), and for a call that ran when it was killed.
_NO_RESULT = re.compile(r"(Wall time: .*\n)?aborted( by user.*)?")
# A script that still runs: a message came in the middle of the turn, or it took long. `wait` returns the rest, as long
# as the program lives.
_STILL_RUNNING = re.compile(r"Script running with cell ID (\S+)")
_CELL_GONE = re.compile(r"exec cell \S+ not found")


def conversation(request: Mapping[str, Any]) -> list[Entry]:
    """The prompts, results and answers in a request, without what Codex adds to them.

    An interrupted call gets no result, so the model repeats it. A message that comes during a script is behind the
    script's result: the call is resolved first, whatever the message asks for.
    """
    entries: list[Entry] = []
    held: list[Prompt] | None = None  # while a script runs
    for item in request.get("input", []):
        match item.get("type", "message"):
            case "message" if item["role"] == "user":
                texts = [part["text"] for part in item["content"] if part["type"] == "input_text"]
                prompts = [Prompt(text) for text in texts if not text.startswith(_ADDED_BY_CODEX)]
                (entries if held is None else held).extend(prompts)
            case "message" if item["role"] == "assistant":
                entries.append(Answer("\n".join(part.get("text", "") for part in item["content"])))
            case "function_call" | "custom_tool_call":
                # Text before a call, in the same reply, ends no turn.
                while entries and isinstance(entries[-1], Answer):
                    entries.pop()
            case "function_call_output" | "custom_tool_call_output":
                output = _output_text(item["output"])
                if _STILL_RUNNING.match(output):
                    held = held or []
                    continue
                if not (_NO_RESULT.fullmatch(output) or _CELL_GONE.search(output)):
                    entries.append(Result(output))
                entries.extend(held or ())
                held = None
    return entries


def running_cell(request: Mapping[str, Any]) -> str:
    """The id of the script whose end the agent has not seen yet; "" when there is none."""
    outputs = [item["output"] for item in request.get("input", []) if item.get("type", "").endswith("_call_output")]
    found = _STILL_RUNNING.match(_output_text(outputs[-1])) if outputs else None
    return found[1] if found else ""


def tool_names(request: Mapping[str, Any]) -> tuple[str, ...]:
    """The offered tools, in order, with their namespace if they have one."""
    listed = request.get("tools") or []
    spaces = [*_offers(request), *(tool for tool in listed if tool.get("type") == "namespace")]
    names = [f"{space['name']}.{tool['name']}" for space in spaces for tool in space.get("tools", [])]
    names += [tool.get("name") or tool["type"] for tool in listed if tool.get("type") != "namespace"]
    return tuple(sorted(names))


def is_bound(request: Mapping[str, Any]) -> bool:
    """Whether the answer has to have the form of a JSON schema."""
    form = (request.get("text") or {}).get("format") or {}
    return form.get("type") == "json_schema"


def is_code_mode(request: Mapping[str, Any]) -> bool:
    """Whether the agent's tools are called in JavaScript, through `exec`."""
    return any(
        tool.get("name") == "exec"
        for space in _offers(request)
        if space.get("name") == CODE_NAMESPACE
        for tool in space.get("tools", [])
    )


def _offers(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The namespaces of tools in the input."""
    for item in request.get("input", []):
        if item.get("type") == "additional_tools":
            yield from item.get("tools", [])


def _output_text(output: Any) -> str:
    if isinstance(output, str):
        return output
    return "\n".join(part.get("text", "") for part in output)


_REFUSALS = {
    "context": ("context_length_exceeded", "Your input exceeds the context window of this model."),
    "billing": ("insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
}


def fault_response(fault: Fault, now_s: int) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an HTTP error, as OpenAI words it."""
    if fault.refuses:  # in the stream: only there does Codex recognise these
        code, message = _REFUSALS[fault.refuses]
        response = {"id": "resp_refused", "status": "failed", "error": {"code": code, "message": message}}
        return 200, {"content-type": "text/event-stream"}, _sse("response.failed", {"response": response})
    error: dict[str, Any] = {"type": "server_error", "message": f"scripted {fault.status}"}
    headers: dict[str, str] = {}
    if fault.resets_in_s is not None:
        resets_at = now_s + fault.resets_in_s
        error = {
            "type": "usage_limit_reached",
            "message": "The usage limit has been reached",
            "plan_type": "pro",
            "resets_at": resets_at,
        }
        # The time in the body is for the user only; programs read these, in account/rateLimits/updated.
        headers = {
            "x-codex-primary-used-percent": "100.0",
            "x-codex-primary-window-minutes": "300",
            "x-codex-primary-reset-at": str(resets_at),
        }
    elif fault.status == 429:
        error["type"] = "rate_limit_exceeded"
    return fault.status, headers, json.dumps({"error": error}).encode()


def window_headers(used: Used, now_s: int) -> dict[str, str]:
    """What an answer says of the five-hour window."""
    return {
        "x-codex-primary-used-percent": str(float(used.percent)),
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": str(now_s + used.resets_in_s),
    }


class ResponsesReply:
    """A response, built step by step. Each method returns the SSE bytes to send next.

    `reply_id` must be unique: the ids of the response, its messages and its call are made from it.
    `in_code`: see `is_code_mode`; `cell`: see `running_cell`.
    """

    def __init__(self, reply_id: str, model: str, *, in_code: bool = False, cell: str = "") -> None:
        self._id = reply_id
        self._model = model
        self._in_code = in_code
        self._cell = cell
        self._items: list[dict[str, Any]] = []

    def begin(self) -> bytes:
        """The first bytes of a stream."""
        return _sse("response.created", {"response": self._response("in_progress")})

    def say(self, text: str) -> bytes:
        """One piece of text, whole."""
        item = self._message(text)
        part = {"item_id": item["id"], "output_index": len(self._items), "content_index": 0}
        return (
            self._added(item | {"content": [], "status": "in_progress"})
            + _sse("response.output_text.delta", part | {"delta": text})
            + self._done(item)
        )

    def half_of(self, text: str) -> bytes:
        """The beginning of a say that breaks off."""
        item = self._message("")
        part = {"item_id": item["id"], "output_index": len(self._items), "content_index": 0}
        return self._added(item | {"content": [], "status": "in_progress"}) + _sse(
            "response.output_text.delta", part | {"delta": text[: len(text) // 2]}
        )

    def call(self, call: Call) -> bytes:
        """One tool call; nothing but `end` may follow. While the script of the last call runs, it waits for that."""
        item: dict[str, Any] = {"id": f"fc_{self._id}", "call_id": f"call_{self._id}"}
        script = _script(call) if self._in_code else ""
        if self._cell:
            wait = {"cell_id": self._cell, "yield_time_ms": YIELD_MS}
            item |= {
                "type": "function_call",
                "namespace": CODE_NAMESPACE,
                "name": "wait",
                "arguments": json.dumps(wait),
            }
            return self._added(item) + self._done(item)
        if script:
            item |= {"type": "custom_tool_call", "namespace": CODE_NAMESPACE, "name": "exec", "input": script}
            return self._added(item) + self._done(item)
        item |= {"type": "function_call"}
        match call:
            case Run(command):
                item |= {"name": "exec_command", "arguments": json.dumps(_shell(command))}
            case BridgeCall(tool, arguments):
                item |= {"namespace": BRIDGE_NAMESPACE, "name": tool, "arguments": json.dumps(arguments)}
            case ToolCall(name, arguments):
                space, _, bare = name.rpartition(".")
                item |= {"name": bare, "arguments": json.dumps(arguments)} | ({"namespace": space} if space else {})
        return self._added(item) + self._done(item)

    def end(self) -> bytes:
        """The last bytes of a stream."""
        return _sse("response.completed", {"response": self._response("completed") | {"usage": USAGE}})

    def _message(self, text: str) -> dict[str, Any]:
        return {
            "type": "message",
            "id": f"msg_{self._id}_{len(self._items)}",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }

    def _added(self, item: dict[str, Any]) -> bytes:
        return _sse("response.output_item.added", {"output_index": len(self._items), "item": item})

    def _done(self, item: dict[str, Any]) -> bytes:
        self._items.append(item)
        return _sse("response.output_item.done", {"output_index": len(self._items) - 1, "item": item})

    def _response(self, status: str) -> dict[str, Any]:
        return {
            "id": f"resp_{self._id}",
            "object": "response",
            "model": self._model,
            "status": status,
            "output": self._items,
        }


def _shell(command: str) -> dict[str, Any]:
    return {"cmd": command, "yield_time_ms": YIELD_MS}


def _script(call: Call) -> str:
    """The call as JavaScript for `exec`; "" for one that has a namespace and is called as a function there, too.

    Every tool of an MCP server is a function of the script, also one that the offer does not name.
    """
    match call:
        case Run(command):
            return (
                f"const done = await tools.exec_command({json.dumps(_shell(command))});\n"
                "text(`Process exited with code ${done.exit_code}`); text(done.output);"
            )
        case BridgeCall(tool, arguments):
            return (
                f"const done = await tools.{BRIDGE_NAMESPACE}__{tool}({json.dumps(arguments)});\n"
                'for (const part of done.content) text(part.text ?? "");'
            )
        case ToolCall(name, arguments) if "." not in name:
            return f"text(await tools.{name}({json.dumps(arguments)}));"
    return ""


def _sse(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | data)}\n\n".encode()
