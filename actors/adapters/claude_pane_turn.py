"""The bookkeeping of one turn in Claude Code's TUI. Pure: transcript entries and signs in, an outcome out; no clock.

The transcript says how a turn ended, as it does after a crash; the TUI's state only says when to believe it. The TUI
knows no ids of ours, so each prompt begins with a line that names its own.
"""

from __future__ import annotations

import re
from typing import Any

from actors.adapters.claude_events import text_of
from actors.adapters.claude_transcript import Entry, Reading
from actors.messages import TurnOutcome

# The TUI marks longer pastes as such, and its model follows those only as far as typed words ask it to. So this line
# is typed. It also keeps a prompt's first character from being one that means something: / ! # @ ?.
_LINE = "[loop {}] Please do what the following says."
_OURS = re.compile(re.escape(_LINE).replace(r"\{\}", r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"))
_SHOWN = re.compile(r"\[loop[0-9a-f-]{36}\]")
_NOTIFICATION = "<task-notification>"

SETTLE_S = 0.3  # the next message that waits begins 30 ms after the end of a turn
WAITING_S = 3.0  # a message that was queued is taken at the latest when the turn is over
# An interrupted prompt that was not answered yet is taken back, and leaves no trace in the transcript.
TRACELESS_S = 2.5


def first_line(message_id: str) -> str:
    """What is typed before the prompt `message_id`."""
    return _LINE.format(message_id)


def message_in(text: str) -> str:
    """The id of ours in a prompt, "" when a person wrote it.

    Not only at its beginning: whatever a person or the TUI put before it, it is the message.
    """
    found = _OURS.search(text)
    return found[1] if found else ""


def shows_ours(box: str) -> bool:
    """Whether a prompt of ours is in what the input box shows, without blanks."""
    return _SHOWN.search(box) is not None


def is_report(text: str) -> bool:
    """Whether the prompt is the program's own: a background task has ended."""
    return text.lstrip().startswith(_NOTIFICATION)


def identify(entry: Entry) -> str:
    """The id of ours under which a user message was sent, or "" for any other entry."""
    if entry.get("isSidechain") or entry.get("isMeta"):
        return ""
    if entry.get("type") == "user":
        return message_in(text_of((entry.get("message") or {}).get("content")))
    attachment: Any = entry.get("attachment")
    if isinstance(attachment, dict) and attachment.get("type") == "queued_command":
        return message_in(text_of(attachment.get("prompt")))  # taken into a running turn
    return ""


class TuiTurn:
    """One turn of ours. Feed it each new entry, and ask for its outcome whenever something has happened."""

    def __init__(self, turn_id: str) -> None:
        self.turn_id = turn_id
        self.interrupting = False  # by us
        self.steered: set[str] = set()  # submitted, and not yet in the transcript
        self.reading: Reading | None = None  # None: the transcript has not got the prompt
        self._closed = False  # another prompt has begun

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
        """How the turn ended, None when it is not over. `idle_s`: how long the TUI has done nothing; None: it works."""
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
        return TurnOutcome(status="interrupted", text=reading.text, error="interrupted", usage=reading.usage)
