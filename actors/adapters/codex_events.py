"""What the user is told of Codex's notifications. Pure.

Unknown notifications and fields become raw events: a newer CLI does not break a run. What decides a turn is in
codex_protocol.py.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from actors.adapters.base import AgentEvent
from actors.adapters.codex_protocol import Json, limit_windows, one_line
from actors.adapters.shapes import UNKNOWN_SHAPE, as_text, moment_s, whole


def events(notification: Mapping[str, Any], thread_id: str) -> list[AgentEvent]:
    """The user's events for a notification. The first event carries it as raw JSON.

    Drops fragments of a text that comes whole later: hundreds per turn without news. A sub-agent's work in its own
    thread is raw only.
    """
    method: str = notification["method"]
    params: Json = notification.get("params") or {}
    if method.endswith(("Delta", "/delta")):
        return []
    told = None
    if not thread_id or params.get("threadId", thread_id) == thread_id:  # "": the thread is still opening
        with suppress(*UNKNOWN_SHAPE):
            told = _texts_of(_told(method, params))
    raw = json.dumps(notification, ensure_ascii=False, separators=(",", ":"))
    if told is None:
        return [AgentEvent(kind="raw", raw=raw)]
    return [dataclasses.replace(told, raw=raw)]


def _texts_of(told: AgentEvent | None) -> AgentEvent | None:
    """The event. Raises TypeError when its text fields have another type."""
    if told is not None:
        as_text(told.text)
        as_text(told.message_id)
    return told


def _told(method: str, params: Json) -> AgentEvent | None:
    match method:
        case "item/started":
            return _item_started(params["item"])
        case "item/completed":
            return _item_completed(params["item"])
        case "thread/tokenUsage/updated":
            total = params["tokenUsage"]["total"]
            text = f"{total['inputTokens']} tokens in, {total['outputTokens']} out, in this session"
            return AgentEvent(kind="usage", text=text)
        case "account/rateLimits/updated":
            text = limits_text(params["rateLimits"])
            return AgentEvent(kind="limit", text=text) if text else None
        case "error" if params.get("willRetry"):
            return AgentEvent(kind="note", text=one_line(params["error"]["message"]))
        case "mcpServer/startupStatus/updated" if params.get("status") == "failed":
            text = f"MCP server {params.get('name')} did not start: {params.get('error') or 'no reason given'}"
            return AgentEvent(kind="note", text=one_line(text))
        case "model/rerouted":
            return AgentEvent(kind="note", text=f"model {params.get('fromModel')} → {params.get('toModel')}")
    return None


def _item_started(item: Json) -> AgentEvent | None:
    """Reports tools at their start: a tool may run for an hour."""
    match item["type"]:
        case "commandExecution":
            return _tool("shell", _bare_command(item["command"]), item)
        case "fileChange":
            return _tool("edit", ", ".join(change["path"] for change in item["changes"]), item)
        case "mcpToolCall":
            return _tool(f"{item['server']}.{item['tool']}", _arguments(item["arguments"]), item)
        case "dynamicToolCall":
            return _tool(item["tool"], _arguments(item["arguments"]), item)
        case "collabAgentToolCall":
            return _tool(f"agent.{item['tool']}", item.get("prompt") or "", item)
        case "subAgentActivity":
            return _tool(f"agent.{item['kind']}", item.get("agentPath") or "")
        case "webSearch":
            return _tool("web search", item["query"])
        case "imageView":
            return _tool("view image", item["path"])
    return None


def _item_completed(item: Json) -> AgentEvent | None:
    match item["type"]:
        case "userMessage" if item.get("clientId"):
            # The earliest evidence that lasts. `item/started` comes 3 ms before it and was lost in 2 of 12 kills at
            # that moment; after `item/completed` the message was in the transcript in 20 of 20, and the model had
            # not been asked yet.
            return AgentEvent(kind="seen", message_id=item["clientId"])
        case "agentMessage":
            return AgentEvent(kind="say", text=item["text"])
        case "commandExecution":
            last = (item.get("aggregatedOutput") or "").strip().rpartition("\n")[2]
            return _tool_result(f"exit {item.get('exitCode')}", last, item)
        case "fileChange":
            return _tool_result(item["status"], "", item)
        case "mcpToolCall":
            return _tool_result(item["status"], _mcp_result(item), item)
        case "dynamicToolCall" | "collabAgentToolCall":
            return _tool_result(item["status"], "", item)
        case "contextCompaction":
            return AgentEvent(kind="note", text="the conversation was compacted")
    return None


def _tool(name: str, argument: str, item: Json | None = None) -> AgentEvent:
    """A tool at its start. `item`: one whose end is reported as well."""
    return AgentEvent(kind="tool", text=one_line(f"{name} {argument}"), begins=_id_of(item))


def _tool_result(status: str, detail: str, item: Json) -> AgentEvent:
    return AgentEvent(kind="tool-result", text=one_line(f"{status}: {detail}" if detail else status), ends=_id_of(item))


def _id_of(item: Json | None) -> str:
    return as_text((item or {}).get("id", ""))


def _bare_command(command: str) -> str:
    """`/bin/bash -lc 'make test'` → `make test`."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return words[2] if len(words) == 3 and words[1] in {"-c", "-lc"} else command


def _arguments(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _mcp_result(item: Json) -> str:
    if item.get("error"):
        return str(item["error"]["message"])
    content = (item.get("result") or {}).get("content") or []
    return next((part["text"] for part in content if part.get("type") == "text"), "")


def limits_text(limits: Json) -> str:
    """The windows of a rate-limit snapshot on one line; "" when it has none (providers other than OpenAI)."""
    return "; ".join(_window_text(window) for window in limit_windows(limits))


def _window_text(window: Json) -> str:
    minutes, end = whole(window.get("windowDurationMins")), moment_s(window.get("resetsAt"))
    length = f"{minutes // 60} h limit" if minutes else "limit"
    until = f", until {datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M} UTC" if end else ""
    return f"{length} used {window['usedPercent']} %{until}"
