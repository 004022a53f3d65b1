"""What a session knows of its turns (`actors.machines.turn`): open entries, settled ones, the cost of both. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from actors.machines.turn_events import Status
from actors.messages import ROLE_PROMPT, Purpose, TurnOutcome, Usage

# The bridge has one delivery in flight per recipient, so only the last settled mail can come again. Some more are
# kept; not all of them, because the cost of a mail must stay flat over 100,000 of them.
MAIL_MEMORY = 64

# Turns that bring a message, and that the run does not wait for.
MESSAGES: frozenset[Purpose] = frozenset({"mail", "human"})

# Purposes that only the session itself resumes.
ITS_OWN_AFFAIR: frozenset[Purpose] = MESSAGES | {ROLE_PROMPT}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One open turn. `message_id` is the user-message id under which it was, or will be, sent."""

    turn_id: str
    purpose: Purpose
    prompt: str
    model: str
    message_id: str
    status: Status = "intended"
    carrier: str = ""
    remembered: bool = True  # as of the last cut
    cuts: int = 0  # how often it was cut: after the first, a continuation is sent instead of the prompt
    tries: int = 0  # how often it was handed over as a turn of its own
    continues: str = ""
    reminder: str = ""
    typed: bool = False  # the answer of a review, as JSON where the agent can be bound to a schema
    texts: Mapping[str, str] = {}  # as in `TurnIntended`
    moved: bool = False  # into a new session
    deferrals: int = 0
    waiting_since_ms: int = 0  # of the first deferral, Unix ms
    not_before_ms: int = 0  # Unix ms
    began_ms: int = 0  # when it was first handed over, Unix ms; 0: not yet, or unknown
    within_ms: int = 0  # as in `TurnIntended`
    silences: int = 0  # how many times in a row it was interrupted because nothing was heard
    command: str = ""  # as in `TurnSubmitted`
    spent: Usage = Usage()  # of this attempt, as far as it was reported
    spent_before: Usage = Usage()  # of the attempts before it


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of a turn that nothing outside the session waits for."""

    turn_id: str
    purpose: Purpose
    model: str  # "" = the session's own
    usage: Usage


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Open turns in order of intention, how the run's own turns ended, and the last messages that were settled.

    `turns` counts all that have settled as turns of their own; `spent` is their total cost. `costs` has the last
    `MAIL_MEMORY` of the session's own turns: their receiver may have missed them.
    """

    session_id: str = ""
    full: bool = False  # the session is: the next one is new
    lost: bool = False  # the session before this one was, and nothing is finished since
    standing: frozenset[str] = frozenset()  # ids of the run's unfinished turns in this session
    open: dict[str, Entry] = {}
    settled: dict[str, TurnOutcome] = {}
    settled_mail: tuple[str, ...] = ()
    turns: int = 0
    spent: Usage = Usage()
    costs: tuple[Cost, ...] = ()
    answered: str = ""  # id of the last user message that the agent certainly answered in this session
    account: int = 0  # the agent's account in use
    moves: int = 0  # how many times in a row a turn of the run was moved out of a full session, and none finished
    used_up: dict[int, int] = {}  # accounts that cannot work, until then, Unix ms


def knows(ledger: Ledger, turn_id: str) -> bool:
    """Whether the turn was ever intended: a repeated request for it changes nothing."""
    return turn_id in ledger.open or is_settled(ledger, turn_id)


def is_settled(ledger: Ledger, turn_id: str) -> bool:
    """Whether the turn is over."""
    return turn_id in ledger.settled or turn_id in ledger.settled_mail


def sent_as(ledger: Ledger, message_id: str) -> Entry | None:
    """The open entry that was, or will be, sent under this user-message id."""
    return next((entry for entry in ledger.open.values() if entry.message_id == message_id), None)
