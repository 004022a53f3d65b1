"""The turn ledger: a prompt is submitted once. Pure.

    intended -> submitted -> running -> settled (finished | failed | interrupted | limited)

*Intended*: journalled, certainly not sent. *Submitted*: journalled just before it is handed to the agent under
`message_id`, so it may or may not have arrived. *Running*: there is evidence that the agent has it. After any crash
the agent's own transcript is asked about each submitted or running entry (`next_action` says `Look`), and `found`
turns the answer into the event that follows: absent -> intended again; finished -> its result is taken; unfinished, or
absent although it was seen -> *cut*: it goes on under a new message id, with a note that it was cut short.

A message (of the peer or of a person) may also be steered into a turn that is already running (its `carrier`); it
then settles with that turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from actors.errors import IllegalEventError
from actors.messages import FoundTurn, Purpose, TurnOutcome, Usage

# An agent that dies this often over one and the same turn does not have bad luck: the turn itself kills it.
MAX_TRIES = 6

# The bridge has one delivery in flight per recipient, so only the last settled mail can come again. Some more are
# kept; not all of them, because the cost of a mail must stay flat over 100,000 of them.
MAIL_MEMORY = 64


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the ledger's events."""


class SessionBegan(_Event, frozen=True, kw_only=True):
    """The agent's session has this id. Durable before the first prompt is sent."""

    session_id: str


class TurnIntended(_Event, frozen=True, kw_only=True):
    """A turn is to be run; it certainly has not been sent."""

    turn_id: str
    purpose: Purpose
    prompt: str
    model: str = ""


class TurnSubmitted(_Event, frozen=True, kw_only=True):
    """It is about to be handed to the agent as user message `message_id`, alone or into the running `carrier`."""

    turn_id: str
    message_id: str
    carrier: str = ""


class TurnSeen(_Event, frozen=True, kw_only=True):
    """Evidence that the agent has the user message."""

    turn_id: str


class TurnReturned(_Event, frozen=True, kw_only=True):
    """It was not taken: the agent's transcript does not have it. It waits again."""

    turn_id: str


class TurnWithdrawn(_Event, frozen=True, kw_only=True):
    """A message that was never handed over and now will not be: whoever brought it may bring it again."""

    turn_id: str


class TurnCut(_Event, frozen=True, kw_only=True):
    """The agent had it but did not finish it; it goes on under `next_message_id`.

    `remembered`: it stands in the agent's transcript. Not so when the agent was killed before it had written down
    what it had already begun (Claude Code writes 50-150 ms late): the next message then gives the prompt again.
    """

    turn_id: str
    next_message_id: str
    remembered: bool = True


class TurnConcluded(_Event, frozen=True, kw_only=True):
    """It is over."""

    turn_id: str
    outcome: TurnOutcome


Event = SessionBegan | TurnIntended | TurnSubmitted | TurnSeen | TurnReturned | TurnWithdrawn | TurnCut | TurnConcluded
EVENTS: tuple[type[_Event], ...] = (
    SessionBegan,
    TurnIntended,
    TurnSubmitted,
    TurnSeen,
    TurnReturned,
    TurnWithdrawn,
    TurnCut,
    TurnConcluded,
)

Status = Literal["intended", "submitted", "running"]

# event -> the statuses in which it is legal. TurnIntended and SessionBegan do not act on an entry.
TRANSITIONS: Mapping[type[_Event], tuple[Status, ...]] = MappingProxyType(
    {
        TurnSubmitted: ("intended",),
        TurnSeen: ("submitted", "running"),
        TurnReturned: ("submitted", "running"),
        TurnWithdrawn: ("intended",),
        TurnCut: ("submitted", "running"),
        TurnConcluded: ("intended", "submitted", "running"),
    }
)


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


# Turns that bring somebody's message, and that the run does not wait for.
MESSAGES: frozenset[Purpose] = frozenset({"mail", "human"})

# A verdict must be the last thing that a reviewer says: mail waits for the end of such a turn.
UNDISTURBED: frozenset[Purpose] = frozenset({"review", "plan-review"})


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Open turns in order of intention, how the run's own turns ended, and the last messages that were settled.

    `turns` counts all that have settled as turns of their own, and `spent` is what they cost together.
    """

    session_id: str = ""
    open: dict[str, Entry] = {}
    settled: dict[str, TurnOutcome] = {}
    settled_mail: tuple[str, ...] = ()
    turns: int = 0
    spent: Usage = Usage()


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """Order: journal `TurnSubmitted`, then hand the prompt (or, after a cut, a continuation) to the agent."""

    entry: Entry


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Order: ask the agent's transcript about the entry's message id, and journal what `found` makes of it."""

    entry: Entry


def knows(ledger: Ledger, turn_id: str) -> bool:
    """Whether the turn was ever intended: asking for it again must change nothing."""
    return turn_id in ledger.open or is_settled(ledger, turn_id)


def is_settled(ledger: Ledger, turn_id: str) -> bool:
    """Whether the turn is over."""
    return turn_id in ledger.settled or turn_id in ledger.settled_mail


