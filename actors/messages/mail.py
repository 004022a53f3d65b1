"""Messages between the bridge, the session owners, and consoles that show mail. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.messages.base import Message
from actors.messages.values import Count

# What the recipient's side says has become of a mail; each has its report below.
Receipt = Literal["accepted", "seen", "handled", "failed"]


class DeliverMail(Message, frozen=True, kw_only=True):
    """Bridge -> session owner: bring this mail to your agent: steer the running turn, or start one."""

    must_arrive = True

    mail_id: str
    sender: str  # name of the sending agent
    text: str  # the whole prompt, with the bridge's preamble
    attempt: int


class MailAcceptedReport(Message, frozen=True, kw_only=True):
    """Session owner -> bridge: the mail is in our durable turn ledger, or was handed to the running turn."""

    must_arrive = True

    mail_id: str


class MailSeenReport(Message, frozen=True, kw_only=True):
    """Session owner -> bridge: evidence that the agent has it (its transcript has our id)."""

    must_arrive = True

    mail_id: str


class MailHandledReport(Message, frozen=True, kw_only=True):
    """Session owner -> bridge: the turn that carried the mail has ended."""

    must_arrive = True

    mail_id: str


class MailFailedReport(Message, frozen=True, kw_only=True):
    """Session owner -> bridge: this attempt failed; the mail stays queued."""

    must_arrive = True

    mail_id: str
    reason: str


class OtherWorkDone(Message, frozen=True, kw_only=True):
    """Session owner -> bridge: something happened that is not mail (a turn of the run has ended): hops start at 0."""

    must_arrive = True

    what: str  # for the user, e.g. "work turn ended"
    finished_in: str = ""  # the agent's session, when one of its turns has finished; "" = none has


class MailMoment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a mail, for the user."""

    at_ms: int
    what: str


class MailRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One mail between the agents, as users see it."""

    mail_id: str
    sender: str  # the agent's name for the user
    recipient: str
    status: str  # queued, held, in flight, accepted, seen, handled, fetched, suppressed, dead, dropped
    text: str  # in a list only its beginning
    sent_at_ms: int
    changed_at_ms: int
    attempts: int
    reason: str  # why it is not delivered, as far as that is known
    moments: list[MailMoment]  # oldest first; in a list none


class ListMailRequest(Message, frozen=True, kw_only=True):
    """Console -> bridge: all mail that is not finished, dead letters, and the newest `finished` of the rest.

    Answered by `MailList`.
    """

    only_looks = True

    finished: Count = 20


class MailList(Message, frozen=True, kw_only=True):
    """Answer to `ListMailRequest`, in the order in which it was sent."""

    mails: list[MailRecord]
    left_out: int = 0  # finished mail that is not in the list


class ShowMailRequest(Message, frozen=True, kw_only=True):
    """Console -> bridge: show one mail in full. Answered by `MailShown`."""

    only_looks = True

    mail_id: str  # or an unambiguous prefix of it


class ChangeMailRequest(Message, frozen=True, kw_only=True):
    """Console -> bridge: a user's change. Answered by `MailShown`, when it is durable and carried out.

    Repeating a `change_id` changes nothing.
    """

    change_id: str
    action: Literal["hold", "release", "edit", "requeue", "drop"]
    mail_id: str  # as in `ShowMailRequest`
    text: str = ""  # the new text of an edit; the reason of a drop


class MailShown(Message, frozen=True, kw_only=True):
    """Answer to `ShowMailRequest` and `ChangeMailRequest`."""

    mail: MailRecord
