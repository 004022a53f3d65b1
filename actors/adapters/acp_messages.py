"""Filters the messages of an ACP agent for the protocol's package. Pure.

The package logs a traceback for each notification that it cannot read, and its connection ends at a malformed answer.
Agents may be newer than the package, or have extensions. So an unused notification is dropped, and an answer of unknown
shape becomes an error answer to its request.
"""

from __future__ import annotations

from typing import Any

from acp.schema import SessionNotification
from pydantic import ValidationError

from actors.adapters.shapes import UNKNOWN_SHAPE, as_text
from actors.text import excerpt

INTERNAL_ERROR = -32603


def passed_on(message: dict[str, Any]) -> dict[str, Any] | None:
    """The message in a form that the package accepts; None: drop it."""
    number = message.get("id")
    if "id" in message and (isinstance(number, bool) or not isinstance(number, int | str)):
        return None  # an error without a request (JSON-RPC allows it), or nothing that can be answered
    if message.get("method") is None:
        return _answer(message) if "id" in message else None
    if not isinstance(message["method"], str) or not isinstance(message.get("params") or {}, dict):
        return None
    return message if "id" in message or _is_update(message) else None


def _is_update(message: dict[str, Any]) -> bool:
    """Whether it is a readable session update: the only notification that we use."""
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