def apply(ledger: Ledger, event: _Event) -> Ledger:
    """The ledger after the event. Raises `IllegalEventError`, changing nothing, when the entry does not allow it."""
    if isinstance(event, SessionBegan):
        return msgspec.structs.replace(ledger, session_id=event.session_id)
    if isinstance(event, TurnIntended):
        if knows(ledger, event.turn_id):
            raise IllegalEventError(f"turn {event.turn_id} is intended twice")
        entry = Entry(
            turn_id=event.turn_id,
            purpose=event.purpose,
            prompt=event.prompt,
            model=event.model,
            message_id=event.turn_id,
        )
        return msgspec.structs.replace(ledger, open={**ledger.open, event.turn_id: entry})
    entry = _entry(ledger, event)
    match event:
        case TurnSubmitted():
            changed = msgspec.structs.replace(
                entry,
                status="submitted",
                message_id=event.message_id,
                carrier=event.carrier,
                tries=entry.tries + (0 if event.carrier else 1),
            )
        case TurnSeen():
            changed = msgspec.structs.replace(entry, status="running")
        case TurnWithdrawn():
            still_open = {turn_id: other for turn_id, other in ledger.open.items() if turn_id != entry.turn_id}
            return msgspec.structs.replace(ledger, open=still_open)
        case TurnReturned():
            changed = msgspec.structs.replace(entry, status="intended", carrier="")
        case TurnCut():
            changed = msgspec.structs.replace(
                entry,
                status="intended",
                carrier="",
                message_id=event.next_message_id,
                remembered=event.remembered,
                cuts=entry.cuts + 1,
            )
        case TurnConcluded():
            return _settle(ledger, entry, event.outcome)
        case _:
            raise IllegalEventError(f"{type(event).__name__} is no event of the turn ledger")
    return msgspec.structs.replace(ledger, open={**ledger.open, entry.turn_id: changed})


def next_action(ledger: Ledger) -> Send | Look | None:
    """What to do when nothing runs in the session: first clear up what may have been sent, then send the oldest."""
    doubtful = [entry for entry in ledger.open.values() if entry.status != "intended"]
    if doubtful:
        return Look(entry=doubtful[0])
    waiting = next(iter(ledger.open.values()), None)
    return None if waiting is None else Send(entry=waiting)


def may_carry(ledger: Ledger, turn_id: str) -> bool:
    """Whether mail may be steered into this running turn."""
    entry = ledger.open.get(turn_id)
    return entry is not None and entry.purpose not in UNDISTURBED


def found(entry: Entry, answer: FoundTurn, next_message_id: str, *, left_alone: bool = False) -> _Event:
    """What the agent's transcript says of a submitted or running entry, as the event that follows.

    `left_alone`: it was steered into a turn that is over, and the program that had it is gone. If it came too late for
    that turn (Claude Code then begins another one with it), nobody will bring it to an end but a continuation.
    """
    if answer.state == "finished" and answer.outcome is not None and not entry.carrier:
        return TurnConcluded(turn_id=entry.turn_id, outcome=answer.outcome)
    if entry.carrier and answer.state != "absent" and not (left_alone and answer.state == "unfinished"):
        # The agent has the mail. Whether its carrier finished is the carrier's affair.
        return TurnConcluded(turn_id=entry.turn_id, outcome=TurnOutcome(status="finished"))
    if entry.tries >= MAX_TRIES:
        error = f"the agent was lost {entry.tries} times during this turn"
        return TurnConcluded(turn_id=entry.turn_id, outcome=TurnOutcome(status="failed", error=error))
    if answer.state == "absent" and (entry.status == "submitted" or entry.carrier):
        return TurnReturned(turn_id=entry.turn_id)
    return TurnCut(turn_id=entry.turn_id, next_message_id=next_message_id, remembered=answer.state != "absent")


def _entry(ledger: Ledger, event: _Event) -> Entry:
    turn_id = getattr(event, "turn_id", "")
    entry = ledger.open.get(turn_id)
    status = "settled" if is_settled(ledger, turn_id) else "unknown"
    if entry is None or entry.status not in TRANSITIONS.get(type(event), ()):
        raise IllegalEventError(
            f"{type(event).__name__} for turn {turn_id!r}, which is {entry.status if entry else status}"
        )
    return entry


def _settle(ledger: Ledger, entry: Entry, outcome: TurnOutcome) -> Ledger:
    after = msgspec.structs.replace(
        ledger,
        open={turn_id: other for turn_id, other in ledger.open.items() if turn_id != entry.turn_id},
        turns=ledger.turns + (not entry.carrier),
        spent=_sum(ledger.spent, outcome.usage),
    )
    if entry.purpose in MESSAGES:
        return msgspec.structs.replace(after, settled_mail=(*ledger.settled_mail, entry.turn_id)[-MAIL_MEMORY:])
    return msgspec.structs.replace(after, settled={**ledger.settled, entry.turn_id: outcome})


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cost_usd=one.cost_usd + other.cost_usd,
    )
