"""The turn ledger: a prompt is submitted once. Pure.

    intended -> submitted -> running -> settled (finished | failed | interrupted | limited)

*Intended*: journalled, certainly not sent. *Submitted*: journalled just before it is handed to the agent under
`message_id`, so it may or may not have arrived. *Running*: there is evidence that the agent has it. After a crash, each
submitted or running entry is looked up in the agent's own transcript (`next_action` returns `Look`). `found` turns the
answer into an event. Absent -> intended again; finished -> its result counts; unfinished, or absent although it was
seen -> *cut*: it continues under a new message id, with a note that it was cut short.

A turn that ended through no fault of the work resumes in the same way: as a continuation, never as its prompt. The run
machine resumes the run's own turns, under a new turn id that `continues` the old one. A message is *deferred* here
until its provider may be available. A turn whose session is full is *moved* into a new session, once, with a prompt
that hands the work over. A turn that continues it may be moved, too, e.g. after a limit in the new session, but only
`MOST_MOVES` times in a row without a finished turn of the run. Then the session has *given up*, and the run decides.

A message (of the peer or the user) may also be steered into a running turn (its `carrier`); it then settles with that
turn.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from actors.errors import IllegalEventError
from actors.machines import backoff, continuations, usage
from actors.machines.turn_events import EVENTS as EVENTS
from actors.machines.turn_events import TRANSITIONS as TRANSITIONS
from actors.machines.turn_events import AccountChosen as AccountChosen
from actors.machines.turn_events import Event as Event
from actors.machines.turn_events import LedgerEvent as LedgerEvent
from actors.machines.turn_events import SessionBegan as SessionBegan
from actors.machines.turn_events import SessionTurnSettled as SessionTurnSettled
from actors.machines.turn_events import Status as Status
from actors.machines.turn_events import TurnCut as TurnCut
from actors.machines.turn_events import TurnDeferred as TurnDeferred
from actors.machines.turn_events import TurnHandedOver as TurnHandedOver
from actors.machines.turn_events import TurnIntended as TurnIntended
from actors.machines.turn_events import TurnMoved as TurnMoved
from actors.machines.turn_events import TurnReturned as TurnReturned
from actors.machines.turn_events import TurnSeen as TurnSeen
from actors.machines.turn_events import TurnSpent as TurnSpent
from actors.machines.turn_events import TurnSubmitted as TurnSubmitted
from actors.machines.turn_events import TurnWithdrawn as TurnWithdrawn
from actors.messages import ROLE_PROMPT, FoundTurn, Purpose, TurnOutcome, Usage

# An agent that dies this often in the same turn is killed by the turn itself.
MAX_TRIES = 6

# Full sessions in a row that were replaced, before the run is told that this does not help.
MOST_MOVES = 3

# The bridge has one delivery in flight per recipient, so only the last settled mail can come again. Some more are
# kept; not all of them, because the cost of a mail must stay flat over 100,000 of them.
MAIL_MEMORY = 64


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


# Turns that bring a message, and that the run does not wait for.
MESSAGES: frozenset[Purpose] = frozenset({"mail", "human"})

# Purposes that only the session itself resumes.
_ITS_OWN_AFFAIR: frozenset[Purpose] = MESSAGES | {ROLE_PROMPT}

# A verdict must be a reviewer's last words: mail waits for the end of such a turn.
UNDISTURBED: frozenset[Purpose] = frozenset({"review", "plan-review"})


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


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """Order: journal `TurnSubmitted`, then hand the prompt (or, after a cut, a continuation) to the agent."""

    entry: Entry


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Order: look the entry's message id up in the agent's transcript, and journal the event that `found` gives."""

    entry: Entry


def knows(ledger: Ledger, turn_id: str) -> bool:
    """Whether the turn was ever intended: a repeated request for it changes nothing."""
    return turn_id in ledger.open or is_settled(ledger, turn_id)


def is_settled(ledger: Ledger, turn_id: str) -> bool:
    """Whether the turn is over."""
    return turn_id in ledger.settled or turn_id in ledger.settled_mail


def sent_as(ledger: Ledger, message_id: str) -> Entry | None:
    """The open entry that was, or will be, sent under this user-message id."""
    return next((entry for entry in ledger.open.values() if entry.message_id == message_id), None)


