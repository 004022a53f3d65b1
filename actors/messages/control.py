"""Messages between consoles and the run or the agents' actors. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.messages.base import Message
from actors.messages.values import BudgetUse, Finding, ProgressKind, Proof, Purpose, RunState, Spent, TimeMs, Usage


class ControlRun(Message, frozen=True, kw_only=True):
    """Supervisor, console or session owner -> run. "stop" ends gracefully (state stopped); "pause" takes effect at the
    turn's end, "pause-now" interrupts it; "resume" continues the run.
    """

    must_arrive = True

    action: Literal["stop", "pause", "pause-now", "resume"]
    reason: str = ""


class AnswerQuestionRequest(Message, frozen=True, kw_only=True):
    """Console -> run: the user's answer at the end of the iterations; blank means stop."""

    must_arrive = True

    text: str


class RunEnded(Message, frozen=True, kw_only=True):
    """Run -> supervisor: the run is over and that is durable. The supervisor stops the tree."""

    must_arrive = True

    state: RunState
    detail: str
    resume: str = ""  # the options with which it resumes


class Progress(Message, frozen=True, kw_only=True):
    """Any actor -> console: a line for users who follow the run. May be lost; the journal has everything."""

    at_ms: TimeMs
    source: str  # "run", "worker", "reviewer", "bridge", ...
    agent: str  # agent name, "" when no agent speaks
    kind: ProgressKind
    text: str


class QuestionAsked(Message, frozen=True, kw_only=True):
    """Run -> console: a question is open (state input-required). Answered with `AnswerQuestionRequest`."""

    question: str


class OpenTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that the run waits for."""

    turn_id: str
    role: Literal["worker", "reviewer"]
    purpose: Purpose


NotableEvent = Literal["completed", "failed", "input-required", "limited", "budget"]


class Notable(msgspec.Struct, frozen=True, kw_only=True):
    """What the state of a run has to tell a user who is not there. The same `key` twice in a row is one change."""

    event: NotableEvent
    detail: str
    key: str


class RunStatus(Message, frozen=True, kw_only=True):
    """Run -> console, whenever the run changes; also the answer to a console's request to the run."""

    must_arrive = True

    at_ms: int
    state: RunState
    phase: str
    line: str  # for the user, e.g. "pausing, iteration 2 of 20: waits for codex"
    iteration: int
    max_iterations: int
    hold: Literal["none", "pause", "stop"]
    waits_for: str
    open_turns: list[OpenTurn]
    question: str  # the open one; "" when there is none
    detail: str  # why it is stopping or has ended
    task: str
    waits_until_ms: int = 0  # when the first wait for a provider ends, Unix ms; 0 = no wait
    findings: tuple[Finding, ...] = ()  # of the reviews: open ones first, with short descriptions
    budgets: tuple[BudgetUse, ...] = ()  # the run's own, with what its running turns have used
    running: tuple[Spent, ...] = ()  # of the turns that run, as far as it was reported
    spent: tuple[Spent, ...] = ()  # by all settled turns, messages included; one for each session and model
    notable: Notable | None = None  # for a user who is not there
    proof: Proof | None = None  # of the task that was completed last
    relocations: int = 0  # how many times an agent was moved to another place while the run was running


class AgentStatus(Message, frozen=True, kw_only=True):
    """Session owner -> console, whenever the session changes."""

    must_arrive = True

    role: Literal["worker", "reviewer"]
    agent: str
    label: str  # its name for the user
    session_id: str
    can_steer: bool
    turn_id: str  # of the turn that runs now; "" when none does
    purpose: str
    since_ms: int  # Unix time at which it began
    waiting: int  # turns and messages that wait for their turn
    turns: int  # that have settled
    usage: Usage  # of all turns so far
    asks: str = ""  # the question that waits for the user in the agent's own TUI; "" = none
    account: str = ""  # the one in use, by its number; "" = it has one


class CheckStatus(Message, frozen=True, kw_only=True):
    """Owner of the working tree -> console: the check that runs, every few seconds. May be lost."""

    command: str = ""  # "" = none runs
    number: int = 0  # which one it is, from 1
    of: int = 0
    since_ms: int = 0  # Unix time at which it began
    line: str = ""  # the last one that it printed


class AgentContact(Message, frozen=True, kw_only=True):
    """Bridge -> console and run: whether the agent comes to the bridge, when that is wrong, or right again."""

    must_arrive = True

    role: Literal["worker", "reviewer"]
    problem: str  # for the user; "" = it has come


class ReviewRequest(Message, frozen=True, kw_only=True):
    """Console -> run: review the current state at the next opportunity, as if the agent had reported done."""

    must_arrive = True


class SubmitVerdictRequest(Message, frozen=True, kw_only=True):
    """Console -> run: the user decides in place of the reviewers."""

    must_arrive = True

    approved: bool
    notes: str = ""


class WaiveFindingRequest(Message, frozen=True, kw_only=True):
    """Console -> run: the user does not want what this finding asks for."""

    must_arrive = True

    finding_id: str
    reason: str = ""


class SayToAgent(Message, frozen=True, kw_only=True):
    """Console -> session owner: bring this to your agent, into the running turn if possible, else as a turn of its own.
    Repeating a `message_id` changes nothing. `HumanHeard` reports every change.
    """

    must_arrive = True

    message_id: str
    text: str


class HumanHeard(Message, frozen=True, kw_only=True):
    """Session owner -> console: the state of a `SayToAgent`. May be lost."""

    message_id: str
    how: Literal["steered", "turn", "waits", "settled"]  # in the running turn; its own; not yet; it is over
    detail: str = ""  # for the user: what it waits for, or how it ended
