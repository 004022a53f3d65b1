"""The protocol between a console and the control server of a run. Pure: structs, and bytes to and from them.

A console sends requests, each in one frame, and gets one answer per request, with its id. A console that follows also
gets news, with id 0. Nothing here is ever unpickled. Numbers from a console are a `Count`: anything else is refused
before it reaches an actor. A new request needs one struct here and one branch in `handlers`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.errors import ProtocolError
from actors.messages import AgentStatus, CheckStatus, Count, MailboxItem, MailRecord, Progress, RunStatus
from actors.wire.encoding import to_msgpack
from actors.wire.unpack import Unpacker

# The control server and the consoles of one run may come from two installations: a console states its protocol version.
CONSOLE_VERSION = 1
# A follow-up or a message may be a pasted file.
MAX_REQUEST_BYTES = 4 * 1024 * 1024

# running: ready, with nothing to do. busy: at work, see `doing`. stuck: no progress, it is being killed. restarting:
# down for the moment. stopped: by hand, until the user starts it. dead: down, and not restarted.
Liveness = Literal["starting", "running", "busy", "stuck", "restarting", "stopping", "stopped", "dead"]


class ActorReport(msgspec.Struct, frozen=True, kw_only=True):
    """One actor as the supervisor sees it. Times are Unix ms; 0 = never, or not now."""

    name: str
    state: Liveness
    why: str = ""  # of stuck, restarting ("2 of 10: crash (signal 9)"), stopped and dead
    incarnation: int = 0
    pid: int = 0
    since_ms: int = 0  # when the incarnation became ready
    heard_at_ms: int = 0  # last heartbeat
    silence_s: float = 10.0  # a longer silence is a hang
    restarts: int = 0
    mailbox: int = 0  # messages that wait
    handled: int = 0
    doing: str = ""  # the slow message in its handler, or the turn that runs
    doing_since_ms: int = 0
    last_event: str = ""  # the last event of its agent
    last_event_at_ms: int = 0


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """Another host: one with actors of the run, or one that it may use. Times are Unix ms.

    idle: nobody needed it yet. starting: it is being reached. away: its link has ended, and is being made again.
    given-up: its actors have continued elsewhere.
    """

    name: str
    actors: list[str]
    state: Literal["idle", "starting", "connected", "away", "given-up"]
    since_ms: int  # of the state; 0 = unknown
    why: str = ""  # of "away" and "given-up": how the link has ended
    python: str = ""  # its version there; "" = not known yet
    round_trip_ms: float | None = None  # of the lease's last question; None = not known yet
    failure: str = ""  # the last one, also when it is over
    failed_at_ms: int = 0


class DeadLetterReport(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was not delivered."""

    at_ms: int
    id: str
    sender: str
    recipient: str
    kind: str
    reason: str
    attempts: int
    kept: bool = False  # its sender keeps it and sends it again: it is not lost yet


# --- requests -----------------------------------------------------------------------------------------------


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all requests."""


class Follow(Request, frozen=True, kw_only=True, tag=True):
    """Send news from now on, and first the last `last` ones. Answered with `Done`."""

    last: Count = 0


class GetReport(Request, frozen=True, kw_only=True, tag=True):
    """Report the state of the run. Answered with `Report` from memory, without asking an actor."""


class PeekMailbox(Request, frozen=True, kw_only=True, tag="LookIntoMailbox"):
    """Show an actor's mailbox. Answered with `MailboxReport`, also while the actor's handler is stuck."""

    actor: str
    limit: Count = 20


class Inspect(Request, frozen=True, kw_only=True, tag=True):
    """Evaluate a Python expression in the actor, where `actor` is the actor; "" = an overview. Answered with `Done`."""

    actor: str
    expression: str = ""


class Say(Request, frozen=True, kw_only=True, tag=True):
    """Bring this text to the agent. `agent` is its name or its role; "" = the one whose turn runs."""

    message_id: str  # a UUID of the console's choice
    agent: str
    text: str


class Interrupt(Request, frozen=True, kw_only=True, tag=True):
    """Interrupt the running turn of this agent; "" = of all."""

    agent: str = ""


class Control(Request, frozen=True, kw_only=True, tag=True):
    """Pause at the turn's end, or now; resume; stop gracefully, or immediately."""

    action: Literal["pause", "pause-now", "resume", "stop", "stop-now"]