def apply(ledger: Ledger, event: LedgerEvent) -> Ledger:
    """The ledger after the event. Raises `IllegalEventError`, changing nothing, when the entry does not allow it."""
    if isinstance(event, SessionBegan):
        return msgspec.structs.replace(
            _begin_session(ledger, event.session_id), lost=ledger.lost or event.replaces_lost
        )
    if isinstance(event, AccountChosen):
        used_up = {**ledger.used_up, event.used_up: event.until_ms}
        return msgspec.structs.replace(ledger, account=event.account, used_up=used_up)
    if isinstance(event, TurnIntended):
        if knows(ledger, event.turn_id):
            raise IllegalEventError(f"turn {event.turn_id} is intended twice")
        entry = Entry(
            turn_id=event.turn_id,
            purpose=event.purpose,
            prompt=event.prompt,
            model=event.model,
            message_id=event.turn_id,
            continues=event.continues,
            reminder=event.reminder,
            within_ms=event.within_ms,
            typed=event.typed,
            texts=event.texts,
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
                began_ms=entry.began_ms or (0 if event.carrier else event.at_ms),
                command=event.command,
                spent=Usage(),
                spent_before=usage.together([entry.spent_before, entry.spent]),
            )
        case TurnSeen():
            changed = msgspec.structs.replace(entry, status="running")
        case TurnSpent():
            changed = msgspec.structs.replace(entry, spent=event.usage)
        case TurnWithdrawn():
            still_open = {turn_id: other for turn_id, other in ledger.open.items() if turn_id != entry.turn_id}
            return msgspec.structs.replace(ledger, open=still_open)
        case TurnReturned():
            changed = _waits_again(entry, entry.message_id)
        case TurnCut():
            changed = msgspec.structs.replace(
                _waits_again(entry, event.next_message_id),
                remembered=event.remembered,
                cuts=entry.cuts + 1,
                silences=event.silences or entry.silences,
            )
        case TurnDeferred():
            changed = msgspec.structs.replace(
                _waits_again(entry, event.next_message_id),
                remembered=event.remembered,
                cuts=entry.cuts + 1,
                tries=0,  # the agent was not lost
                deferrals=entry.deferrals + 1,
                waiting_since_ms=entry.waiting_since_ms or event.at_ms,
                not_before_ms=event.not_before_ms,
            )
        case TurnMoved():
            was_full = not event.silences and entry.purpose not in _ITS_OWN_AFFAIR
            ledger = msgspec.structs.replace(ledger, full=True, moves=ledger.moves + was_full)
            changed = _in_new_session(entry, event)
            changed = msgspec.structs.replace(changed, moved=True, silences=event.silences or entry.silences)
        case TurnHandedOver():
            changed = msgspec.structs.replace(_in_new_session(entry, event), remembered=True)
        case SessionTurnSettled():
            return _settle(ledger, entry, event.outcome, remembered=event.remembered)
        case _:
            raise IllegalEventError(f"{type(event).__name__} is no event of the turn ledger")
    return msgspec.structs.replace(ledger, open={**ledger.open, entry.turn_id: changed})


def _waits_again(entry: Entry, message_id: str) -> Entry:
    """The entry, to be submitted under this id."""
    return msgspec.structs.replace(entry, status="intended", carrier="", message_id=message_id)


def _in_new_session(entry: Entry, event: TurnMoved | TurnHandedOver) -> Entry:
    """The entry with the prompt for another session, in which nothing was tried."""
    entry = _waits_again(entry, event.next_message_id)
    return msgspec.structs.replace(entry, prompt=event.prompt, cuts=0, tries=0, continues="")


def text_of(ledger: Ledger, entry: Entry) -> str:
    """The text for the agent under the entry's message id."""
    text = _text_of(ledger, entry)
    return continuations.with_unknown(text, entry.command) if entry.command else text


def was_cut(entry: Entry) -> bool:
    """Whether the agent may have worked on it before: it continues, here or in a new session."""
    return bool(entry.cuts) or entry.message_id != entry.turn_id


def _text_of(ledger: Ledger, entry: Entry) -> str:
    if entry.cuts:
        if not entry.remembered:
            why, template = (
                continuations.SILENT if entry.silences else continuations.UNFINISHED,
                entry.texts.get("continuation", ""),
            )
            return continuations.continuation(entry.prompt, why=why, template=template)
        why = continuations.SILENT if entry.silences else continuations.ENDED_EARLY
        is_quoted, template = entry.purpose in {"mail", "human"}, entry.texts.get("reminder", "")
        return continuations.reminder(entry.prompt, why=why, quoted=is_quoted, template=template)
    if entry.reminder and entry.continues in ledger.standing:
        return entry.reminder
    return entry.prompt


