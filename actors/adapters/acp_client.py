"""Our side of the protocol: answers an ACP agent's requests. Runs in the adapter's asyncio loop.

The run is unattended: permissions are granted, permanently if offered. Questions are declined immediately, and noted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from acp.schema import (
    AllowedOutcome,
    DeclineElicitationResponse,
    DeniedOutcome,
    PermissionOption,
    RequestPermissionResponse,
    ToolCallUpdate,
)

from actors.adapters.acp_history import one_line

Updates = Callable[[str, Any], None]
Grants = Callable[[ToolCallUpdate], bool]


class AcpClient:
    """The methods that the package calls. `asked` is called for each permission first; False: the turn is cancelled."""

    def __init__(self, take_update: Updates, asked: Grants, note: Callable[[str], None]) -> None:
        self._take_update = take_update
        self._asked = asked
        self._note = note

    async def session_update(self, session_id: str, update: Any, **_meta: Any) -> None:
        """Handles updates in order of arrival."""
        self._take_update(session_id, update)

    async def request_permission(
        self, session_id: str, tool_call: ToolCallUpdate, options: list[PermissionOption], **_meta: Any
    ) -> RequestPermissionResponse:
        """Grants it; a cancelled turn's requests are answered as such."""
        del session_id
        kinds = {option.kind: option for option in reversed(options)}
        option = kinds.get("allow_always") or kinds.get("allow_once")
        if not self._asked(tool_call) or option is None:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        self._note(f"granted: {one_line(tool_call.title or tool_call.tool_call_id)}")
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=option.option_id))

    async def create_elicitation(self, message: str, mode: Any, **_meta: Any) -> DeclineElicitationResponse:
        """Declines the question: we never offered to answer."""
        del mode
        self._note(f"the agent asks {one_line(message)!r}: declined, because the run is unattended")
        return DeclineElicitationResponse(action="decline")

    async def complete_elicitation(self, elicitation_id: str, **_meta: Any) -> None:
        """Does nothing: a declined question needs no completion."""
