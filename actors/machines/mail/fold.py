"""The state after an event. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from actors.errors import IllegalEventError
from actors.machines.mail.events import (
    AgentAbsent,
    AgentCame,
    AgentRestarted,
    AgentWorked,
    BridgeRestarted,
    CallRepeated,
    Change,
    DeliveryFailed,
    DeliveryStarted,
    Event,
    HopsReset,
    MailAccepted,
    MailDied,
    MailDropped,
    MailEdited,
    MailHandled,
    MailHeld,
    MailQueued,
    MailReceived,
    MailReleased,
    MailRequeued,
    MailSeen,
    MailSuppressed,
)
from actors.machines.mail.state import (
    CHANGES_KEPT,
    DEAD_SHOWN,
    DOUBTFUL_SENDS,
    ROLES,
    Box,
    Mail,
    Sent,
    State,
    counted,
    doubtful_handouts,
    doubtful_sends,
    find,
    need,
    normalise,
    put,
    without,
)
from actors.settings import Role

FIRST_RETRY_MS = 1_000  # with receipts.MAX_ATTEMPTS: 1 s, 2 s, 4 s ... 256 s


def apply(state: State, event: Event) -> State:
    """The state after the event. Raises `IllegalEventError`, changing nothing."""
    match event:
        case MailQueued():
            return _queue(state, event)
        case MailSuppressed():
            state = put(state, event.target, counted(state.boxes[event.target], "suppressed"))
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
            return _doubt(state, ROLES, event.at_ms)
        case AgentRestarted():
            return _doubt(state, (event.role,), event.at_ms)
        case AgentWorked() | AgentCame() | AgentAbsent():
            return _contact(state, event)
        case MailAccepted():
            found = need(state, event.mail_id, "in flight")
            box = replace(found.box, in_flight=replace(found.mail, accepted=True))
        case MailHeld() | MailReleased() | MailEdited() | MailRequeued() | MailDropped():
            return _change(state, event)
        case MailSeen():
            found = need(state, event.mail_id, "in flight", "waiting", "held")
            box = without(found)
            box = replace(box, seen=(*box.seen, found.mail), last_delivered=found.mail.text)
        case MailHandled():
            found = need(state, event.mail_id, "in flight", "waiting", "held", "seen")
            box = counted(without(found), "handled")
            if found.place != "seen":
                box = replace(box, last_delivered=found.mail.text)
        case DeliveryFailed():
            found = need(state, event.mail_id, "in flight")
            retry_at_ms = event.at_ms + retry_after_ms(found.mail.attempts)
            mail = replace(found.mail, accepted=False, not_before_ms=retry_at_ms)
            box = without(found)
            box = replace(box, waiting=(mail, *box.waiting))
        case MailDied():
            found = need(state, event.mail_id, "waiting", "seen")
            box = counted(without(found), "dead")
            box = replace(box, dead=(*box.dead, event)[-DEAD_SHOWN:])
    return put(state, found.mail.target, box)


def retry_after_ms(attempts: int) -> int:
    """How long a mail waits after its n-th attempt has failed."""
    return FIRST_RETRY_MS << (attempts - 1)


def _queue(state: State, event: MailQueued) -> State:
    state = _append(state, event)
    sent = Sent(mail_id=event.mail_id, target=event.target, text=normalise(event.text), at_ms=event.at_ms)
    recent = (*state.recent[event.sender], sent)[-DOUBTFUL_SENDS:]
    return _answer_arrived(replace(state, recent={**state.recent, event.sender: recent}), event.sender)


def _append(state: State, event: MailQueued | MailRequeued) -> State:
    """Adds it at the end of its queue."""
    if find(state, event.mail_id) is not None:
        raise IllegalEventError(f"mail {event.mail_id!r} is queued twice")
    box = state.boxes[event.target]
    mail = Mail(
        mail_id=event.mail_id,
        sender=event.sender,
        target=event.target,
        text=event.text,
        number=box.numbered + 1,
        repeat=isinstance(event, MailRequeued) and event.repeat,
        edited=isinstance(event, MailRequeued) and event.edited,
    )
    box = replace(box, waiting=(*box.waiting, mail), numbered=mail.number)
    return put(state, event.target, counted(box, "queued"))


def _change(state: State, event: Change) -> State:
    """Applies a user's change. Releasing mail is an act that is not mail, so hops restart at 0."""
    state = replace(state, changes=(*state.changes, event.change_id)[-CHANGES_KEPT:])
    match event:
        case MailRequeued():
            return _requeue(replace(state, hops=0), event)
        case MailDropped(was="dead"):
            box = counted(_to_dead_letters(state.boxes[event.target], event.mail_id), "dropped")
            return put(state, event.target, box)
        case MailHeld():
            found = need(state, event.mail_id, "waiting")
            box = without(found)
            box = replace(box, held=(*box.held, found.mail))
        case MailReleased():
            found = need(state, event.mail_id, "held")
            state = replace(state, hops=0)
            box = _sort_in(without(found), replace(found.mail, not_before_ms=0))
        case MailEdited():
            found = need(state, event.mail_id, "waiting", "held")
            box, edited = found.box, replace(found.mail, text=event.text, edited=True)
            box = replace(
                box,
                waiting=tuple(edited if mail is found.mail else mail for mail in box.waiting),
                held=tuple(edited if mail is found.mail else mail for mail in box.held),
            )
        case MailDropped():
            found = need(state, event.mail_id, "waiting", "held")
            box = counted(without(found), "dropped")
    return put(state, found.mail.target, box)


