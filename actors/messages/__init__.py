"""Every message two processes exchange. Pure: structs only, no behaviour.

One module a dialogue: lifecycle, journal, job (turns too), mail, control. The struct's name is its kind on the wire.
Adding one = one struct there, its name here, and one branch in the actor that receives it; the catalogue is built from
the classes.

`must_arrive` messages are numbered, acknowledged after they are handled, and resent until then (machines/outbox);
the receiver drops one that it has seen before. The others may be lost with a process and are repeated or re-derived.
"""

from __future__ import annotations

from actors.messages.base import WIRE_VERSION, Message
from actors.messages.control import (
    AgentContact,
    AgentStatus,
    AskHuman,
    ControlRun,
    FollowUp,
    GiveVerdict,
    HumanHeard,
    OpenTurn,
    Progress,
    RequestReview,
    RunEnded,
    RunStatus,
    SayToAgent,
)
from actors.messages.job import (
    BreakOffTurn,
    HoldTurns,
    JobEnded,
    KeepJobs,
    PeerWrote,
    RunTurn,
    StartJob,
    TurnEnded,
    UsageReported,
)
from actors.messages.journal import Append, Appended, Load, Loaded, Note, SessionOpened
from actors.messages.lifecycle import (
    Ack,
    ActorDown,
    ActorUp,
    Applied,
    Apply,
    CannotStart,
    Heartbeat,
    MailboxItem,
    Peek,
    Peeked,
    Ready,
    Refused,
    StopActor,
    Undeliverable,
)
from actors.messages.mail import (
    ChangeMail,
    DeliverMail,
    ListMail,
    MailAccepted,
    MailAnswered,
    MailFailed,
    MailList,
    MailMoment,
    MailRecord,
    MailSeen,
    MailShown,
    OtherWorkDone,
    ShowMail,
)
from actors.messages.values import (
    Cause,
    Count,
    FoundTurn,
    Purpose,
    Record,
    RunState,
    Spent,
    TimeMs,
    TurnOutcome,
    TurnStatus,
    Usage,
)

__all__ = [
    "KINDS",
    "WIRE_VERSION",
    "Ack",
    "ActorDown",
    "ActorUp",
    "AgentContact",
    "AgentStatus",
    "Append",
    "Appended",
    "Applied",
    "Apply",
    "AskHuman",
    "BreakOffTurn",
    "CannotStart",
    "Cause",
    "ChangeMail",
    "ControlRun",
    "Count",
    "DeliverMail",
    "FollowUp",
    "FoundTurn",
    "GiveVerdict",
    "Heartbeat",
    "HoldTurns",
    "HumanHeard",
    "JobEnded",
    "KeepJobs",
    "ListMail",
    "Load",
    "Loaded",
    "MailAccepted",
    "MailAnswered",
    "MailFailed",
    "MailList",
    "MailMoment",
    "MailRecord",
    "MailSeen",
    "MailShown",
    "MailboxItem",
    "Message",
    "Note",
    "OpenTurn",
    "OtherWorkDone",
    "Peek",
    "Peeked",
    "PeerWrote",
    "Progress",
    "Purpose",
    "Ready",
    "Record",
    "Refused",
    "RequestReview",
    "RunEnded",
    "RunState",
    "RunStatus",
    "RunTurn",
    "SayToAgent",
    "SessionOpened",
    "ShowMail",
    "Spent",
    "StartJob",
    "StopActor",
    "TimeMs",
    "TurnEnded",
    "TurnOutcome",
    "TurnStatus",
    "Undeliverable",
    "Usage",
    "UsageReported",
]


def _catalogue(base: type[Message]) -> dict[str, type[Message]]:
    found: dict[str, type[Message]] = {}
    for cls in base.__subclasses__():
        found[cls.__name__] = cls
        found.update(_catalogue(cls))
    return found


KINDS: dict[str, type[Message]] = _catalogue(Message)
