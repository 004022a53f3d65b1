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

turn_events and turn_ledger are data. turn_costs counts what the attempts have used. Here is the state after an event,
and what follows.
"""

from __future__ import annotations

import msgspec

from actors.errors import IllegalEventError
from actors.machines import backoff, continuations, usage
from actors.machines.turn_costs import attempt_spent as attempt_spent
from actors.machines.turn_costs import costs_of as costs_of
from actors.machines.turn_costs import running_cost as running_cost
from actors.machines.turn_costs import with_all_attempts as with_all_attempts
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
from actors.machines.turn_ledger import ITS_OWN_AFFAIR
from actors.machines.turn_ledger import MAIL_MEMORY as MAIL_MEMORY
from actors.machines.turn_ledger import MESSAGES as MESSAGES
from actors.machines.turn_ledger import Cost as Cost
from actors.machines.turn_ledger import Entry as Entry
from actors.machines.turn_ledger import Ledger as Ledger
from actors.machines.turn_ledger import is_settled as is_settled
from actors.machines.turn_ledger import knows as knows
from actors.machines.turn_ledger import sent_as as sent_as
from actors.messages import ROLE_PROMPT, FoundTurn, Purpose, TurnOutcome, Usage

# An agent that dies this often in the same turn is killed by the turn itself.
MAX_TRIES = 6

# Full sessions in a row that were replaced, before the run is told that this does not help.
MOST_MOVES = 3

# A verdict must be a reviewer's last words: mail waits for the end of such a turn.
UNDISTURBED: frozenset[Purpose] = frozenset({"review", "plan-review"})


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """Order: journal `TurnSubmitted`, then hand the prompt (or, after a cut, a continuation) to the agent."""

    entry: Entry


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Order: look the entry's message id up in the agent's transcript, and journal the event that `found` gives."""

    entry: Entry


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
            was_full = not event.silences and entry.purpose not in ITS_OWN_AFFAIR
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
    if entry.purpose not in ITS_OWN_AFFAIR:
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
    return entry.purpose not in ITS_OWN_AFFAIR and (entry.status != "intended" or bool(entry.cuts or entry.continues))


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


def has_begun(entry: Entry, outcome: TurnOutcome) -> bool:
    """Whether the entry counts as a turn: it has one of its own, and the agent may have seen its prompt."""
    seen = entry.status != "intended" or entry.cuts > 0 or outcome.status == "finished" or outcome.usage != Usage()
    return seen and not entry.carrier


def _settle(ledger: Ledger, entry: Entry, outcome: TurnOutcome, *, remembered: bool) -> Ledger:
    after = msgspec.structs.replace(
        ledger,
        open={turn_id: other for turn_id, other in ledger.open.items() if turn_id != entry.turn_id},
        turns=ledger.turns + has_begun(entry, outcome),
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
