"""The bookkeeping of one turn in Claude Code's TUI. Pure: transcript entries and signs in, an outcome out; no clock.

The transcript shows how a turn ended, as after a crash; the TUI's state shows only when to trust it. The TUI does not
know our ids, so each prompt begins with a line that contains its id.
"""

from __future__ import annotations

import re
from typing import Any

from actors.adapters.claude_events import text_of
from actors.adapters.claude_reading import Entry, Reading
from actors.messages import TurnOutcome

# The TUI marks longer pastes as such, and its model follows them only as far as typed words ask it to. So this line is
# typed. It also keeps special characters from the start of a prompt: / ! # @ ?.
_LINE = "[loop {}] Please do what the following says."
_OURS = re.compile(re.escape(_LINE).replace(r"\{\}", r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"))
_SHOWN = re.compile(r"\[loop[0-9a-f-]{36}\]")
_NOTIFICATION = "<task-notification>"

SETTLE_S = 0.3  # the next waiting message starts 30 ms after the end of a turn
WAITING_S = 3.0  # a queued message is accepted at the end of the turn at the latest
# An interrupted prompt without an answer is withdrawn, and leaves no trace in the transcript.
TRACELESS_S = 2.5


def first_line(message_id: str) -> str:
    """The typed line before the prompt `message_id`."""
    return _LINE.format(message_id)


def message_in(text: str) -> str:
    """Our id in a prompt, "" when the user wrote it.

    Searches the whole prompt: the user or the TUI may have added text before the id.
    """
    found = _OURS.search(text)
    return found[1] if found else ""


def shows_ours(box: str) -> bool:
    """Whether the input box's text without blanks contains a prompt of ours."""
    return _SHOWN.search(box) is not None


def is_report(text: str) -> bool:
    """Whether the prompt is the program's own: a background task has ended."""
    return text.lstrip().startswith(_NOTIFICATION)


def identify(entry: Entry) -> str:
    """Our id of a user message, or "" for any other entry."""
    if entry.get("isSidechain") or entry.get("isMeta"):
        return ""
    if entry.get("type") == "user":
        return message_in(text_of((entry.get("message") or {}).get("content")))
    attachment: Any = entry.get("attachment")
    if isinstance(attachment, dict) and attachment.get("type") == "queued_command":
        return message_in(text_of(attachment.get("prompt")))  # taken into a running turn
    return ""


class TuiTurn:
    """One turn of ours. Feed it each new entry, and get its outcome whenever something has happened."""

    def __init__(self, turn_id: str) -> None:
        self.turn_id = turn_id
        self.interrupting = False  # by us
        self.steered: set[str] = set()  # submitted, and not yet in the transcript
        self.reading: Reading | None = None  # None: the transcript lacks the prompt
        self._closed = False  # another prompt has started

    def take(self, entry: Entry) -> None:
        """Notes the next entry of the transcript."""
        who = identify(entry)
        self.steered.discard(who)
        if self.reading is None:
            if who == self.turn_id:
                self.reading = Reading()
        elif not self._closed:
            self._closed = not self.reading.take(entry)

    @property
    def tasks(self) -> int:
        """How many background tasks keep it open."""
        return len(self.reading.tasks) if self.reading else 0

    @property
    def limited(self) -> bool:
        """Whether a usage limit is its last word."""
        outcome = self.reading.outcome() if self.reading else None
        return outcome is not None and outcome.status == "limited"

    def outcome(self, idle_s: float | None) -> TurnOutcome | None:
        """How the turn ended, None when it is not over. `idle_s`: how long the TUI has been idle; None: it works."""
        reading = self.reading
        if reading is None:
            return None
        outcome = reading.outcome()
        if outcome is not None:
            needed_s = WAITING_S if self.steered else SETTLE_S
            over = (self._closed and not self.steered) or (idle_s is not None and idle_s >= needed_s)
            return outcome if over else None
        if reading.interrupted or self._closed:
            return self._cut(reading)
        if idle_s is None or (reading.tasks and not self.interrupting):
            return None
        return self._cut(reading) if idle_s >= (SETTLE_S if reading.tasks else TRACELESS_S) else None

    def _cut(self, reading: Reading) -> TurnOutcome:
        return TurnOutcome(
            status="interrupted", text=reading.text, error="interrupted", usage=reading.usage, model=reading.model
        )
