"""What a line of an agent's own transcript says, in a few words. Pure; knows Claude Code's and Codex's files.

Both formats may change with any version; unknown lines are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST = 200  # characters of an event

Entry = Mapping[str, Any]


def event_of(agent: str, entry: Entry) -> str:
    """A short text for the user; "" for a line without one."""
    words = _claude(entry) if agent == "claude" else _codex(entry)
    return " ".join(words.split())[:LONGEST]


def folder_of(agent: str, entry: Entry) -> str:
    """The session's working directory, if this line names it."""
    holder = entry if agent == "claude" else entry.get("payload")
    return str(holder.get("cwd") or "") if isinstance(holder, Mapping) else ""


def _claude(entry: Entry) -> str:
    message = entry.get("message")
    if not isinstance(message, Mapping) or entry.get("type") not in ("user", "assistant"):
        return ""
    content = message.get("content")
    if isinstance(content, str):
        return f"prompt: {content}" if entry["type"] == "user" else f"say: {content}"
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    for part in reversed(parts):
        match part.get("type"):
            case "text":
                return f"{'prompt' if entry['type'] == 'user' else 'say'}: {part.get('text')}"
            case "tool_use":
                return f"tool: {part.get('name')} {_arguments(part.get('input'))}"
            case "tool_result":
                return "tool-result"
            case "thinking":
                return "thinking"
    return ""


def _codex(entry: Entry) -> str:
    payload = entry.get("payload")
    if not isinstance(payload, Mapping):
        return ""
    match entry.get("type"), payload.get("type"):
        case "event_msg", "agent_message":
            return f"say: {payload.get('message')}"
        case "event_msg", "user_message":
            return f"prompt: {payload.get('message')}"
        case "event_msg", "turn_aborted":
            return "interrupted"
        case "response_item", "message" if payload.get("role") == "assistant":
            parts = payload.get("content")
            texts = [str(part.get("text", "")) for part in parts if isinstance(part, Mapping)] if parts else []
            return f"say: {' '.join(texts)}"
        case "response_item", "function_call" | "custom_tool_call" | "local_shell_call":
            return f"tool: {payload.get('name') or 'shell'} {payload.get('arguments') or payload.get('input') or ''}"
        case "response_item", "function_call_output" | "custom_tool_call_output":
            return "tool-result"
        case "response_item", "reasoning":
            return "thinking"
    return ""


def _arguments(given: object) -> str:
    if not isinstance(given, Mapping):
        return ""
    return " ".join(str(value) for value in given.values())
