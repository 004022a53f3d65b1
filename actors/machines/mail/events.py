"""The mail events, as the journal stores them. Pure."""

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
    """The text only echoes what was last delivered to its sender; it is not delivered."""

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
    """It is not retried: a dead letter."""

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
    """A new bridge has started; answers in flight may be lost."""


class AgentRestarted(_Event, frozen=True, kw_only=True):
    """An agent's program was restarted; answers in flight to it may be lost."""

    role: Role


class AgentWorked(_Event, frozen=True, kw_only=True):
    """A turn of this session has finished before its agent first contacted the bridge. Once per session."""

    role: Role
    session_id: str


class AgentCame(_Event, frozen=True, kw_only=True):
    """The agent has sent the bridge its first request in the run."""

    role: Role


class AgentAbsent(_Event, frozen=True, kw_only=True):
    """The agent had time after a turn to contact the bridge, and did not; the user is told. Once per session."""

    role: Role


class _Change(_Event, frozen=True, kw_only=True):
    """A user's change of one mail. `change_id` comes from the console: a change is never made twice."""

    mail_id: str
    change_id: str


class MailHeld(_Change, frozen=True, kw_only=True):
    """A queued mail is held; the mail behind it continues."""


class MailReleased(_Change, frozen=True, kw_only=True):
    """A held mail returns to its old place in the queue."""


class MailEdited(_Change, frozen=True, kw_only=True):
    """Its text is replaced; nothing of it has reached the recipient."""

    text: str


class MailRequeued(_Change, frozen=True, kw_only=True):
    """It is queued as if sent now. The state no longer has its content, so the event contains all of it."""

    sender: Role
    target: Role
    text: str
    was: Literal["held", "dead", "suppressed", "dropped"]
    repeat: bool = False  # it may have been read before
    edited: bool = False


class MailDropped(_Change, frozen=True, kw_only=True):
    """The user ended it. A dead letter is hidden by it."""

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
