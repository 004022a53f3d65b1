"""The bridge's state: unfinished mail, some counters, and where to find a mail. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec.structs import replace

from actors.errors import IllegalEventError
from actors.machines.mail.events import MailDied
from actors.settings import Role

ROLES: tuple[Role, ...] = ("worker", "reviewer")
MAX_HOPS = 12

# A model repeats a failed tool call within seconds; the bridge restarts within two.
DOUBT_MS = 120_000
DOUBTFUL_SENDS = 8  # calls that one agent may have open concurrently

DEAD_SHOWN = 8
CHANGES_KEPT = 32  # of the user, who makes them one by one; a repeated change follows within seconds


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """One mail that is not finished. `attempts` counts the deliveries that were started."""

    mail_id: str
    sender: Role
    target: Role
    text: str
    number: int  # its place among all mail for its target
    attempts: int = 0
    not_before_ms: int = 0
    accepted: bool = False
    repeat: bool = False
    edited: bool = False


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The number of mails for one recipient in the run, by how they ended."""

    queued: int = 0
    handled: int = 0
    received: int = 0
    suppressed: int = 0
    dead: int = 0
    dropped: int = 0


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """Mail for one recipient."""

    waiting: tuple[Mail, ...] = ()
    held: tuple[Mail, ...] = ()  # held by the user
    in_flight: Mail | None = None
    seen: tuple[Mail, ...] = ()
    handed: tuple[Mail, ...] = ()  # the last batch that the recipient fetched, until it certainly has it
    handed_at_ms: int = 0
    last_delivered: str = ""  # its text
    dead: tuple[MailDied, ...] = ()  # the newest few, for the user
    numbered: int = 0  # numbers that were given to mail
    counts: Counts = Counts()


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A call that queued mail, remembered for as long as it may be repeated."""

    mail_id: str
    target: Role
    text: str  # normalised
    at_ms: int


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an agent's access to the bridge."""

    came: bool = False
    session_id: str = ""  # in which a turn finished without contact
    told: bool = False  # the user was told of its absence in this session

    @property
    def is_absent(self) -> bool:
        """It cannot write to its peer."""
        return self.told and not self.came


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The bridge's whole state. `boxes` is by recipient, `recent` and `doubtful` by sender."""

    boxes: Mapping[Role, Box]
    recent: Mapping[Role, tuple[Sent, ...]]
    doubtful: Mapping[Role, tuple[Sent, ...]]
    hops: int = 0
    changes: tuple[str, ...] = ()  # ids of the users' last changes
    contacts: Mapping[Role, Contact] = msgspec.field(default_factory=lambda: {role: Contact() for role in ROLES})


def initial() -> State:
    """No mail."""
    return State(
        boxes={role: Box() for role in ROLES},
        recent=dict.fromkeys(ROLES, ()),
        doubtful=dict.fromkeys(ROLES, ()),
    )


Place = Literal["waiting", "held", "in flight", "seen"]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Where an open mail is."""

    box: Box
    mail: Mail
    place: Place

    @property
    def was_sent(self) -> bool:
        """Whether the recipient's side may have it."""
        return self.place in ("in flight", "seen") or self.mail.attempts > 0


def find(state: State, mail_id: str) -> Found | None:
    """The open mail with this id, and where it is."""
    for box in state.boxes.values():
        if box.in_flight is not None and box.in_flight.mail_id == mail_id:
            return Found(box=box, mail=box.in_flight, place="in flight")
        for mail in box.seen:
            if mail.mail_id == mail_id:
                return Found(box=box, mail=mail, place="seen")
    for box in state.boxes.values():
        for mail in box.waiting:
            if mail.mail_id == mail_id:
                return Found(box=box, mail=mail, place="waiting")
        for mail in box.held:
            if mail.mail_id == mail_id:
                return Found(box=box, mail=mail, place="held")
    return None


def need(state: State, mail_id: str, *places: Place) -> Found:
    """The open mail, in one of these places (none: any). Raises `IllegalEventError`."""
    found = find(state, mail_id)
    if found is None:
        raise IllegalEventError(f"mail {mail_id!r} is not open")
    if places and found.place not in places:
        raise IllegalEventError(f"mail {mail_id!r} is {found.place}, not {' or '.join(places)}")
    return found


def without(found: Found) -> Box:
    """The box after the mail was taken out of its place."""
    box, mail = found.box, found.mail
    match found.place:
        case "in flight":
            return replace(box, in_flight=None)
        case "seen":
            return replace(box, seen=tuple(other for other in box.seen if other is not mail))
        case "held":
            return replace(box, held=tuple(other for other in box.held if other is not mail))
        case "waiting":
            return replace(box, waiting=tuple(other for other in box.waiting if other is not mail))


def put(state: State, role: Role, box: Box) -> State:
    """The state with another box."""
    return replace(state, boxes={**state.boxes, role: box})


def counted(box: Box, end: str, by: int = 1) -> Box:
    """The box with `by` more mails that ended this way."""
    return replace(box, counts=replace(box.counts, **{end: getattr(box.counts, end) + by}))


def doubtful_sends(recent: tuple[Sent, ...], now_ms: int) -> tuple[Sent, ...]:
    """The calls whose answers a restart may have lost."""
    return tuple(sent for sent in recent if now_ms - sent.at_ms <= DOUBT_MS)


def doubtful_handouts(box: Box, now_ms: int) -> tuple[Mail, ...]:
    """The fetched mail that a restart may have lost in flight."""
    return box.handed if now_ms - box.handed_at_ms <= DOUBT_MS else ()


def normalise(text: str) -> str:
    """The text for comparisons: all white space as single spaces."""
    return " ".join(text.split())
