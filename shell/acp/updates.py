"""A run's events as session updates of the protocol: what is said, done, checked and waited for. No I/O.

An agent's tool call is open until its result comes, or until the agent does something else. A check is open until the
next one begins, or until something else happens: an error right after it is its failure.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeAlias

from acp import (
    start_tool_call,
    text_block,
    tool_content,
    update_agent_message_text,
    update_agent_thought_text,
    update_user_message_text,
)
from acp import update_tool_call as progress_of
from acp.schema import AgentMessageChunk, AgentThoughtChunk, ToolCallProgress, ToolCallStart, UserMessageChunk

from actors.messages import Progress
from shell import output

LONGEST_TITLE = 200
LONGEST_RESULT = 8_000  # characters of a tool's result; the run's log has the whole

Update: TypeAlias = AgentMessageChunk | AgentThoughtChunk | UserMessageChunk | ToolCallStart | ToolCallProgress


class Narrator:
    """The updates of one session, in order. `prefix` makes its ids of tool calls unique."""

    def __init__(self, prefix: str) -> None:
        self._ids = (f"{prefix}-{number}" for number in itertools.count(1))
        self._open: dict[str, str] = {}  # the tool call that runs, by agent
        self._check = ""
        self._check_ends = False

    def updates(self, progress: Progress) -> Iterator[Update]:
        """The updates of one event; none for what a client does not need."""
        who, text = output.shown(progress.agent), output.shown(progress.text.rstrip())
        if progress.kind in ("raw", "usage", "ready", "question", "seen"):
            return
        if progress.kind == "check":
            yield from self._end_check("completed")
            self._check = next(self._ids)
            yield _begun(self._check, text)
            return
        if self._check and progress.source == "run" and progress.kind == "error":
            yield from self._end_check("failed", text)
            return
        if self._check_ends:
            yield from self._end_check("completed")
        self._check_ends = bool(self._check) and progress.source == "run" and progress.kind == "status"
        if progress.kind == "tool-result" and who in self._open:
            yield _ended(self._open.pop(who), "completed", text)
            return
        yield from self._end_call(who)
        match progress.kind:
            case "tool":
                self._open[who] = next(self._ids)
                yield _begun(self._open[who], f"{who}: {text}")
            case "say":
                yield message(f"**{who}:** {text}")
            case "mail" | "limit" | "error" | "waits":
                yield message(f"_{text}_" if "\n" not in text else text)
            case "typed":
                yield update_user_message_text(f"{text}\n\n")
            case "session":
                yield update_agent_thought_text(f"{who}: session {text}\n")
            case _:
                yield update_agent_thought_text(f"{who}: {text}\n" if who else f"{text}\n")

    def end(self) -> Iterator[Update]:
        """The updates that end what is still open."""
        yield from self._end_check("completed")
        for who in list(self._open):
            yield from self._end_call(who)

    def call_id(self) -> str:
        """A new id, for a tool call of `loop` itself."""
        return next(self._ids)

    def _end_call(self, who: str) -> Iterator[Update]:
        if who in self._open:
            yield _ended(self._open.pop(who), "completed")

    def _end_check(self, status: str, text: str = "") -> Iterator[Update]:
        if self._check:
            yield _ended(self._check, status, text)
        self._check, self._check_ends = "", False


def message(text: str) -> Update:
    """A paragraph that the agent says."""
    return update_agent_message_text(f"{text}\n\n")


def _begun(call: str, text: str) -> Update:
    title = text.partition("\n")[0][:LONGEST_TITLE]
    return start_tool_call(call, title, kind="execute", status="in_progress")


def _ended(call: str, status: str, text: str = "") -> Update:
    shown = text if len(text) <= LONGEST_RESULT else f"{text[:LONGEST_RESULT]} …"
    content = [tool_content(text_block(shown))] if shown else None
    return progress_of(call, status="failed" if status == "failed" else "completed", content=content)
