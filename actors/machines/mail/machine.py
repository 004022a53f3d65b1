"""Decides what follows from events and time: further events, and commands for the bridge. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from actors.machines.mail.commands import Command, Deliver, Wake
from actors.machines.mail.events import DeliveryStarted, Event
from actors.machines.mail.fold import apply
from actors.machines.mail.state import MAX_HOPS, ROLES, Mail, State, need
from actors.settings import Role


def advance(state: State, facts: Sequence[Event], now_ms: int) -> tuple[State, list[Event], list[Command]]:
    """Folds the events (none: time has passed), and starts every delivery that may start then.

    Returns the state, the events to journal, and the commands to carry out after that.
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
    """The state after the event, and the resulting commands. All times are in the events.

    Raises `IllegalEventError`, changing nothing, when the state does not allow the event.
    """
    after = apply(state, event)
    if isinstance(event, DeliveryStarted):
        return after, [_deliver(need(after, event.mail_id).mail)]
    return after, []


def outstanding(state: State) -> list[Command]:
    """The commands to repeat after a restart of the bridge, under the same ids."""
    return [*(command for role in ROLES for command in outstanding_for(state, role)), *_alarm(state)]


def outstanding_for(state: State, target: Role) -> list[Deliver]:
    """The commands to repeat after a restart of the target's session owner, oldest first.

    Includes seen mail: its id is known there, so it is not delivered twice, but its "handled" may be lost.
    """
    box = state.boxes[target]
    in_flight = () if box.in_flight is None else (box.in_flight,)
    return [_deliver(mail) for mail in (*box.seen, *in_flight)]


def _deliver(mail: Mail) -> Deliver:
    return Deliver(
        mail_id=mail.mail_id,
        sender=mail.sender,
        target=mail.target,
        text=mail.text,
        attempt=mail.attempts,
        repeat=mail.repeat,
        edited=mail.edited,
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
