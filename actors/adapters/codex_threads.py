"""The other threads of a Codex app-server: whether Codex's own TUI has left the run's thread for one. Pure.

Codex does not report a TUI's thread. It tells all clients of a new thread, but of a thread loaded from disk only the
status. A TUI that goes to a loaded thread is noticed at its next message there.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.adapters.codex_protocol import Json, is_conversation


class Move(NamedTuple):
    """A thread to which the TUI has gone, or to which it has gone if that thread is a conversation."""

    thread_id: str
    is_certain: bool


class OtherThreads:
    """All threads but the run's, by their last reported status."""

    def __init__(self) -> None:
        self._statuses: dict[str, str] = {}

    def take(self, method: str, params: Json, *, ours: str) -> Move | None:
        """What a notification says of the TUI: a conversation that appears, or a thread that starts to work."""
        if method == "thread/started" and params["thread"]["id"] != ours:
            thread_id = params["thread"]["id"]
            self._statuses[thread_id] = "idle"
            return Move(thread_id, is_certain=True) if is_conversation(params["thread"]) else None
        if method == "thread/status/changed" and params["threadId"] != ours:
            status, before = params["status"]["type"], self._statuses.get(params["threadId"])
            self._statuses[params["threadId"]] = status
            if before is None or (status == "active" and before != "active"):
                return Move(params["threadId"], is_certain=False)
        return None
