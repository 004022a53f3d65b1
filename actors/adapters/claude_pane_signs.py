"""The known state of Claude Code's TUI, from its hooks, its transcript and its status file. Pure.

A plain object without I/O: signs come in, reports come out. The hooks show that something happens, the transcript what;
either may be first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from actors.adapters.base import AgentEvent
from actors.adapters.claude_events import call_text, describe, limit_text, line
from actors.adapters.claude_pane_money import Money
from actors.adapters.claude_pane_turn import identify, is_report, message_in
from actors.adapters.claude_reading import Entry

IDLE = frozenset({"idle", "shell"})  # shell: a background command runs
SHOWN = frozenset({"user", "assistant", "system"})  # entries of the transcript that show what happened


class SessionLeft(msgspec.Struct, frozen=True):
    """The user switched the program to another session."""

    how: str  # as the program calls it


class BegunLate(msgspec.Struct, frozen=True):
    """A message that was to be stopped before its start has started."""

    message_id: str


Sign = AgentEvent | SessionLeft | BegunLate


class Signs:
    """The signs of one program, and of its next run in the same session."""

    def __init__(self, session_id: str) -> None:
        self.ready = False  # its hook has come
        self.newest = ""  # the last started prompt, "" when it was the user's
        self.permission = ""  # the call that waits for the user's permission, by its hook
        self.permission_tool = ""
        self.money = Money()
        self._session_id = session_id
        self._busy = False  # by its hooks
        self._idle_since_s: float | None = None
        self._unseen: set[str] = set()  # submitted, and not yet in the transcript
        self._has: set[str] = set()  # the program has confirmed these
        self._to_stop: set[str] = set()  # waited behind an interrupted prompt

    def restarted(self) -> None:
        """The program is started (again)."""
        self.ready = self._busy = False

    def submitted(self, message_id: str) -> None:
        """The prompt is about to be typed."""
        self._unseen.add(message_id)

    def has(self, message_id: str) -> bool:
        """Whether the program has confirmed this prompt."""
        return message_id in self._has

    def stop_when_begun(self, message_ids: Iterable[str]) -> None:
        """Marks messages that wait behind an interrupted prompt."""
        self._to_stop |= set(message_ids)

    def idle_s(self, status: str, now_s: float) -> float | None:
        """How long the program has been idle; None: it works, or a menu is open. `status`: its own report, "" when this
        version has none.
        """
        if not (status in IDLE if status else not self._busy):
            self._idle_since_s = None
            return None
        if self._idle_since_s is None:
            self._idle_since_s = now_s
        return now_s - self._idle_since_s

    def is_ours(self, event: Mapping[str, Any]) -> bool:
        """Whether a hook's event belongs to the run's own session."""
        return event.get("session_id") == self._session_id

    def hooked(self, event: Mapping[str, Any]) -> list[Sign]:
        """Handles one call of our hook."""
        name = event.get("hook_event_name")
        if not self.is_ours(event):
            return [SessionLeft(str(event.get("source")))] if name == "SessionStart" else []
        if isinstance(cost := event.get("cost"), Mapping):
            self.money.told(cost)
        match name:
            case "SessionStart":
                self.ready = True
            case "UserPromptSubmit":
                return self._prompted(str(event.get("prompt") or ""))
            case "PermissionRequest":
                self.permission_tool = str(event.get("tool_name") or "a tool")
                self.permission = line(call_text(self.permission_tool, event.get("tool_input")))
            case "Stop" | "StopFailure":
                self._busy = False
                self.permission = ""
                self.money.stopped()
        return []

    def _prompted(self, text: str) -> list[Sign]:
        self._busy = True
        self._idle_since_s = None
        message_id = message_in(text)
        if message_id in self._unseen:
            self._has.add(message_id)
            return []
        return [] if is_report(text) else [AgentEvent(kind="typed", text=text.strip())]

    def entered(self, entry: Entry) -> list[Sign]:
        """Handles the next entry of the transcript."""
        signs = _shown(entry)
        if entry.get("type") == "queue-operation" and entry.get("operation") == "enqueue":
            # 2.1.197 calls the hook when it accepts a queued message, not before.
            self._has |= {message_in(str(entry.get("content")))} & self._unseen
        if entry.get("toolUseResult") is not None:
            self.permission = ""
        who = identify(entry)
        if entry.get("type") == "user" and entry.get("promptSource"):
            self.newest = who
        if who in self._to_stop and entry.get("type") == "user":
            self._to_stop.discard(who)
            signs.append(BegunLate(who))
        if who in self._unseen:
            self._unseen.discard(who)
            self._has.add(who)
            signs.append(AgentEvent(kind="seen", message_id=who))
        return signs


def _shown(entry: Entry) -> list[Sign]:
    if entry.get("type") not in SHOWN:
        return []
    signs: list[Sign] = [AgentEvent(kind="raw", raw=json.dumps(entry, ensure_ascii=False))]
    if (entry.get("message") or {}).get("model") != "<synthetic>" or entry.get("isApiErrorMessage"):
        signs += describe(entry)
    if entry.get("quotaLimits"):
        signs.append(AgentEvent(kind="limit", text=limit_text(entry["quotaLimits"])))
    return signs
