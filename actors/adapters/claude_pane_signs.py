"""What Claude Code's TUI is known to have and to do, from its hooks, its transcript and its status file. Pure.

A plain object without I/O: signs come in, what is to be told comes out. The hooks tell that something happens, the
transcript what; either may be first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from actors.adapters.base import AgentEvent
from actors.adapters.claude_events import call_text, describe, limit_text, line
from actors.adapters.claude_pane_turn import identify, is_report, message_in
from actors.adapters.claude_transcript import Entry

IDLE = frozenset({"idle", "shell"})  # shell: a background command runs
SHOWN = frozenset({"user", "assistant", "system"})  # entries of the transcript that tell what happened


class SessionLeft(msgspec.Struct, frozen=True):
    """A person took the program to another session."""

    how: str  # as the program calls it


class BegunLate(msgspec.Struct, frozen=True):
    """A message that was to stop before it began has begun."""

    message_id: str


Sign = AgentEvent | SessionLeft | BegunLate


class Signs:
    """Of one program, and of its next run in the same session."""

    def __init__(self, session_id: str) -> None:
        self.ready = False  # its hook has come
        self.newest = ""  # the prompt that was begun last, "" when it was a person's
        self.permission = ""  # the call that the program asks a person's permission for, by its hook
        self.permission_tool = ""
        self._session_id = session_id
        self._busy = False  # by its hooks
        self._idle_since_s: float | None = None
        self._unseen: set[str] = set()  # submitted, and not yet in the transcript
        self._has: set[str] = set()  # the program says that it has these
        self._to_stop: set[str] = set()  # waited behind a prompt that was interrupted

    def restarted(self) -> None:
        """The program is started (again)."""
        self.ready = self._busy = False

    def submitted(self, message_id: str) -> None:
        """It is about to be typed."""
        self._unseen.add(message_id)

    def has(self, message_id: str) -> bool:
        """Whether the program says that it has this prompt."""
        return message_id in self._has

    def stop_when_begun(self, message_ids: Iterable[str]) -> None:
        """They wait behind a prompt that is interrupted."""
        self._to_stop |= set(message_ids)

    def idle_s(self, status: str, now_s: float) -> float | None:
        """For how long the program has had nothing to do; None: it works, or a menu is open. `status`: what it says of
        itself, "" when this version does not.
        """
        if not (status in IDLE if status else not self._busy):
            self._idle_since_s = None
            return None
        if self._idle_since_s is None:
            self._idle_since_s = now_s
        return now_s - self._idle_since_s

    def is_ours(self, event: Mapping[str, Any]) -> bool:
        """Whether a hook's event is of the run's own session."""
        return event.get("session_id") == self._session_id

    def hooked(self, event: Mapping[str, Any]) -> list[Sign]:
        """One call of our hook."""
        name = event.get("hook_event_name")
        if not self.is_ours(event):
            return [SessionLeft(str(event.get("source")))] if name == "SessionStart" else []
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
        """The next entry of the transcript."""
        signs = _shown(entry)
        if entry.get("type") == "queue-operation" and entry.get("operation") == "enqueue":
            # 2.1.197 calls the hook when it takes a message that was queued, not before.
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
