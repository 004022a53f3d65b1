"""Every message two processes exchange. Pure: structs only, no behaviour.

Grouped by concern: lifecycle, journal, turn, job, mail, run, console. The struct's name is its kind on the wire.
Adding one = one struct here and one branch in the actor that receives it; the catalogue is built from the classes.

`must_arrive` messages are numbered, acknowledged after they are handled, and resent until then (machines/outbox);
the receiver drops one that it has seen before. The others may be lost with a process and are repeated or re-derived.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

WIRE_VERSION = 1


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all messages: a frozen struct, encoded as a msgpack map."""

    must_arrive: ClassVar[bool] = False
    # A question of a console that changes nothing: whatever its handler raises is its answer, and the actor lives on.
    only_looks: ClassVar[bool] = False


# --- values that travel inside messages ---------------------------------------------------------------------

# A number that a console or a client gives: how many of something it wants.
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
# Unix ms of a time that a calendar can show: up to the year 9999.
TimeMs = Annotated[int, msgspec.Meta(ge=0, le=253_402_214_400_000)]
TurnStatus = Literal["finished", "failed", "interrupted", "limited"]
# Why a turn failed, where that decides what helps. transient: the provider or the way to it, which is waited for;
# billing, login, unavailable: the agent cannot work until somebody does something; context: its session is full.
Cause = Literal["", "transient", "billing", "login", "unavailable", "context"]
Purpose = Literal["brief", "plan", "plan-review", "work", "review", "pull-request", "mail", "human"]
RunState = Literal["submitted", "working", "reviewing", "input-required", "completed", "failed", "stopped"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens and money of one turn, or of many, as the agent reports them.

    What it does not report is unknown, not zero: of many, what is known of them is the least that it was.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    tokens_known: bool = True
    cost_known: bool = True


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What the settled turns of one session with one model have used together."""

    role: Literal["worker", "reviewer"]
    model: str  # "" = the agent's own default
    turns: int
    usage: Usage


class TurnOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a turn ended. `text` is the agent's last message; `error` one line when the status is not finished."""

    status: TurnStatus
    text: str = ""
    error: str = ""
    resets_at_ms: int | None = None  # only for "limited": when the provider's limit ends, Unix ms
    cause: Cause = ""  # only for "failed", and only when it is known
    usage: Usage = Usage()


class FoundTurn(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent's own transcript says of a user message id. `outcome` only when finished.

    `unread`, only when unfinished: it was steered into a turn that ended before the model was asked with it.
    """

    state: Literal["absent", "unfinished", "finished"]
    outcome: TurnOutcome | None = None
    unread: bool = False


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One journalled event. `body` is the JSON text of the event struct whose name is `kind`."""

    event_id: str
    at_ms: int
    kind: str
    body: str


# --- lifecycle ----------------------------------------------------------------------------------------------


class Ready(Message, frozen=True, kw_only=True):
    """Actor -> supervisor: on_start is done. `detail` is shown to people (for the bridge: its URL)."""

    pid: int
    detail: str = ""


class CannotStart(Message, frozen=True, kw_only=True):
    """Actor process -> supervisor, before it ends with `EXIT_PERMANENT`: why it cannot start, nor would later."""

    reason: str


class Heartbeat(Message, frozen=True, kw_only=True):
    """Actor process -> supervisor, once a second, from its I/O thread; says how its handler is doing."""

    handler_age_ms: int  # age of the message being handled now; 0 when idle
    handling: str  # its kind; "" when idle
    mailbox: int
    handled: int
    note: str = ""  # what the actor is busy with beside its mailbox, e.g. "turn work-3 for 41 s"


class StopActor(Message, frozen=True, kw_only=True):
    """Supervisor -> actor: finish what must be finished, close, exit 0."""

    reason: str
    grace_s: float


class ActorUp(Message, frozen=True, kw_only=True):
    """Supervisor -> every actor of the run: `name` is ready under this incarnation. Resend what waits for it."""

    name: str
    incarnation: int


class ActorDown(Message, frozen=True, kw_only=True):
    """Supervisor -> every actor of the run: this incarnation of `name` is gone, with all its processes."""

    name: str
    incarnation: int
    reason: str


class Undeliverable(Message, frozen=True, kw_only=True):
    """Router -> sender: the message was not handed over. The router keeps it as a dead letter."""

    message_id: str
    recipient: str
    kind: str
    reason: str
    kept: bool = False  # numbered: the sender's outbox keeps it and sends it again by itself


class Ack(Message, frozen=True, kw_only=True):
    """Receiver -> sender: the must-arrive message numbered `seq` was handled."""

    seq: int


class Refused(Message, frozen=True, kw_only=True):
    """Answer to a request that could not be served. `error` is the exception's class name."""

    error: str
    detail: str


class Apply(Message, frozen=True, kw_only=True):
    """Root -> actor: run this cloudpickled function on the actor and answer with repr() of its result.

    Only ever unpickled when the envelope's sender is the root (architecture: code, not mail).
    """

    only_looks = True

    function: bytes


class Applied(Message, frozen=True, kw_only=True):
    """Answer to `Apply`: repr of the result."""

    text: str


class Peek(Message, frozen=True, kw_only=True):
    """Console -> actor process: answered by its I/O thread even while a handler is stuck."""

    only_looks = True

    limit: Count = 20


class MailboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """One message in a mailbox, without its body."""

    id: str
    kind: str
    sender: str
    age_ms: int


class Peeked(Message, frozen=True, kw_only=True):
    """Answer to `Peek`."""

    waiting: list[MailboxItem]
    handling: MailboxItem | None
    handled: list[MailboxItem]  # newest first
    stacks: str  # one text with all threads' stacks


# --- journal ------------------------------------------------------------------------------------------------


class Append(Message, frozen=True, kw_only=True):
    """Writer -> persistence: make these events durable, then answer `Appended`, or `Refused`.

    Idempotent: records whose event_id is already in the stream are skipped, so the same request may be sent again
    after a crash. `epoch` is the writer's incarnation; a lower one than the stream has seen is refused.
    """

    stream: str  # "run", "turns/worker", "turns/reviewer", "mail"
    epoch: int
    expected_version: int  # number of records the writer believes the stream has
    records: list[Record]


class Appended(Message, frozen=True, kw_only=True):
    """Answer to `Append`: the records are durable; the stream now has `version` records."""

    stream: str
    version: int


class Load(Message, frozen=True, kw_only=True):
    """Actor -> persistence: the records of a stream from number `after` on. Answered by `Loaded`.

    Fences older epochs of the stream.
    """

    stream: str
    epoch: int
    after: int = 0


class Loaded(Message, frozen=True, kw_only=True):
    """Answer to `Load`, in order of writing. `more`: the stream goes on after these, too many for one message."""

    stream: str
    records: list[Record]
    more: bool = False


class Note(Message, frozen=True, kw_only=True):
    """Any actor -> persistence: a line for transcript.jsonl that is not an event (a message, a status detail)."""

    must_arrive = True

    sender: str
    recipient: str
    text: str
    at_ms: int
    note_id: str = ""  # a line with an id that was written before is not written again; "" = always written


class SessionOpened(Message, frozen=True, kw_only=True):
    """Session owner -> persistence: the agent's session id for the manifest. Also -> bridge: the agent's program was
    started, so what was being answered to a former one may be lost.
    """

    must_arrive = True

    role: Literal["worker", "reviewer"]
    agent: str
    session_id: str


# --- turn ---------------------------------------------------------------------------------------------------


class RunTurn(Message, frozen=True, kw_only=True):
    """Run -> session owner: run this turn in your session. Repeating the same turn_id never runs it twice."""

    must_arrive = True

    turn_id: str
    purpose: Purpose
    prompt: str
    model: str = ""  # "" = the session's own
    continues: str = ""  # the attempt before: if the session has its prompt, `reminder` is sent instead of `prompt`
    reminder: str = ""


class TurnEnded(Message, frozen=True, kw_only=True):
    """Session owner -> run: the turn has ended and its outcome is durable."""

    must_arrive = True

    turn_id: str
    purpose: Purpose
    outcome: TurnOutcome


class BreakOffTurn(Message, frozen=True, kw_only=True):
    """Run or console -> session owner: end this turn now, or do not start it; it settles as interrupted."""

    must_arrive = True

    turn_id: str
    reason: str


class HoldTurns(Message, frozen=True, kw_only=True):
    """Run -> session owner: start no turn (mail included) while `held`; a running turn continues to its end.

    A session that has not heard from the run yet is held.
    """

    must_arrive = True

    held: bool


class UsageReported(Message, frozen=True, kw_only=True):
    """Session owner -> run: what a turn has used that the run does not wait for. Told again after a restart."""

    must_arrive = True

    role: Literal["worker", "reviewer"]
    turn_id: str
    purpose: Purpose
    model: str  # "" = the agent's own default
    usage: Usage


# --- job ----------------------------------------------------------------------------------------------------


class StartJob(Message, frozen=True, kw_only=True):
    """Run -> owner of the working tree: do this there (actors/runners). The same job_id again starts nothing."""

    must_arrive = True

    job_id: str
    kind: str  # name of the run's command
    body: str  # the command as JSON


class JobEnded(Message, frozen=True, kw_only=True):
    """Owner of the working tree -> run: the answer to `StartJob`. A job that was broken off has none."""

    must_arrive = True

    job_id: str
    kind: str  # name of the run's event
    body: str  # the event as JSON


class KeepJobs(Message, frozen=True, kw_only=True):
    """Run -> owner of the working tree: only these jobs are still wanted; break off the others."""

    must_arrive = True

    job_ids: tuple[str, ...]


class PeerWrote(Message, frozen=True, kw_only=True):
    """Session owner -> run: its agent has seen a mail of its peer."""

    must_arrive = True


# --- mail ---------------------------------------------------------------------------------------------------


class DeliverMail(Message, frozen=True, kw_only=True):
    """Bridge -> session owner: bring this mail to your agent: steer the running turn, or start one."""

    must_arrive = True

    mail_id: str
    sender: str  # name of the sending agent
    text: str  # the whole prompt, with the bridge's preamble
    attempt: int


class MailAccepted(Message, frozen=True, kw_only=True):
    """Session owner -> bridge: the mail is in our durable turn ledger, or was handed to the running turn."""

    must_arrive = True

    mail_id: str


class MailSeen(Message, frozen=True, kw_only=True):
    """Session owner -> bridge: evidence that the agent has it (our id stands in its transcript)."""

    must_arrive = True

    mail_id: str


class MailAnswered(Message, frozen=True, kw_only=True):
    """Session owner -> bridge: the turn that carried the mail has ended."""

    must_arrive = True

    mail_id: str


class MailFailed(Message, frozen=True, kw_only=True):
    """Session owner -> bridge: this attempt failed; the mail stays queued."""

    must_arrive = True

    mail_id: str
    reason: str


class OtherWorkDone(Message, frozen=True, kw_only=True):
    """Session owner -> bridge: something happened that is not mail (a turn of the run has ended): hops start at 0."""

    must_arrive = True

    what: str  # for people, e.g. "work turn ended"
    finished_in: str = ""  # the agent's session, when one of its turns has finished; "" = none has


class MailMoment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a mail, for people."""

    at_ms: int
    what: str


class MailRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One mail between the agents, as people see it."""

    mail_id: str
    sender: str  # what people call the agent
    recipient: str
    status: str  # queued, held, in flight, accepted, seen, answered, fetched, suppressed, dead, dropped
    text: str  # in a list only its beginning
    sent_at_ms: int
    changed_at_ms: int
    attempts: int
    reason: str  # why it is not delivered, as far as that is known
    moments: list[MailMoment]  # oldest first; in a list none


class ListMail(Message, frozen=True, kw_only=True):
    """Console -> bridge: all mail that is not finished, dead letters, and the newest `finished` of the rest.

    Answered by `MailList`.
    """

    only_looks = True

    finished: Count = 20


class MailList(Message, frozen=True, kw_only=True):
    """Answer to `ListMail`, in the order in which it was sent."""

    mails: list[MailRecord]
    left_out: int = 0  # finished mail that is not in the list


class ShowMail(Message, frozen=True, kw_only=True):
    """Console -> bridge: all about one mail. Answered by `MailShown`."""

    only_looks = True

    mail_id: str  # or the beginning of it, if that is of one mail only


class ChangeMail(Message, frozen=True, kw_only=True):
    """Console -> bridge: a person's order. Answered by `MailShown`, when it is durable and carried out.

    The same `change_id` again changes nothing.
    """

    change_id: str
    action: Literal["hold", "release", "edit", "requeue", "drop"]
    mail_id: str  # as in `ShowMail`
    text: str = ""  # the new text of an edit; the reason of a drop


class MailShown(Message, frozen=True, kw_only=True):
    """Answer to `ShowMail` and `ChangeMail`."""

    mail: MailRecord


# --- run ----------------------------------------------------------------------------------------------------


class ControlRun(Message, frozen=True, kw_only=True):
    """Supervisor, console or session owner -> run. "stop" ends gracefully (state stopped); "pause" takes effect at the
    turn's end, "pause-now" interrupts it; "resume" goes on.
    """

    must_arrive = True

    action: Literal["stop", "pause", "pause-now", "resume"]
    reason: str = ""


class FollowUp(Message, frozen=True, kw_only=True):
    """Console -> run: the human's answer at the end of the iterations; blank means stop."""

    must_arrive = True

    text: str


class RunEnded(Message, frozen=True, kw_only=True):
    """Run -> supervisor: the run is over and that is durable. The supervisor stops the tree."""

    must_arrive = True

    state: RunState
    detail: str


# --- console ------------------------------------------------------------------------------------------------


class Progress(Message, frozen=True, kw_only=True):
    """Any actor -> console: something a person following the run wants to see. May be lost; the journal has it all."""

    at_ms: TimeMs
    source: str  # "run", "worker", "reviewer", "bridge", ...
    agent: str  # agent name, "" when it is not an agent speaking
    kind: str  # status, session, say, tool, tool-result, mail, check, limit, usage, note, error, raw
    text: str


class AskHuman(Message, frozen=True, kw_only=True):
    """Run -> console: a question is open (state input-required). Answered with `FollowUp`."""

    question: str


class OpenTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that the run waits for."""

    turn_id: str
    role: Literal["worker", "reviewer"]
    purpose: Purpose


class RunStatus(Message, frozen=True, kw_only=True):
    """Run -> console, whenever the run changes; and the answer to what a console asks of the run."""

    must_arrive = True

    at_ms: int
    state: RunState
    phase: str
    line: str  # all of it for people, e.g. "pausing, iteration 2 of 20: waits for codex"
    iteration: int
    max_iterations: int
    hold: Literal["none", "pause", "stop"]
    waits_for: str
    open_turns: list[OpenTurn]
    question: str  # the open one; "" when there is none
    detail: str  # why it is stopping or has ended
    task: str
    waits_until_ms: int = 0  # when the first wait for a provider ends, Unix ms; 0 = nobody waits for one
    spent: tuple[Spent, ...] = ()  # by all settled turns, messages included; one for each session and model


class AgentStatus(Message, frozen=True, kw_only=True):
    """Session owner -> console, whenever the session changes."""

    must_arrive = True

    role: Literal["worker", "reviewer"]
    agent: str
    label: str  # what people call it
    session_id: str
    can_steer: bool
    turn_id: str  # of the turn that runs now; "" when none does
    purpose: str
    since_ms: int  # Unix time at which it began
    waiting: int  # turns and messages that wait for their turn
    turns: int  # that have settled
    usage: Usage  # of all turns so far
    asks: str = ""  # what the agent waits for a person to answer in its own TUI; "" when it does not


class AgentContact(Message, frozen=True, kw_only=True):
    """Bridge -> console and run: whether the agent comes to the bridge, when that is wrong, or right again."""

    must_arrive = True

    role: Literal["worker", "reviewer"]
    problem: str  # for people; "" = it has come


class RequestReview(Message, frozen=True, kw_only=True):
    """Console -> run: review what there is at the next opportunity, as if the agent had said that it is done."""

    must_arrive = True


class GiveVerdict(Message, frozen=True, kw_only=True):
    """Console -> run: a person decides in place of the reviewers."""

    must_arrive = True

    approved: bool
    notes: str = ""


class SayToAgent(Message, frozen=True, kw_only=True):
    """Console -> session owner: bring this to your agent: into the running turn where that is possible, else as a
    turn of its own. The same `message_id` again changes nothing. Every change is told with `HumanHeard`.
    """

    must_arrive = True

    message_id: str
    text: str


class HumanHeard(Message, frozen=True, kw_only=True):
    """Session owner -> console: what has become of a `SayToAgent`. May be lost."""

    message_id: str
    how: Literal["steered", "turn", "waits", "settled"]  # in the running turn; its own; not yet; it is over
    detail: str = ""  # for people: what it waits for, or how it ended


def _catalogue(base: type[Message]) -> dict[str, type[Message]]:
    found: dict[str, type[Message]] = {}
    for cls in base.__subclasses__():
        found[cls.__name__] = cls
        found.update(_catalogue(cls))
    return found


KINDS: dict[str, type[Message]] = _catalogue(Message)
