"""Which messages of an ACP agent the protocol's package is given. Pure.

The package logs a traceback for each notification that it does not know or cannot read, and its connection ends at an
answer of another shape. Agents are newer than the package, or have words of their own, so: a notification that we have
no use for is passed over, and an answer of unknown shape is an error of the agent's to the request that it answers.
"""

from __future__ import annotations

from typing import Any

from acp.schema import SessionNotification
from pydantic import ValidationError

from actors.adapters.shapes import UNKNOWN_SHAPE, as_text
from actors.text import excerpt

INTERNAL_ERROR = -32603


def passed_on(message: dict[str, Any]) -> dict[str, Any] | None:
    """The message as the package can take it; None: it is passed over."""
    number = message.get("id")
    if "id" in message and (isinstance(number, bool) or not isinstance(number, int | str)):
        return None  # an error that belongs to no request, as JSON-RPC has it, or nothing that can be answered
    if message.get("method") is None:
        return _answer(message) if "id" in message else None
    if not isinstance(message["method"], str) or not isinstance(message.get("params") or {}, dict):
        return None
    return message if "id" in message or _is_update(message) else None


def _is_update(message: dict[str, Any]) -> bool:
    """Whether it is a session update that can be read: the only notification that we listen to."""
    if message["method"] != "session/update":
        return False
    try:
        SessionNotification.model_validate(message.get("params"))
    except (ValidationError, *UNKNOWN_SHAPE):
        return False
    return True


def _answer(message: dict[str, Any]) -> dict[str, Any]:
    if "result" in message:
        return message
    error: Any = message.get("error")
    try:
        if isinstance(error["code"], int) and as_text(error["message"]):
            return message
    except UNKNOWN_SHAPE:
        pass
    told = {"code": INTERNAL_ERROR, "message": f"it gave an answer that is none: {excerpt(str(error))}"}
    return {"jsonrpc": "2.0", "id": message["id"], "error": told}
