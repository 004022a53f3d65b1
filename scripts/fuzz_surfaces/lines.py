"""Valid lines of each kind that a coding agent prints, which the surface `acp` mutates. Only data."""

from __future__ import annotations

from typing import Any

SESSION, THREAD, TURN = "session-1", "thread-1", "00000000-0000-4000-8000-00000000000a"
Line = dict[str, Any]


def _update(update_kind: str, /, **fields: Any) -> Line:
    update = {"sessionUpdate": update_kind, **fields}
    return {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": SESSION, "update": update}}


def _text(text: str) -> Line:
    return {"type": "text", "text": text}


_CALL: Line = {"toolCallId": "t", "title": "ls -l", "kind": "execute", "status": "in_progress", "rawInput": {"a": 1}}
_OPTIONS = [{"optionId": kind, "name": kind, "kind": kind} for kind in ("reject_once", "allow_once")]
_CHOICE: Line = {
    "id": "m", "name": "Model", "category": "model", "type": "select", "currentValue": "a",
    "options": [{"value": "a", "name": "A"}],
}  # fmt: skip

ACP: list[Line] = [
    _update("agent_message_chunk", content=_text("all is "), messageId="m1"),
    _update("agent_message_chunk", content={"type": "image", "data": "eA==", "mimeType": "image/png"}),
    _update("agent_thought_chunk", content=_text("hm")),
    _update("user_message_chunk", content=_text("go on\n[loop 1]")),
    _update("tool_call", **_CALL),
    _update("tool_call_update", toolCallId="t", status="failed", content=[{"type": "content", "content": _text("x")}]),
    _update("tool_call_update", toolCallId="t", content=[{"type": "diff", "path": "/x", "newText": "b"}]),
    _update("plan", entries=[{"content": "first", "priority": "high", "status": "pending"}]),
    _update("usage_update", used=10, size=1_000, cost={"amount": 0.25, "currency": "USD"}),
    _update("session_info_update", title="t", _meta={"x": 1}),
    _update("current_mode_update", currentModeId="code"),
    _update("available_commands_update", availableCommands=[{"name": "a", "description": "b"}]),
    _update("config_option_update", configOptions=[_CHOICE]),
    {"jsonrpc": "2.0", "id": 900, "method": "session/request_permission",
     "params": {"sessionId": SESSION, "toolCall": _CALL, "options": _OPTIONS}},
    {"jsonrpc": "2.0", "id": "a", "method": "fs/read_text_file", "params": {"sessionId": SESSION, "path": "/x"}},
    {"jsonrpc": "2.0", "id": 7, "method": "terminal/create", "params": {"sessionId": SESSION, "command": "sh"}},
    {"jsonrpc": "2.0", "id": 8, "method": "_session/x", "params": {}},
    {"jsonrpc": "2.0", "id": 99_999, "result": {"stopReason": "end_turn"}},
    {"jsonrpc": "2.0", "id": "@prompt@", "error": {"code": -32603, "message": "overloaded", "data": {"details": "x"}}},
    {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "parse error"}},
]  # fmt: skip

_USAGE: Line = {
    "input_tokens": 5, "output_tokens": 6, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 0,
}  # fmt: skip

