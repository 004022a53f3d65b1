"""What travels inside messages. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from actors.run_states import RunState as RunState

# A number of items that a console or client asks for.
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
# Unix ms of a time that a calendar can show: up to the year 9999.
TimeMs = Annotated[int, msgspec.Meta(ge=0, le=253_402_214_400_000)]
TurnStatus = Literal["finished", "failed", "interrupted", "limited"]
# Why a turn failed, where that decides the remedy. transient: the provider or the network, which is waited for;
# billing, login, unavailable: the agent cannot work until the user acts; context: its session is full; silent: nothing
# was heard from it, also in a new session; overdue: the turn took longer than it may; budget: the money that the run
# has given to it is used up.
Cause = Literal["", "transient", "billing", "login", "unavailable", "context", "silent", "overdue", "budget"]
Purpose = Literal["brief", "plan", "plan-review", "work", "diagnosis", "review", "pull-request", "mail", "human"]
ROLE_PROMPT: Purpose = "brief"  # its name in journals
# The kind of a run's line. "raw": an agent's own JSON event; "ready" and "question": of the root.
ProgressKind = Literal[
    "status", "session", "say", "tool", "tool-result", "mail", "check", "limit", "usage", "note", "error", "raw",
    "ready", "question", "typed", "seen", "waits", "ended",
]  # fmt: skip
# raised: it is open. fixed: its reviewer says so. refused: the worker gives a reason, and its reviewer settles it.
# waived: the user does not want it.
FindingState = Literal["raised", "fixed", "refused", "waived"]
Severity = Literal["blocking", "minor"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens and money of one turn, or of many, as the agent reports them.

    What it does not report is unknown, not zero: the sum of many is then a lower bound.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0  # a part of `input_tokens`
    cost_usd: float = 0.0
    tokens_known: bool = True
    cost_known: bool = True


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What the settled turns of one session with one model have used together."""

    role: Literal["worker", "reviewer"]
    model: str  # "" = the agent's own default
    turns: int
    usage: Usage


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a session waits for its agent; 0: without a limit.

    `silence_ms`: without any event. `tool_ms`: the same while a tool or background task runs. `turn_ms`: a whole turn.
    """

    silence_ms: int = 0
    tool_ms: int = 0
    turn_ms: int = 0


FULL_PERCENT = 95  # of a window: little more than the next turn's beginning is left


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A window of the provider's allowance, e.g. of five hours, as the agent reported it last."""

    used_percent: float
    resets_at_ms: int | None = None  # Unix ms; None: unknown
    name: str = ""  # for the user, e.g. "five-hour limit"

    @property
    def is_full(self) -> bool:
        """Whether a turn would probably reach its end."""
        return self.used_percent >= FULL_PERCENT


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a reviewer wants changed. It is known by the file of `place` and by `description`.

    Texts are the reviewer's, bounded and printable; `place` is "file:line", or "" when it is the review as a whole.
    """

    id: str  # "f1": short, since agents and the user type it
    place: str
    description: str
    severity: Severity = "blocking"
    command: str = ""  # that shows it
    by: Literal["worker", "reviewer"]
    review_round: int  # in which it was raised first
    state: FindingState = "raised"
    reason: str = ""  # of a refusal or a waiver
    settled: bool = False  # refused, and its reviewer agrees
    times_raised: int = 1  # over all rounds; more than 1: it was said again that it is not fixed
    last_round: int = 0  # in which it was raised last
    code_changed: bool = False  # since it was waived or settled, so it may be raised again

    @property
    def open(self) -> bool:
        """Whether something is still to be done about it."""
        return self.state == "raised" or (self.state == "refused" and not self.settled)

    @property
    def blocks(self) -> bool:
        """Whether it keeps the work from being approved."""
        return self.open and self.severity == "blocking"


class BudgetUse(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of the run, and its use so far: in dollars, tokens or milliseconds. Not `known`: at least so much."""

    kind: Literal["cost", "tokens", "time"]
    used: float
    limit: float
    known: bool = True


class TurnOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a turn ended. `text` is the agent's last message; `error` one line when the status is not finished.

    `window`: of the agent's windows, the one that matters most; None: it reported none.
    """

    status: TurnStatus
    text: str = ""
    error: str = ""
    resets_at_ms: int | None = None  # only for "limited": when the provider's limit ends, Unix ms
    cause: Cause = ""  # only for "failed", and only when it is known
    usage: Usage = Usage()
    window: Window | None = None
    model: str = ""  # that has answered, where the agent says so
    gave_up: bool = False  # another retry would meet the same: the session has tried, or nothing can change

    @property
    def is_used_up(self) -> bool:
        """Whether a window's end must be waited for. False: the provider throttles, and a retry may do."""
        known = self.resets_at_ms is not None or (self.window is not None and self.window.used_percent >= 100)
        return self.status == "limited" and known


class ProvingCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How a check ended on the tree of a proof."""

    command: str
    exit_code: int


class ProvingVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A reviewer's verdict on the tree of a proof. `verdict`: pass, changes, inconclusive, unavailable or limited."""

    by: str  # what users call the agent
    verdict: str
    at_ms: int = 0


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What a completed task is proved by. `checks` and `verdicts` are those on its tree. A time of 0 is unknown."""

    tree: str  # "" = unknown: it is bound to none
    commit: str = ""  # that is checked out with it; "" = there is none
    branch: str = ""
    checkpoint: str = ""  # the commit of the tree's checkpoint; "" = there is none
    checks: tuple[ProvingCheck, ...] = ()
    checks_at_ms: int = 0
    review_round: int = 0
    verdicts: tuple[ProvingVerdict, ...] = ()
    approved_by: str = ""  # "human"; "" = by the reviewers, or by nobody where there are none
    approved_at_ms: int = 0


class FoundTurn(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent's own transcript shows for a user message id. `outcome` only when finished.

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
