"""Every message two processes exchange. Pure: structs only, no behaviour.

One module per dialogue: lifecycle, journal, job (turns included), mail, control. The struct's name is its kind on the
wire. To add one: a struct there, its name here, and one branch in the actor that receives it. The catalogue is built
from the classes.

`must_arrive` messages are numbered, acknowledged after they are handled, and resent until then; the receiver drops
duplicates (machines/reliable_delivery). The others may be lost with a process and are repeated or re-derived.
"""

from __future__ import annotations

from actors.messages.base import WIRE_VERSION, Message
from actors.messages.control import (
    AgentContact,
    AgentStatus,
    AnswerQuestionRequest,
    CheckStatus,
    ControlRun,
    HumanHeard,
    Notable,
    NotableEvent,
    OpenTurn,
    Progress,
    QuestionAsked,
    ReviewRequest,
    RunEnded,
    RunStatus,
    SayToAgent,
    SubmitVerdictRequest,
)
from actors.messages.job import (
    InterruptTurnRequest,
    JobEnded,
    KeepJobs,
    PauseTurns,
    PeerWrote,
    StartJob,
    StartTurnRequest,
    TurnSettledReport,
    UsageReport,
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
    MailAcceptedReport,
    MailFailedReport,
    MailHandledReport,
    MailList,
    MailMoment,
    MailRecord,
    MailSeenReport,
    MailShown,
    OtherWorkDone,
    ShowMail,
)
from actors.messages.values import (
    FULL_PERCENT,
    ROLE_PROMPT,
    Cause,
    Count,
    Finding,
    FindingState,
    FoundTurn,
    Patience,
    ProgressKind,
    Proof,
    ProvingCheck,
    ProvingVerdict,
    Purpose,
    Record,
    RunState,
    Spent,
    TimeMs,
    TurnOutcome,
    TurnStatus,
    Usage,
    Window,
)

__all__ = [
    "FULL_PERCENT",
    "KINDS",
    "ROLE_PROMPT",
    "WIRE_VERSION",
    "Ack",
    "ActorDown",
    "ActorUp",
    "AgentContact",
    "AgentStatus",
    "AnswerQuestionRequest",
    "Append",
    "Appended",
    "Applied",
    "Apply",
    "CannotStart",
    "Cause",
    "ChangeMail",
    "CheckStatus",
    "ControlRun",
    "Count",
    "DeliverMail",
    "Finding",
    "FindingState",
    "FoundTurn",
    "Heartbeat",
    "HumanHeard",
    "InterruptTurnRequest",
    "JobEnded",
    "KeepJobs",
    "ListMail",
    "Load",
    "Loaded",
    "MailAcceptedReport",
    "MailFailedReport",
    "MailHandledReport",
    "MailList",
    "MailMoment",
    "MailRecord",
    "MailSeenReport",
    "MailShown",
    "MailboxItem",
    "Message",
    "Notable",
    "NotableEvent",
    "Note",
    "OpenTurn",
    "OtherWorkDone",
    "Patience",
    "PauseTurns",
    "Peek",
    "Peeked",
    "PeerWrote",
    "Progress",
    "ProgressKind",
    "Proof",
    "ProvingCheck",
    "ProvingVerdict",
    "Purpose",
    "QuestionAsked",
    "Ready",
    "Record",
    "Refused",
    "ReviewRequest",
    "RunEnded",
    "RunState",
    "RunStatus",
    "SayToAgent",
    "SessionOpened",
    "ShowMail",
    "Spent",
    "StartJob",
    "StartTurnRequest",
    "StopActor",
    "SubmitVerdictRequest",
    "TimeMs",
    "TurnOutcome",
    "TurnSettledReport",
    "TurnStatus",
    "Undeliverable",
    "Usage",
    "UsageReport",
    "Window",
]


def _catalogue(base: type[Message]) -> dict[str, type[Message]]:
    found: dict[str, type[Message]] = {}
    for cls in base.__subclasses__():
        found[cls.__name__] = cls
        found.update(_catalogue(cls))
    return found


KINDS: dict[str, type[Message]] = _catalogue(Message)
