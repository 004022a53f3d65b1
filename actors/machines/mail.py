"""Mail between the two agents: queued, delivered with evidence, answered; or suppressed, received, dead. Pure.

    queued -> in flight -> accepted -> seen -> answered
       |          |            |         `---> dead   (seen, but its turn broke)
       |          `------------`---> waiting for the next attempt -> ... -> dead
       |---> received    (the recipient fetched it itself)
       `---> suppressed  (never queued: it was an echo)

The journal has the events, oldest first; the state is their fold and holds only mail that is not finished, some
counters, and what is needed to recognise an echo or a repeated call. So a mail costs the same at any length of run.

*Order.* Mail for one recipient goes out in the order in which it was queued, one delivery in flight at a time. The
slot is free again when the mail was seen, not when it was accepted: an accepted mail may still fail, and would then be
overtaken. Mail that waits for its next attempt holds back what came after it.

*Hops.* A hop is the first delivery of a mail. They are counted over both directions, and start again at 0 when
something happens that is not mail: a turn of the loop ends, or a human acts. At 12 the rest stays queued; the
recipient can still fetch it. Further attempts of the same mail are not hops.

*Evidence.* Only the recipient's side moves a mail on from "in flight". Receipts may come twice, late, or out of order:
one that says nothing new makes no event.

*A call that breaks.* When the bridge dies while it answers a tool call, the agent sees an error and may call again.
So at a restart, what was queued or handed out in the last two minutes is in doubt: the same text from the same sender
to the same target is then taken for the repeated call, once; and mail that was handed out goes back to the head of
its queue, marked as a possible repeat, unless its reader has shown with a later call that it got the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from actors.errors import IllegalEventError, UserError
from actors.machines import prompts
from actors.settings import Role

MAX_HOPS = 12

# 1 s, 2 s, 4 s ... 256 s: about eight minutes until a mail is dead. An agent that is limited for hours is no failed
# delivery: its owner keeps the mail.
MAX_ATTEMPTS = 10
FIRST_RETRY_MS = 1_000

# A model repeats a failed tool call within seconds; the bridge is back within two.
DOUBT_MS = 120_000
DOUBTFUL_SENDS = 8  # calls that one agent may have open at the same time

DEAD_SHOWN = 8

ROLES: tuple[Role, ...] = ("worker", "reviewer")


# --- events -------------------------------------------------------------------------------------------------


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the mail events. `at_ms` is Unix time of the moment it was decided."""

    at_ms: int


class MailQueued(_Event, frozen=True, kw_only=True):
    """A sender's tool call was taken; the mail is ours to deliver."""

    mail_id: str
    sender: Role
    target: Role
    text: str


class MailSuppressed(_Event, frozen=True, kw_only=True):
    """The text only bounces back what was last delivered to its sender; it is not delivered."""

    mail_id: str
    sender: Role
    target: Role
    text: str


class CallRepeated(_Event, frozen=True, kw_only=True):
    """The sender called again because the answer to `mail_id` was lost in a restart; nothing is queued."""

    mail_id: str
    sender: Role


class DeliveryStarted(_Event, frozen=True, kw_only=True):
    """The mail goes to the owner of the target's session."""

    mail_id: str
    attempt: int


class MailAccepted(_Event, frozen=True, kw_only=True):
    """The owner has it in its durable turn ledger, or has handed it to the running turn."""

    mail_id: str


class MailSeen(_Event, frozen=True, kw_only=True):
    """Evidence that the agent has it."""

    mail_id: str


class MailAnswered(_Event, frozen=True, kw_only=True):
    """The turn that carried it has ended."""

    mail_id: str


class DeliveryFailed(_Event, frozen=True, kw_only=True):
    """An attempt failed; the mail waits for the next one."""

    mail_id: str
    reason: str


class MailDied(_Event, frozen=True, kw_only=True):
    """It is not tried again: a dead letter."""

    mail_id: str
    reason: str


class MailReceived(_Event, frozen=True, kw_only=True):
    """The recipient fetched these itself, in one call."""

    reader: Role
    mail_ids: tuple[str, ...]


class HopsReset(_Event, frozen=True, kw_only=True):
    """Something happened that is not mail."""

    reason: str


class BridgeRestarted(_Event, frozen=True, kw_only=True):
    """A new bridge has taken over; answers that were under way may be lost."""


