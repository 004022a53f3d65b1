"""The three tools of the MCP server `loop-bridge`: what the agents are told about them, and which function each calls.

Reads no request and writes no answer: mcp_endpoint.py does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext

from actors.errors import UserError
from actors.settings import Role

INSTRUCTIONS = (
    "You work as a pair with another coding agent; this server carries messages between the two of you. "
    "Write to the other agent with send_message, and never ask the human to pass a message on. "
    "Messages for you come by themselves, as prompts; receive_messages fetches those that still wait."
)


class SendMessage(msgspec.Struct, frozen=True):
    """Arguments of send_message. Missing ones are empty, so that the tool's own error names them."""

    target: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The tools' functions. Each gets the caller's role and returns text for the agent.

    They raise `UserError` for a call that the agent can correct; it gets the text as invalid params. They raise any
    other LoopError for circumstances; the agent gets the text as an internal error. Called from many threads
    concurrently.
    """

    send_message: Callable[[Role, str, str], str]  # caller, target, message
    bridge_status: Callable[[Role], str]
    receive_messages: Callable[[Role], str]
    came: Callable[[Role], object] = lambda _role: None  # called once per caller, in the endpoint's thread


_NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}

TOOLS = (
    types.Tool(
        name="send_message",
        description=(
            "Send a message to the other agent. The result says what has become of it, with its id: accepted for "
            "delivery, or queued. Neither means that it was read: see bridge_status. An answer, if there is one, "
            "comes to you as a message of its own."
        ),
        input_schema={
            "type": "object",
            "properties": {
                "target": {"type": "string", "description": "Name of the other agent, in any case."},
                "message": {"type": "string", "description": "What it should know or do."},
            },
            "required": ["target", "message"],
        },
        annotations=types.ToolAnnotations(
            title="Send a message to the other agent",
            read_only_hint=False,
            destructive_hint=False,
            idempotent_hint=False,
            open_world_hint=False,
        ),
    ),
    types.Tool(
        name="bridge_status",
        description="Who the other agent is, and what has become of the messages both ways. Changes nothing.",
        input_schema=_NO_ARGUMENTS,
        annotations=types.ToolAnnotations(
            title="State of the bridge",
            read_only_hint=True,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
    ),
    types.Tool(
        name="receive_messages",
        description=(
            "Fetch the messages for you that still wait. What it returns is not delivered to you again. You need not "
            "call it to get your messages: they come by themselves."
        ),
        input_schema=_NO_ARGUMENTS,
        annotations=types.ToolAnnotations(
            title="Fetch waiting messages",
            read_only_hint=False,
            destructive_hint=False,
            idempotent_hint=False,
            open_world_hint=False,
        ),
    ),
)


def work(tools: Tools, caller: Role, params: types.CallToolRequestParams) -> Callable[[], str]:
    """The call of the tool, to be made in a thread. Raises `UserError` for an unknown tool or bad arguments."""
    match params.name:
        case "send_message":
            try:
                call = msgspec.convert(params.arguments or {}, SendMessage)
            except msgspec.ValidationError as error:
                raise UserError(f"arguments of send_message: {error}") from error
            return lambda: tools.send_message(caller, call.target, call.message)
        case "bridge_status":
            return lambda: tools.bridge_status(caller)
        case "receive_messages":
            return lambda: tools.receive_messages(caller)
        case name:
            raise UserError(f"unknown tool {name!r}: there are {', '.join(tool.name for tool in TOOLS)}")


async def list_tools(
    _context: ServerRequestContext[Any, Any], _params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    """All of them."""
    return types.ListToolsResult(tools=list(TOOLS))
