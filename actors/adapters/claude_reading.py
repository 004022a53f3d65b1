"""Reads entries of Claude Code's own transcript: the fate of our messages, and how a turn ended. Pure.

claude_transcript.py reads the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from actors.adapters.base import FoundTurn
from actors.adapters.claude_events import TOLD, as_answer, refused, text_of, usage_of
from actors.adapters.shapes import UNKNOWN_SHAPE, as_text
from actors.machines.usage import together
from actors.messages import TurnOutcome, Usage

Entry = Mapping[str, Any]

_INTERRUPTED = "[Request interrupted by user"
_NOTIFICATION = "<task-notification>"
_TASK_ID = re.compile(r"<task-id>(.*?)</task-id>")
# The program does not report a task that was stopped on purpose.
_STOPPED = re.compile(r"<status>(?:killed|stopped)</status>")


def message_id(entry: Entry) -> str:
    """The id of a sent user message, or "" for any other entry."""
    if entry.get("isSidechain"):
        return ""
    if entry.get("type") == "user":
        return str(entry.get("uuid") or "")
    attachment = entry.get("attachment")
    if isinstance(attachment, Mapping) and attachment.get("type") == "queued_command":
        return str(attachment.get("source_uuid") or "")  # steered into a running turn
    return ""


# Returns the id of an entry's message, or "".
Identify = Callable[[Entry], str]


def find(entries: Iterable[Entry], wanted: str, identify: Identify = message_id) -> FoundTurn:
    """The fate of the message `wanted`.

    finished: the model's last message after it ends the turn (or reports the API's refusal), and nothing later revokes
    that: an interruption, an open background task, an unanswered report. The next prompt ends the search, unless
    background tasks of the turn were running then.
    """
    reading: Reading | None = None
    for entry in entries:
        if reading is None:
            reading = Reading() if identify(entry) == wanted else None
        elif not reading.take(entry):
            break
    if reading is None:
        return FoundTurn(state="absent")
    outcome = reading.outcome()
    return FoundTurn(state="finished" if outcome else "unfinished", outcome=outcome)


class Reading:
    """One pass over a turn's entries, from the one after its prompt."""

    def __init__(self) -> None:
        self.interrupted = False  # the newest message of it
        self.shells: set[str] = set()  # background commands that run; a part of `tasks`
        self._last: Entry | None = None  # the message that ended the turn, if one did
        self._newest: Entry | None = None  # the model's newest message
        self._typed = ""  # the answer in the form of a schema, which ends the turn
        self._untyped = ""  # the answer before the program has asked for that form
        self._text: dict[str, str] = {}  # API message id → its text; one message is several entries
        self._usages: dict[str, Usage] = {}
        self.model = ""  # that has answered last
        self.tasks: set[str] = set()  # background tasks that run
        self._report_due = False

    def take(self, entry: Entry) -> bool:
        """Notes the next entry; skips unknown shapes. False: it starts another turn."""
        try:
            return self._take(entry)
        except UNKNOWN_SHAPE:
            return True

    def _take(self, entry: Entry) -> bool:
        if entry.get("isSidechain"):
            return True
        match entry.get("type"):
            case "assistant":
                self._assistant(entry)
            case "user":
                return self._user(entry)
            case "attachment" if (entry.get("attachment") or {}).get("type") == "structured_output":
                self._typed, self._last = as_answer(entry["attachment"]["data"]), self._newest
            case "queue-operation" if entry.get("operation") == "enqueue":
                self._report(str(entry.get("content") or ""))
        return True

    def _assistant(self, entry: Entry) -> None:
        message = entry.get("message") or {}
        failed = bool(entry.get("isApiErrorMessage"))
        if message.get("model") == "<synthetic>" and not failed:
            return  # on resuming, the program closes an unfinished turn with its own text
        key = str(message.get("id"))
        self._text[key] = "\n".join(filter(None, (self._text.get(key), text_of(message.get("content")))))
        self._usages[key] = usage_of(message.get("usage"))
        self.model = self.model if failed else as_text(message.get("model") or "")
        over = failed or message.get("stop_reason") not in {None, "tool_use", "pause_turn"}
        self._last = entry if over else None
        self._newest, self._typed = entry, ""
        self.interrupted = False
        if over:
            self._report_due = False

    def _user(self, entry: Entry) -> bool:
        content = (entry.get("message") or {}).get("content")
        if isinstance(content, list) and any(block.get("type") == "tool_result" for block in content):
            self._task_started(entry.get("toolUseResult"))
            return True
        text = text_of(content).lstrip()
        if text.startswith(_INTERRUPTED):
            self._last = None
            self.interrupted = True
            return True
        if text.startswith(TOLD) and entry.get("isMeta"):
            self._untyped = self._untyped or self.text
            return True
        # Reports of background tasks, reminders and summaries are the program's own, not prompts.
        if text.startswith(_NOTIFICATION) or entry.get("isMeta") or entry.get("isCompactSummary"):
            return True
        return bool(self.tasks or self._report_due)  # then it was steered into a turn that continued

    def _task_started(self, result: Any) -> None:
        if isinstance(result, Mapping):
            shell = result.get("backgroundTaskId")
            if shell:
                self.shells.add(str(shell))
            started = shell or (result.get("isAsync") and result.get("agentId"))
            if started:
                self.tasks.add(str(started))

    def _report(self, text: str) -> None:
        if text.startswith(_NOTIFICATION):
            self.tasks -= set(_TASK_ID.findall(text))
            self.shells &= self.tasks
            self._report_due = _STOPPED.search(text) is None

    @property
    def usage(self) -> Usage:
        """The usage so far. The transcript has no costs."""
        return together(self._usages.values())

    @property
    def text(self) -> str:
        """The newest message."""
        return next(reversed(self._text.values()), "")

    @property
    def waits_for_tasks(self) -> bool:
        """Whether only background tasks keep the turn open."""
        return self._last is not None and bool(self.tasks)

    @property
    def only_shells_left(self) -> bool:
        """Whether nothing but background commands keeps the turn open."""
        return self._last is not None and bool(self.tasks) and self.tasks == self.shells

    def leave_tasks(self) -> None:
        """Stops waiting for the background tasks."""
        self.tasks.clear()
        self.shells.clear()
        self._report_due = False

    def outcome(self) -> TurnOutcome | None:
        """How the turn ended, or None when it did not."""
        last = self._last
        if last is None or self.tasks or self._report_due:
            return None
        usage = self.usage
        text = self._text[str((last.get("message") or {}).get("id"))]
        if not last.get("isApiErrorMessage"):
            text = self._typed or self._untyped or text
            return TurnOutcome(status="finished", text=text, usage=usage, model=self.model)
        error = " ".join(text.split())
        return refused(
            error,
            kind=str(last.get("error") or ""),
            status=last.get("apiErrorStatus"),
            resets_at_s=(last.get("quotaLimits") or {}).get("resetsAt"),
            usage=usage,
        )