Event = (
    MailQueued
    | MailSuppressed
    | CallRepeated
    | DeliveryStarted
    | MailAccepted
    | MailSeen
    | MailAnswered
    | DeliveryFailed
    | MailDied
    | MailReceived
    | HopsReset
    | BridgeRestarted
)
EVENTS: tuple[type[Event], ...] = (
    MailQueued,
    MailSuppressed,
    CallRepeated,
    DeliveryStarted,
    MailAccepted,
    MailSeen,
    MailAnswered,
    DeliveryFailed,
    MailDied,
    MailReceived,
    HopsReset,
    BridgeRestarted,
)


# --- commands -----------------------------------------------------------------------------------------------


class Deliver(msgspec.Struct, frozen=True, kw_only=True):
    """Order: bring the mail to the owner of the target's session. Idempotent there: the mail's id is its identity."""

    mail_id: str
    sender: Role
    target: Role
    text: str
    attempt: int
    repeat: bool  # it may have been read before: it was fetched, and then the bridge died


class Wake(msgspec.Struct, frozen=True, kw_only=True):
    """Order: call `advance` again at this time. There is one alarm: this replaces the one before."""

    at_ms: int


Command = Deliver | Wake


# --- state --------------------------------------------------------------------------------------------------


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """One mail that is not finished. `attempts` counts the deliveries that were started."""

    mail_id: str
    sender: Role
    target: Role
    text: str
    queued_at_ms: int
    attempts: int = 0
    not_before_ms: int = 0
    accepted: bool = False
    repeat: bool = False


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much mail for one recipient there has been in the run, by its end."""

    queued: int = 0
    answered: int = 0
    received: int = 0
    suppressed: int = 0
    dead: int = 0


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """Mail for one recipient."""

    waiting: tuple[Mail, ...] = ()
    in_flight: Mail | None = None
    seen: tuple[Mail, ...] = ()
    handed: tuple[Mail, ...] = ()  # the last batch that the recipient fetched, until it is sure to have it
    handed_at_ms: int = 0
    last_delivered: str = ""  # its text
    dead: tuple[MailDied, ...] = ()  # the newest few, for people
    counts: Counts = Counts()


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A call that queued mail, remembered for as long as it may be repeated."""

    mail_id: str
    target: Role
    text: str  # normalised
    at_ms: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the bridge must know. `boxes` is by recipient, `recent` and `doubtful` by sender."""

    boxes: Mapping[Role, Box]
    recent: Mapping[Role, tuple[Sent, ...]]
    doubtful: Mapping[Role, tuple[Sent, ...]]
    hops: int = 0


def initial() -> State:
    """No mail."""
    return State(
        boxes={role: Box() for role in ROLES},
        recent=dict.fromkeys(ROLES, ()),
        doubtful=dict.fromkeys(ROLES, ()),
    )


# --- what the outside does: facts ---------------------------------------------------------------------------


def resolve_target(target: str, names: Mapping[Role, str]) -> Role:
    """The role that a sender means: the name of an agent, or its role; case and outer white space do not matter.

    Raises `UserError` that lists the names when it is empty or unknown.
    """
    wanted = target.strip().casefold()
    known = ", ".join(f"{name!r} (the {role})" for role, name in names.items())
    if not wanted:
        raise UserError(f"target is empty: name one of {known}")
    for role, name in names.items():
        if wanted == name.casefold():
            return role
    for role in names:
        if wanted == role:
            return role
    raise UserError(f"target {target!r} is unknown: name one of {known}")


def post(
    state: State, *, mail_id: str, sender: Role, target: Role, text: str, names: Mapping[Role, str], now_ms: int
) -> MailQueued | MailSuppressed | CallRepeated:
    """What becomes of a sender's call; `target` comes from `resolve_target`, `mail_id` is a new UUID string.

    Raises `UserError` for an empty message or one to oneself.
    """
    if not text.strip():
        raise UserError("message is empty: say what the other agent should know or do")
    if target == sender:
        raise UserError(f"target is the sender itself ({target}): name the other agent")
    bare = normalise(text)
    for sent in state.doubtful[sender]:
        if sent.target == target and sent.text == bare and now_ms - sent.at_ms <= DOUBT_MS:
            return CallRepeated(mail_id=sent.mail_id, sender=sender, at_ms=now_ms)
    box = state.boxes[sender]
    in_flight = "" if box.in_flight is None else box.in_flight.text
    if any(is_echo(text, delivered=last, speaker=names[target]) for last in (box.last_delivered, in_flight)):
        return MailSuppressed(mail_id=mail_id, sender=sender, target=target, text=text, at_ms=now_ms)
    return MailQueued(mail_id=mail_id, sender=sender, target=target, text=text, at_ms=now_ms)


def fetch(state: State, reader: Role, now_ms: int) -> tuple[list[Event], tuple[Mail, ...]]:
    """What a recipient gets that asks for its mail itself: all that waits, oldest first.

    Not what is in flight: that is on its way into the session, and would be read twice.
    """
    waiting = state.boxes[reader].waiting
    if not waiting:
        return [], ()
    mail_ids = tuple(mail.mail_id for mail in waiting)
    return [MailReceived(reader=reader, mail_ids=mail_ids, at_ms=now_ms)], waiting


def accepted(state: State, mail_id: str, now_ms: int) -> list[Event]:
    """The owner has the mail."""
    found = _find(state, mail_id)
    if found is None or found.place != "in flight" or found.mail.accepted:
        return []
    return [MailAccepted(mail_id=mail_id, at_ms=now_ms)]


def seen(state: State, mail_id: str, now_ms: int) -> list[Event]:
    """The agent has the mail. Evidence counts also when the attempt was given up meanwhile."""
    found = _find(state, mail_id)
    if found is None or not found.was_sent or found.place == "seen":
        return []
    return [MailSeen(mail_id=mail_id, at_ms=now_ms)]


def answered(state: State, mail_id: str, now_ms: int) -> list[Event]:
    """The turn that carried the mail has ended."""
    found = _find(state, mail_id)
    if found is None or not found.was_sent:
        return []
    return [MailAnswered(mail_id=mail_id, at_ms=now_ms)]


def failed(state: State, mail_id: str, reason: str, now_ms: int) -> list[Event]:
    """The attempt failed. A mail that was seen is not sent again: the agent has it, and would do the work twice."""
    found = _find(state, mail_id)
    if found is None or found.place == "waiting":
        return []
    if found.place == "seen":
        return [MailDied(mail_id=mail_id, reason=f"seen, but its turn failed: {reason}", at_ms=now_ms)]
    failure = DeliveryFailed(mail_id=mail_id, reason=reason, at_ms=now_ms)
    if found.mail.attempts < MAX_ATTEMPTS:
        return [failure]
    death = f"{found.mail.attempts} attempts failed, the last one: {reason}"
    return [failure, MailDied(mail_id=mail_id, reason=death, at_ms=now_ms)]


def other_work(state: State, reason: str, now_ms: int) -> list[Event]:
    """Something happened that is not mail: hops start again."""
    return [HopsReset(reason=reason, at_ms=now_ms)] if state.hops else []


def restarted(state: State, now_ms: int) -> list[Event]:
    """A new bridge starts from this state. No event when there is nothing to doubt."""
    doubt = any(
        _doubtful_sends(state.recent[role], now_ms) or _doubtful_handouts(state.boxes[role], now_ms) for role in ROLES
    )
    return [BridgeRestarted(at_ms=now_ms)] if doubt else []


# --- the fold, and what follows from it ---------------------------------------------------------------------


def advance(state: State, facts: Sequence[Event], now_ms: int) -> tuple[State, list[Event], list[Command]]:
    """Folds the facts (none: time has passed), and starts every delivery that may start then.

    Returns the state, the events to make durable, and the orders to obey after that.
    """
    events: list[Event] = []
    commands: list[Command] = []
    todo = facts or _startable(state, now_ms)
    while todo:
        for event in todo:
            state, orders = decide(state, event)
            commands += orders
        events += todo
        todo = _startable(state, now_ms)
    return state, events, [*commands, *_alarm(state)]


def decide(state: State, event: Event) -> tuple[State, list[Command]]:
    """The state after the event, and the orders that follow from it. All times are in the events.

    Raises `IllegalEventError`, changing nothing, when the state does not allow the event.
    """
    after = apply(state, event)
    if isinstance(event, DeliveryStarted):
        return after, [_deliver(_need(after, event.mail_id).mail)]
    return after, []


def outstanding(state: State) -> list[Command]:
    """What must be ordered again after a restart of the bridge, under the same ids."""
    return [*(order for role in ROLES for order in outstanding_for(state, role)), *_alarm(state)]


def outstanding_for(state: State, target: Role) -> list[Deliver]:
    """What must be ordered again when the owner of the target's session was restarted, oldest first.

    Also what was seen: it is not delivered twice, since its id is known there, but its "answered" may be lost.
    """
    box = state.boxes[target]
    in_flight = () if box.in_flight is None else (box.in_flight,)
    return [_deliver(mail) for mail in (*box.seen, *in_flight)]


def apply(state: State, event: Event) -> State:
    """The state after the event: the fold. Raises `IllegalEventError`, changing nothing."""
    match event:
        case MailQueued():
            return _queue(state, event)
        case MailSuppressed():
            state = _put(state, event.target, _counted(state.boxes[event.target], "suppressed"))
            return _answer_arrived(state, event.sender)
        case CallRepeated():
            kept = tuple(sent for sent in state.doubtful[event.sender] if sent.mail_id != event.mail_id)
            state = replace(state, doubtful={**state.doubtful, event.sender: kept})
            return _answer_arrived(state, event.sender)
        case DeliveryStarted():
            return _start(state, event)
        case MailReceived():
            return _receive(state, event)
        case HopsReset():
            return replace(state, hops=0)
        case BridgeRestarted():
            return _restart(state, event.at_ms)
        case MailAccepted():
            found = _need(state, event.mail_id, "in flight")
            box = replace(found.box, in_flight=replace(found.mail, accepted=True))
        case MailSeen():
            found = _need(state, event.mail_id, "in flight", "waiting")
            box = _without(found)
            box = replace(box, seen=(*box.seen, found.mail), last_delivered=found.mail.text)
        case MailAnswered():
            found = _need(state, event.mail_id, "in flight", "waiting", "seen")
            box = _counted(_without(found), "answered")
            if found.place != "seen":
                box = replace(box, last_delivered=found.mail.text)
        case DeliveryFailed():
            found = _need(state, event.mail_id, "in flight")
            retry_at_ms = event.at_ms + retry_after_ms(found.mail.attempts)
            mail = replace(found.mail, accepted=False, not_before_ms=retry_at_ms)
            box = _without(found)
            box = replace(box, waiting=(mail, *box.waiting))
        case MailDied():
            found = _need(state, event.mail_id, "waiting", "seen")
            box = _counted(_without(found), "dead")
            box = replace(box, dead=(*box.dead, event)[-DEAD_SHOWN:])
    return _put(state, found.mail.target, box)


def retry_after_ms(attempts: int) -> int:
    """How long a mail waits after its n-th attempt has failed."""
    return FIRST_RETRY_MS << (attempts - 1)


def normalise(text: str) -> str:
    """The text as it is compared: all white space as single spaces."""
    return " ".join(text.split())


def is_echo(text: str, *, delivered: str, speaker: str) -> bool:
    """Whether `text` only repeats the text `delivered`, with or without parts of the frame it was delivered in.

    The frame is that of `prompts.mail` for a message of `speaker`.
    """
    bare, core = normalise(text), normalise(delivered)
    framed = prompts.mail(speaker, "\0")
    before, after = (f" {normalise(part)} " for part in framed.split("\0"))
    header = normalise(framed.splitlines()[0]) + " "
    at = bare.find(core) if core else -1
    while 0 <= at < len(before):
        head, tail = bare[:at], bare[at + len(core) :]
        if (head == header or before.endswith(head)) and after.startswith(tail):
            return True
        at = bare.find(core, at + 1)
    return False


# --- inside -------------------------------------------------------------------------------------------------

Place = Literal["waiting", "in flight", "seen"]


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """Where an open mail is."""

    box: Box
    mail: Mail
    place: Place

    @property
    def was_sent(self) -> bool:
        return self.place != "waiting" or self.mail.attempts > 0


def _find(state: State, mail_id: str) -> _Found | None:
    for box in state.boxes.values():
        if box.in_flight is not None and box.in_flight.mail_id == mail_id:
            return _Found(box=box, mail=box.in_flight, place="in flight")
        for mail in box.seen:
            if mail.mail_id == mail_id:
                return _Found(box=box, mail=mail, place="seen")
    for box in state.boxes.values():
        for mail in box.waiting:
            if mail.mail_id == mail_id:
                return _Found(box=box, mail=mail, place="waiting")
    return None


def _need(state: State, mail_id: str, *places: Place) -> _Found:
    found = _find(state, mail_id)
    if found is None:
        raise IllegalEventError(f"mail {mail_id!r} is not open")
    if places and found.place not in places:
        raise IllegalEventError(f"mail {mail_id!r} is {found.place}, not {' or '.join(places)}")
    return found


def _without(found: _Found) -> Box:
    box, mail = found.box, found.mail
    match found.place:
        case "in flight":
            return replace(box, in_flight=None)
        case "seen":
            return replace(box, seen=tuple(other for other in box.seen if other is not mail))
        case "waiting":
            return replace(box, waiting=tuple(other for other in box.waiting if other is not mail))


def _put(state: State, role: Role, box: Box) -> State:
    return replace(state, boxes={**state.boxes, role: box})


def _counted(box: Box, end: str, by: int = 1) -> Box:
    return replace(box, counts=replace(box.counts, **{end: getattr(box.counts, end) + by}))


def _deliver(mail: Mail) -> Deliver:
    return Deliver(
        mail_id=mail.mail_id,
        sender=mail.sender,
        target=mail.target,
        text=mail.text,
        attempt=mail.attempts,
        repeat=mail.repeat,
    )


def _alarm(state: State) -> list[Command]:
    times = [
        box.waiting[0].not_before_ms
        for box in state.boxes.values()
        if box.in_flight is None and box.waiting and box.waiting[0].not_before_ms
    ]
    return [Wake(at_ms=min(times))] if times else []


def _startable(state: State, now_ms: int) -> list[Event]:
    starts: list[Event] = []
    hops = state.hops
    for box in state.boxes.values():
        if box.in_flight is not None or not box.waiting or box.waiting[0].not_before_ms > now_ms:
            continue
        mail = box.waiting[0]
        if mail.attempts == 0:
            if hops >= MAX_HOPS:
                continue
            hops += 1
        starts.append(DeliveryStarted(mail_id=mail.mail_id, attempt=mail.attempts + 1, at_ms=now_ms))
    return starts


def _queue(state: State, event: MailQueued) -> State:
    if _find(state, event.mail_id) is not None:
        raise IllegalEventError(f"mail {event.mail_id!r} is queued twice")
    mail = Mail(
        mail_id=event.mail_id,
        sender=event.sender,
        target=event.target,
        text=event.text,
        queued_at_ms=event.at_ms,
    )
    box = state.boxes[event.target]
    state = _put(state, event.target, _counted(replace(box, waiting=(*box.waiting, mail)), "queued"))
    sent = Sent(mail_id=mail.mail_id, target=mail.target, text=normalise(mail.text), at_ms=event.at_ms)
    recent = (*state.recent[event.sender], sent)[-DOUBTFUL_SENDS:]
    return _answer_arrived(replace(state, recent={**state.recent, event.sender: recent}), event.sender)


def _answer_arrived(state: State, caller: Role) -> State:
    """The agent calls again without having lost an answer, so it has what it fetched before."""
    return _put(state, caller, replace(state.boxes[caller], handed=()))


def _start(state: State, event: DeliveryStarted) -> State:
    found = _need(state, event.mail_id, "waiting")
    box, mail = found.box, found.mail
    if box.in_flight is not None or box.waiting[0] is not mail or event.attempt != mail.attempts + 1:
        raise IllegalEventError(f"attempt {event.attempt} of mail {event.mail_id!r} is out of order")
    mail = replace(mail, attempts=event.attempt, not_before_ms=0)
    hops = state.hops + (1 if event.attempt == 1 else 0)
    return replace(_put(state, mail.target, replace(_without(found), in_flight=mail)), hops=hops)


def _receive(state: State, event: MailReceived) -> State:
    box = state.boxes[event.reader]
    size = len(event.mail_ids)
    batch = box.waiting[:size]
    if not batch or tuple(mail.mail_id for mail in batch) != event.mail_ids:
        raise IllegalEventError(f"mails {event.mail_ids} are not the first that wait for the {event.reader}")
    box = replace(
        box,
        waiting=box.waiting[size:],
        handed=batch,
        handed_at_ms=event.at_ms,
        last_delivered=batch[-1].text,
    )
    return _put(state, event.reader, _counted(box, "received", size))


def _restart(state: State, at_ms: int) -> State:
    for role in ROLES:
        box = state.boxes[role]
        again = tuple(replace(mail, repeat=True, not_before_ms=0) for mail in _doubtful_handouts(box, at_ms))
        box = replace(_counted(box, "received", -len(again)), waiting=again + box.waiting, handed=())
        state = _put(state, role, box)
    return replace(state, doubtful={role: _doubtful_sends(state.recent[role], at_ms) for role in ROLES})


def _doubtful_sends(recent: tuple[Sent, ...], now_ms: int) -> tuple[Sent, ...]:
    return tuple(sent for sent in recent if now_ms - sent.at_ms <= DOUBT_MS)


def _doubtful_handouts(box: Box, now_ms: int) -> tuple[Mail, ...]:
    return box.handed if now_ms - box.handed_at_ms <= DOUBT_MS else ()