CLAUDE: list[Line] = [
    {"type": "system", "subtype": "init", "session_id": SESSION, "model": "m", "tools": ["Bash"],
     "mcp_servers": [{"name": "loop-bridge", "status": "failed"}], "permissionMode": "bypassPermissions"},
    {"type": "assistant", "session_id": SESSION, "parent_tool_use_id": None,
     "message": {"id": "a", "role": "assistant", "content": [_text("all is well")], "usage": _USAGE}},
    {"type": "assistant", "parent_tool_use_id": "x", "error": "rate_limit",
     "message": {"id": "b", "content": [{"type": "tool_use", "id": "t", "name": "mcp__a__b", "input": {"path": "x"}}]}},
    {"type": "user", "message": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": [_text("no such file")]}]}},
    {"type": "user", "isReplay": True, "uuid": TURN, "message": {"role": "user", "content": "go on"}},
    {"type": "command_lifecycle", "state": "started", "command_uuid": TURN},
    {"type": "command_lifecycle", "state": "discarded", "command_uuid": TURN},
    {"type": "system", "subtype": "session_state_changed", "state": "idle"},
    {"type": "system", "subtype": "task_started", "task_id": "1", "task_type": "local_agent", "description": "d"},
    {"type": "system", "subtype": "task_notification", "task_id": "1", "status": "completed", "summary": "s"},
    {"type": "system", "subtype": "task_updated", "task_id": "1", "patch": {"status": "failed"}},
    {"type": "system", "subtype": "api_retry", "error": "overloaded", "attempt": 1, "max_retries": 10},
    {"type": "system", "subtype": "compact_boundary"},
    {"type": "rate_limit_event",
     "rate_limit_info": {"status": "rejected", "rateLimitType": "five_hour", "resetsAt": 1_760_000_000}},
    {"type": "result", "subtype": "success", "is_error": False, "result": "all is well", "usage": _USAGE,
     "total_cost_usd": 0.25, "user_message_uuids": [TURN], "session_id": SESSION},
    {"type": "result", "subtype": "error_during_execution", "is_error": True, "errors": ["x"], "usage": _USAGE,
     "terminal_reason": "aborted_streaming", "api_error_status": 429, "user_message_uuids": [TURN]},
    {"type": "control_response", "response": {"subtype": "success", "request_id": "1", "response": {}}},
    {"type": "control_request", "request_id": "1", "request": {"subtype": "can_use_tool", "input": {}}},
    {"type": "stream_event", "event": {"type": "content_block_delta", "delta": {"text": "x"}}},
]  # fmt: skip


def _told(method: str, **params: Any) -> Line:
    return {"method": method, "params": {"threadId": THREAD, "turnId": TURN, **params}}


_TOTAL = {"inputTokens": 10, "outputTokens": 2, "totalTokens": 12, "cachedInputTokens": 0, "reasoningOutputTokens": 0}
_WINDOW = {"usedPercent": 100, "windowDurationMins": 300, "resetsAt": 1_760_000_000}


def _turn(status: str, **fields: Any) -> Line:
    return _told("turn/completed", turn={"id": TURN, "status": status, "items": [], **fields})


def _item(state: str, kind: str, **fields: Any) -> Line:
    return _told(f"item/{state}", item={"type": kind, "id": "i", **fields})


CODEX: list[Line] = [
    _told("turn/started", turn={"id": TURN, "status": "inProgress", "items": []}),
    _turn("completed"),
    _turn("interrupted"),
    _turn("failed", error={"message": "m", "additionalDetails": "d", "codexErrorInfo": "usageLimitExceeded"}),
    _turn("failed", error={"message": "m", "codexErrorInfo": {"httpConnectionFailed": {"httpStatusCode": 429}}}),
    _item("started", "commandExecution", command="/bin/bash -lc 'make test'", status="inProgress"),
    _item("completed", "commandExecution", command="ls", aggregatedOutput="a\nb", exitCode=1, status="completed"),
    _item("started", "fileChange", changes=[{"path": "a", "kind": "add", "diff": ""}]),
    _item("completed", "fileChange", status="completed", changes=[]),
    _item("started", "mcpToolCall", server="loop-bridge", tool="send_message", arguments={"target": "claude"}),
    _item("completed", "mcpToolCall", status="completed", result={"content": [_text("queued")]}, error=None),
    _item("completed", "mcpToolCall", status="failed", error={"message": "no"}),
    _item("started", "webSearch", query="q"),
    _item("started", "imageView", path="/x"),
    _item("started", "collabAgentToolCall", tool="spawn", prompt="p"),
    _item("completed", "userMessage", clientId="c", content=[_text("typed")]),
    _item("completed", "agentMessage", text="all is well"),
    _item("completed", "contextCompaction"),
    _told("item/agentMessage/delta", delta="x", itemId="i"),
    _told("thread/tokenUsage/updated", tokenUsage={"total": _TOTAL, "last": _TOTAL, "modelContextWindow": 100}),
    {"method": "account/rateLimits/updated", "params": {"rateLimits": {"primary": _WINDOW, "secondary": None}}},
    _told("error", error={"message": "m", "codexErrorInfo": "serverOverloaded"}, willRetry=True),
    {"method": "mcpServer/startupStatus/updated", "params": {"name": "loop-bridge", "status": "failed", "error": "e"}},
    _told("model/rerouted", fromModel="a", toModel="b"),
    _told("thread/status/changed", status={"type": "active"}),
    {"method": "thread/started", "params": {"thread": {"id": "other", "source": "cli"}}},
    {"method": "item/commandExecution/requestApproval", "id": 5, "params": {"threadId": THREAD}},
    {"method": "mcpServer/elicitation/request", "id": "x", "params": {}},
    {"id": 1, "result": {"turn": {"id": TURN}}},
    {"id": 2, "error": {"code": -32600, "message": "no"}},
]  # fmt: skip

LINES: dict[str, list[Line]] = {"acp": ACP, "claude": CLAUDE, "codex": CODEX}
GOOD: dict[str, list[Line]] = {
    "acp": [_update("agent_message_chunk", content=_text("all is well"))],
    "claude": [CLAUDE[4], CLAUDE[1], CLAUDE[14], CLAUDE[7]],
    "codex": [CODEX[16], CODEX[1]],
}