def next_action(ledger: Ledger, now_ms: int | None = None) -> Send | Look | None:
    """The next action when nothing runs in the session: first resolve what may have been sent, then send the oldest
    entry that need not wait (without `now_ms`, no entry waits).
    """
    doubtful = [entry for entry in ledger.open.values() if entry.status != "intended"]
    if doubtful:
        return Look(entry=doubtful[0])
    waiting = (entry for entry in ledger.open.values() if now_ms is None or entry.not_before_ms <= now_ms)
    oldest = next(waiting, None)
    return None if oldest is None else Send(entry=oldest)


def next_alarm_ms(ledger: Ledger, now_ms: int) -> int | None:
    """When the first deferred entry is due, Unix ms."""
    return min((each.not_before_ms for each in ledger.open.values() if each.not_before_ms > now_ms), default=None)


def deferred_until_ms(
    entry: Entry, outcome: TurnOutcome, now_ms: int, *, retry_ms: int, max_wait_ms: int | None
) -> int | None:
    """When a message (or role prompt) whose turn ended this way is resent, Unix ms. None: it is over."""
    if entry.purpose not in _ITS_OWN_AFFAIR:
        return None
    if outcome.status == "limited":
        until_ms = backoff.limit_end_ms(outcome.resets_at_ms, now_ms, entry.deferrals)
    elif outcome.cause == "transient":
        until_ms = now_ms + backoff.retry_ms(retry_ms, entry.deferrals, entry.message_id)
    else:
        return None
    since_ms = entry.waiting_since_ms or now_ms
    return None if max_wait_ms is not None and until_ms - since_ms > max_wait_ms else until_ms


def has_room(ledger: Ledger, entry: Entry, outcome: TurnOutcome) -> bool:
    """Whether to try a new session: once per turn, when the old one is full, and not over and over."""
    return outcome.cause == "context" and not entry.moved and ledger.moves < MOST_MOVES


def given_up(ledger: Ledger, outcome: TurnOutcome) -> TurnOutcome:
    """The outcome of a turn whose session is full, when new ones have not helped. Any other outcome is unchanged."""
    if outcome.cause != "context" or ledger.moves < MOST_MOVES:
        return outcome
    error = f"{outcome.error} (the same in {ledger.moves} new sessions in a row)"
    return msgspec.structs.replace(outcome, error=error, gave_up=True)


def was_begun(entry: Entry) -> bool:
    """Whether the run's own turn was begun in an earlier session, so that a new one needs a hand-off."""
    return entry.purpose not in _ITS_OWN_AFFAIR and (entry.status != "intended" or bool(entry.cuts or entry.continues))


def may_carry(ledger: Ledger, turn_id: str) -> bool:
    """Whether mail may be steered into this running turn."""
    entry = ledger.open.get(turn_id)
    return entry is not None and entry.purpose not in UNDISTURBED


def found(entry: Entry, answer: FoundTurn, next_message_id: str, *, left_alone: bool = False) -> LedgerEvent:
    """The event for what the agent's transcript shows of a submitted or running entry.

    `left_alone`: it was steered into a turn that is over, and the program that had it is gone. If it came too late for
    that turn (Claude Code then starts another one with it), only a continuation can finish it. The same holds for an
    `unread` one.
    """
    if answer.state == "finished" and answer.outcome is not None and not entry.carrier:
        return SessionTurnSettled(turn_id=entry.turn_id, outcome=answer.outcome)
    nobody_has_it = answer.state == "unfinished" and (left_alone or answer.unread)
    if entry.carrier and answer.state != "absent" and not nobody_has_it:
        # The agent has the mail. Whether its carrier finished does not matter here.
        return SessionTurnSettled(turn_id=entry.turn_id, outcome=TurnOutcome(status="finished"))
    if entry.tries >= MAX_TRIES:
        error = f"the agent was lost {entry.tries} times during this turn"
        return SessionTurnSettled(turn_id=entry.turn_id, outcome=TurnOutcome(status="failed", error=error))
    if answer.state == "absent" and (entry.status == "submitted" or entry.carrier):
        return TurnReturned(turn_id=entry.turn_id)
    return TurnCut(turn_id=entry.turn_id, next_message_id=next_message_id, remembered=answer.state != "absent")