class AnswerQuestion(Request, frozen=True, kw_only=True, tag=True):
    """Answer the open question with a follow-up; a blank text stops the run."""

    text: str


class RequestReview(Request, frozen=True, kw_only=True, tag="AskForReview"):
    """Review the work as it is."""


class SubmitVerdict(Request, frozen=True, kw_only=True, tag="Judge"):
    """Give the user's verdict."""

    approved: bool
    notes: str = ""


class WaiveFinding(Request, frozen=True, kw_only=True, tag=True):
    """Waive a finding of the reviews: its reviewer is not to raise it again."""

    finding_id: str
    reason: str = ""


class ChangeActor(Request, frozen=True, kw_only=True, tag=True):
    """kill: stop it and leave it down. start: up again. restart: both."""

    action: Literal["restart", "kill", "start"]
    actor: str


class PlaceActor(Request, frozen=True, kw_only=True, tag=True):
    """Move an agent's actor to this host when its running turn has ended; `now` interrupts it. Answered by `Done`."""

    actor: str  # its role, or its agent's name
    host: str  # "home" = home
    now: bool = False


class ShowMail(Request, frozen=True, kw_only=True, tag="LookAtMail"):
    """List the mail between the agents: all unfinished mail and the newest `finished` of the rest; or show the mail
    `mail_id`. Answered with `MailReport`.
    """

    mail_id: str = ""  # or its beginning
    finished: Count = 20


class ChangeMail(Request, frozen=True, kw_only=True, tag="OrderMail"):
    """Change a mail. Answered with `MailReport`: the mail after the change."""

    change_id: str  # a UUID of the console's choice: the same change is made once
    action: Literal["hold", "release", "edit", "requeue", "drop"]
    mail_id: str  # or its beginning
    text: str = ""  # the new text of an edit; the reason of a drop


class Trace(Request, frozen=True, kw_only=True, tag=True):
    """Switch the trace of messages between actors on or off. `only`: a text that their line must contain."""

    on: bool
    only: str = ""
    bodies: bool = False


AnyRequest = (
    Follow
    | GetReport
    | PeekMailbox
    | Inspect
    | Say
    | Interrupt
    | Control
    | AnswerQuestion
    | RequestReview
    | SubmitVerdict
    | WaiveFinding
    | ChangeActor
    | PlaceActor
    | ShowMail
    | ChangeMail
    | Trace
)


