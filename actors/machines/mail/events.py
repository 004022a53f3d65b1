"""What happened to mail: the events, as they stand in the journal. Pure."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from actors.settings import Role


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


class MailHandled(_Event, frozen=True, kw_only=True):
    """The turn that carried it has ended."""

    stored_as: ClassVar[str] = "MailAnswered"

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


class AgentRestarted(_Event, frozen=True, kw_only=True):
    """The program of this agent was started again; answers that were under way to it may be lost."""

    role: Role


class AgentWorked(_Event, frozen=True, kw_only=True):
    """A turn of this session has finished, and its agent had not come to the bridge by then. Once a session."""

    role: Role
    session_id: str


class AgentCame(_Event, frozen=True, kw_only=True):
    """The agent has asked the bridge something, for the first time in the run."""

    role: Role


class AgentAbsent(_Event, frozen=True, kw_only=True):
    """After a turn it had its time to come, and has not; the user is told. Once a session."""

    role: Role


class _Change(_Event, frozen=True, kw_only=True):
    """What a person did to one mail. `change_id` is the console's: the same change is not made twice."""

    mail_id: str
    change_id: str


class MailHeld(_Change, frozen=True, kw_only=True):
    """It was queued, and is kept back; what was queued behind it goes on."""


class MailReleased(_Change, frozen=True, kw_only=True):
    """It was held, and takes its old place in the queue again."""


class MailEdited(_Change, frozen=True, kw_only=True):
    """Its text is another now; nothing of it has reached the recipient."""

    text: str


class MailRequeued(_Change, frozen=True, kw_only=True):
    """It is queued as if it had been sent now. What it was before is not in the state, so all of it stands here."""

    sender: Role
    target: Role
    text: str
    was: Literal["held", "dead", "suppressed", "dropped"]
    repeat: bool = False  # it may have been read before
    edited: bool = False


class MailDropped(_Change, frozen=True, kw_only=True):
    """A person ended it. A dead letter is put out of sight by it."""

    target: Role
    was: Literal["queued", "held", "dead"]
    reason: str


Change = MailHeld | MailReleased | MailEdited | MailRequeued | MailDropped
Event = (
    MailQueued
    | MailSuppressed
    | CallRepeated
    | DeliveryStarted
    | MailAccepted
    | MailSeen
    | MailHandled
    | DeliveryFailed
    | MailDied
    | MailReceived
    | HopsReset
    | BridgeRestarted
    | AgentRestarted
    | AgentWorked
    | AgentCame
    | AgentAbsent
    | Change
)
EVENTS: tuple[type[Event], ...] = (
    MailQueued,
    MailSuppressed,
    CallRepeated,
    DeliveryStarted,
    MailAccepted,
    MailSeen,
    MailHandled,
    DeliveryFailed,
    MailDied,
    MailReceived,
    HopsReset,
    BridgeRestarted,
    AgentRestarted,
    AgentWorked,
    AgentCame,
    AgentAbsent,
    MailHeld,
    MailReleased,
    MailEdited,
    MailRequeued,
    MailDropped,
)