def _entry(ledger: Ledger, event: LedgerEvent) -> Entry:
    turn_id = getattr(event, "turn_id", "")
    entry = ledger.open.get(turn_id)
    status = "settled" if is_settled(ledger, turn_id) else "unknown"
    if entry is None or entry.status not in TRANSITIONS.get(type(event), ()):
        raise IllegalEventError(
            f"{type(event).__name__} for turn {turn_id!r}, which is {entry.status if entry else status}"
        )
    return entry


def _begin_session(ledger: Ledger, session_id: str) -> Ledger:
    if session_id == ledger.session_id:
        return ledger
    after = msgspec.structs.replace(ledger, session_id=session_id, full=False, answered="")
    if not ledger.session_id:
        return after
    # This session has nothing of the old one, so a reminder is not possible.
    still_open = {turn_id: msgspec.structs.replace(each, remembered=False) for turn_id, each in ledger.open.items()}
    return msgspec.structs.replace(after, open=still_open, standing=frozenset())


def _settle(ledger: Ledger, entry: Entry, outcome: TurnOutcome, *, remembered: bool) -> Ledger:
    after = msgspec.structs.replace(
        ledger,
        open={turn_id: other for turn_id, other in ledger.open.items() if turn_id != entry.turn_id},
        turns=ledger.turns + (not entry.carrier),
        spent=usage.together([ledger.spent, outcome.usage]),
        costs=(*ledger.costs, *costs_of(entry, outcome))[-MAIL_MEMORY:],
        answered=entry.message_id if outcome.status == "finished" and not entry.carrier else ledger.answered,
        lost=ledger.lost and outcome.status != "finished",
    )
    if entry.purpose in MESSAGES:
        return msgspec.structs.replace(after, settled_mail=(*ledger.settled_mail, entry.turn_id)[-MAIL_MEMORY:])
    # Only the attempt that continues this one needs it.
    standing = ledger.standing - {entry.continues} | ({entry.turn_id} if remembered else set())
    is_decided = (outcome.gave_up or outcome.status == "finished") and entry.purpose != ROLE_PROMPT
    moves = 0 if is_decided else ledger.moves
    settled = {**ledger.settled, entry.turn_id: outcome}
    return msgspec.structs.replace(after, settled=settled, standing=standing, moves=moves)


def last_usage(entry: Entry, outcome: TurnOutcome) -> Usage:
    """The usage of the last attempt. An agent that was lost, and a transcript, may report less than was seen before."""
    last = max((outcome.usage, entry.spent), key=lambda each: (each.input_tokens + each.output_tokens, each.cost_usd))
    if last.cost_usd < outcome.usage.cost_usd:
        cost, is_known = outcome.usage.cost_usd, outcome.usage.cost_known
        return msgspec.structs.replace(last, cost_usd=cost, cost_known=is_known)
    return last


def attempt_spent(entry: Entry, outcome: TurnOutcome) -> tuple[TurnSpent, ...]:
    """The event before the one that begins another attempt: what this one has used, where that is not known yet."""
    used = last_usage(entry, outcome)
    known = used == entry.spent or entry.status == "intended"
    return () if known else (TurnSpent(turn_id=entry.turn_id, usage=used),)


def with_all_attempts(entry: Entry, outcome: TurnOutcome) -> TurnOutcome:
    """The outcome with the usage of the whole turn."""
    total = usage.together([entry.spent_before, last_usage(entry, outcome)])
    return msgspec.structs.replace(outcome, usage=total)


def running_cost(entry: Entry) -> Cost:
    """What the turn has used so far."""
    total = usage.together([entry.spent_before, entry.spent])
    return Cost(turn_id=entry.turn_id, purpose=entry.purpose, model=entry.model, usage=total)


def costs_of(entry: Entry, outcome: TurnOutcome) -> tuple[Cost, ...]:
    """The cost to report: none, if it cost nothing or the run is told of its end anyway."""
    if entry.purpose not in _ITS_OWN_AFFAIR or outcome.usage == Usage():
        return ()
    return (
        Cost(turn_id=entry.turn_id, purpose=entry.purpose, model=entry.model or outcome.model, usage=outcome.usage),
    )
