"""The history of every mail of a run, for consoles: the fold of the whole journal. Pure.

The bridge updates it event by event. It grows by a few KB per mail; but folding the journal again for each request took
100 ms from 1,500 mails on, in the thread that serves the agents. For a run that is over it is made on request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Literal

import msgspec
from msgspec.structs import replace

from actors.machines.mail.events import (
    CallRepeated,
    DeliveryFailed,
    DeliveryStarted,
    Event,
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
from actors.machines.mail.fold import apply
from actors.machines.mail.state import ROLES, State, initial
from actors.settings import Role

Status = Literal[
    "queued", "held", "in flight", "accepted", "seen", "handled", "fetched", "suppressed", "dead", "dropped"
]


# Dead letters are not among them: they wait for the user, who requeues or drops them.
FINISHED: tuple[Status, ...] = ("handled", "fetched", "suppressed", "dropped")


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a mail, for the user."""

    at_ms: int
    what: str


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """One mail and all that happened to it."""

    mail_id: str
    sender: Role
    target: Role
    text: str  # as it is now
    status: Status
    attempts: int = 0  # since it was queued the last time
    reason: str = ""  # why it is not delivered, if known
    was_seen: bool = False
    repeat: bool = False  # it may have been read already: it was fetched before the bridge or the agent died
    edited: bool = False
    moments: tuple[Moment, ...]


class Book:
    """`stories` by mail id, in the order in which the mail was sent; `state`, the fold of the same events.

    Mutable. The cost of listing mail does not depend on how much has finished.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.state = initial()
        self.stories: dict[str, Story] = {}
        self._places: dict[str, int] = {}  # in `stories`
        self._open: dict[str, None] = {}
        self._over: dict[str, None] = {}  # ordered by finishing time
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Adds the next event of the journal."""
        before, self.state = self.state, apply(self.state, event)
        for story in _told(self.stories, event, before, self.state):
            self._open.pop(story.mail_id, None)
            self._over.pop(story.mail_id, None)
            (self._over if story.status in FINISHED else self._open)[story.mail_id] = None
            self._places.setdefault(story.mail_id, len(self._places))
            self.stories[story.mail_id] = story

    def newest(self, finished: int) -> tuple[list[Story], int]:
        """All unfinished mail and the last `finished` of the rest, in order; and how many are omitted."""
        over = list(islice(reversed(self._over), min(max(0, finished), len(self._over))))
        listed = sorted((*self._open, *over), key=self._places.__getitem__)
        return [self.stories[mail_id] for mail_id in listed], len(self._over) - len(over)


def _told(found: Mapping[str, Story], event: Event, before: State, after: State) -> list[Story]:
    """The stories that the event adds to."""
    match event:
        case MailQueued():
            return [_begun(event, "queued", "queued")]
        case MailSuppressed():
            return [_begun(event, "suppressed", "suppressed: it only repeats what its sender was told last")]
        case MailReceived():
            return [_next(found[mail_id], event, "fetched", "fetched by its recipient") for mail_id in event.mail_ids]
        case MailRequeued():
            told = _next(found[event.mail_id], event, "queued", f"queued again by the user, it was {event.was}")
            return [replace(told, attempts=0, reason="")]
        case MailEdited():
            edited = replace(found[event.mail_id], text=event.text, edited=True)
            return [_next(edited, event, edited.status, "edited by the user")]
        case CallRepeated():
            story = found[event.mail_id]
            return [_next(story, event, story.status, "its sender called again; nothing was queued twice")]
        case (
            DeliveryStarted()
            | MailAccepted()
            | MailSeen()
            | MailHandled()
            | DeliveryFailed()
            | MailDied()
            | MailHeld()
            | MailReleased()
            | MailDropped()
        ):
            return [_moved(found[event.mail_id], event)]
        case _:
            return _taken_back(found, event, before, after)


def _moved(
    story: Story,
    event: DeliveryStarted
    | MailAccepted
    | MailSeen
    | MailHandled
    | DeliveryFailed
    | MailDied
    | MailHeld
    | MailReleased
    | MailDropped,
) -> Story:
    match event:
        case DeliveryStarted():
            told = _next(story, event, "in flight", f"attempt {event.attempt} to deliver it")
            return replace(told, attempts=event.attempt)
        case MailAccepted():
            return _next(story, event, "accepted", "accepted for delivery")
        case MailSeen():
            return replace(_next(story, event, "seen", "seen by its recipient"), was_seen=True, reason="")
        case MailHandled():
            return replace(_next(story, event, "handled", "its turn has ended"), was_seen=True, reason="")
        case DeliveryFailed():
            return replace(_next(story, event, "queued", f"attempt failed: {event.reason}"), reason=event.reason)
        case MailDied():
            return replace(_next(story, event, "dead", f"dead: {event.reason}"), reason=event.reason)
        case MailHeld():
            return _next(story, event, "held", "held by the user")
        case MailReleased():
            return _next(story, event, "queued", "released by the user")
        case MailDropped():
            return replace(_next(story, event, "dropped", f"dropped by the user: {event.reason}"), reason=event.reason)


def _taken_back(found: Mapping[str, Story], event: Event, before: State, after: State) -> list[Story]:
    """Marks mail that was fetched when the bridge or its reader died as waiting again."""
    waited = {mail.mail_id for role in ROLES for mail in before.boxes[role].waiting}
    waits = [mail.mail_id for role in ROLES for mail in after.boxes[role].waiting]
    return [
        replace(
            _next(found[mail_id], event, "queued", "it may have been lost while it was fetched: queued again"),
            repeat=True,
        )
        for mail_id in waits
        if mail_id not in waited
    ]


def _begun(event: MailQueued | MailSuppressed, status: Status, what: str) -> Story:
    return Story(
        mail_id=event.mail_id,
        sender=event.sender,
        target=event.target,
        text=event.text,
        status=status,
        moments=(Moment(at_ms=event.at_ms, what=what),),
    )


def _next(story: Story, event: Event, status: Status, what: str) -> Story:
    return replace(story, status=status, moments=(*story.moments, Moment(at_ms=event.at_ms, what=what)))