def _requeue(state: State, event: MailRequeued) -> State:
    box = state.boxes[event.target]
    if event.was == "held":
        box = counted(without(need(state, event.mail_id, "held")), "queued", -1)
    else:
        box = _to_dead_letters(box, event.mail_id) if event.was == "dead" else counted(box, event.was, -1)
        if event.was != "suppressed":  # which was never counted as queued
            box = counted(box, "queued", -1)
    return _append(put(state, event.target, box), event)


def _to_dead_letters(box: Box, mail_id: str) -> Box:
    """Removes it from the dead letters."""
    return replace(counted(box, "dead", -1), dead=tuple(dead for dead in box.dead if dead.mail_id != mail_id))


def _sort_in(box: Box, mail: Mail) -> Box:
    """Inserts it before the first mail that was queued later."""
    at = next((at for at, other in enumerate(box.waiting) if other.number > mail.number), len(box.waiting))
    return replace(box, waiting=(*box.waiting[:at], mail, *box.waiting[at:]))


def _contact(state: State, event: AgentWorked | AgentCame | AgentAbsent) -> State:
    contact = state.contacts[event.role]
    match event:
        case AgentWorked():
            contact = replace(contact, session_id=event.session_id, told=False)
        case AgentCame():
            contact = replace(contact, came=True)
        case AgentAbsent():
            contact = replace(contact, told=True)
    return replace(state, contacts={**state.contacts, event.role: contact})


def _answer_arrived(state: State, caller: Role) -> State:
    """The agent calls again without a lost answer, so it has what it fetched before."""
    if not state.contacts[caller].came:  # a journal from before there was an event for it
        state = _contact(state, AgentCame(role=caller, at_ms=0))
    return put(state, caller, replace(state.boxes[caller], handed=()))


def _start(state: State, event: DeliveryStarted) -> State:
    found = need(state, event.mail_id, "waiting")
    box, mail = found.box, found.mail
    if box.in_flight is not None or box.waiting[0] is not mail or event.attempt != mail.attempts + 1:
        raise IllegalEventError(f"attempt {event.attempt} of mail {event.mail_id!r} is out of order")
    mail = replace(mail, attempts=event.attempt, not_before_ms=0)
    hops = state.hops + (1 if event.attempt == 1 else 0)
    return replace(put(state, mail.target, replace(without(found), in_flight=mail)), hops=hops)


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
    return put(state, event.reader, counted(box, "received", size))


def _doubt(state: State, roles: Iterable[Role], at_ms: int) -> State:
    """These agents may lack the answers to their last calls."""
    for role in roles:
        box = state.boxes[role]
        again = tuple(replace(mail, repeat=True, not_before_ms=0) for mail in doubtful_handouts(box, at_ms))
        box = replace(counted(box, "received", -len(again)), waiting=again + box.waiting, handed=())
        state = put(state, role, box)
        state = replace(state, doubtful={**state.doubtful, role: doubtful_sends(state.recent[role], at_ms)})
    return state