# --- answers ------------------------------------------------------------------------------------------------


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all answers and news."""


class Done(Answer, frozen=True, kw_only=True, tag=True):
    """The request was carried out. `text` describes the outcome for the user."""

    text: str = ""


class Refusal(Answer, frozen=True, kw_only=True, tag=True):
    """Nothing was done, or (`in_doubt`) it is not known yet whether it was."""

    text: str
    in_doubt: bool = False


class Report(Answer, frozen=True, kw_only=True, tag=True):
    """The state of the run. `status` is None until the run has reported.

    `question` is the supervisor's, when an actor ended too often: the run is suspended until the user restarts the
    actor. `status` has the open question, the run's own or this one.
    """

    at_ms: int
    run_id: str
    key: str
    directory: str
    cwd: str
    root_pid: int
    started_at_ms: int
    status: RunStatus | None
    actors: list[ActorReport]
    agents: list[AgentStatus]
    dead_letters: int
    consoles: int
    question: str = ""
    check: CheckStatus | None = None  # that runs now
    worktree: str = ""  # the added git worktree that `cwd` is in; "" = in none
    hosts: list[HostReport] = msgspec.field(default_factory=list)
    problems: list[str] = msgspec.field(default_factory=list)  # that do not stop the run, for the user


class MailboxReport(Answer, frozen=True, kw_only=True, tag=True):
    """Messages of an actor: waiting, in its handler, handled last; and dead letters from or to it."""

    actor: str
    state: Liveness
    doing: str = ""  # as in `ActorReport`: a turn runs beside the mailbox
    doing_since_ms: int = 0
    waiting: list[MailboxItem]
    handling: MailboxItem | None
    handled: list[MailboxItem]
    dead_letters: list[DeadLetterReport]
    stacks: str = ""


class MailReport(Answer, frozen=True, kw_only=True, tag=True):
    """Mail between the agents: a list, or one mail in full."""

    mails: list[MailRecord]
    left_out: int = 0  # finished mail that is not in the list


# --- news ---------------------------------------------------------------------------------------------------


class Shown(Answer, frozen=True, kw_only=True, tag=True):
    """Something happened. `missed`: how many news before it this console lost because it did not read."""

    progress: Progress
    missed: int = 0


class Traced(Answer, frozen=True, kw_only=True, tag=True):
    """A message between two actors, as the router sees it."""

    at_ms: int
    kind: str
    sender: str
    recipient: str
    size: int  # of its body, in bytes
    latency_ms: int  # from its sender's `tell` to the router
    attempt: int
    answers: bool
    lost: str = ""  # why it was not delivered
    body: str = ""  # JSON, where it was asked for
    missed: int = 0


class Ended(Answer, frozen=True, kw_only=True, tag=True):
    """The run is over, and the control server closes."""

    state: str
    detail: str


AnyNews = Shown | Traced | Ended
AnyAnswer = Done | Refusal | Report | MailboxReport | MailReport | AnyNews


class FromConsole(msgspec.Struct, frozen=True, kw_only=True):
    """One frame from a console. The request is decoded separately, so that an unknown one can be answered."""

    version: int = CONSOLE_VERSION
    id: int
    request: msgspec.Raw


class ToConsole(msgspec.Struct, frozen=True, kw_only=True):
    """One frame to a console. `id` is the answered request's, or 0 for news."""

    id: int
    body: AnyAnswer


_from_console: Unpacker[FromConsole] = Unpacker(FromConsole)
_request: Unpacker[AnyRequest] = Unpacker(AnyRequest)
_to_console: Unpacker[ToConsole] = Unpacker(ToConsole)


def encode_request(request_id: int, request: Request) -> bytes:
    """Returns the frame of a request."""
    return to_msgpack(FromConsole(id=request_id, request=msgspec.Raw(to_msgpack(request))))


def decode_request(frame: bytes) -> tuple[int, AnyRequest | Refusal]:
    """Returns the id and the request, or the refusal of a request that this version does not know. Raises ProtocolError
    for a frame without an id.
    """
    envelope = _from_console.unpack(frame, "request")
    if envelope.version != CONSOLE_VERSION:
        return envelope.id, Refusal(
            text=f"this console speaks version {envelope.version}, the run {CONSOLE_VERSION}: "
            "use the loop that started the run"
        )
    try:
        return envelope.id, _request.unpack(envelope.request, "request")
    except ProtocolError as error:
        return envelope.id, Refusal(text=f"the run does not know this request ({error})")


def encode_answer(request_id: int, body: AnyAnswer) -> bytes:
    """Returns the frame of an answer, or of news under id 0."""
    return to_msgpack(ToConsole(id=request_id, body=body))


def decode_answer(frame: bytes) -> ToConsole:
    """Decodes a frame. Raises ProtocolError for bytes that are no frame."""
    try:
        return _to_console.unpack(frame, "answer")
    except ProtocolError as error:
        raise ProtocolError(f"this console does not know the run's answer ({error})") from error
