"""A run's phases, and the state that its events fold to. Pure data.

Nothing here decides. The user's texts about a state (`place`, `describe`) are here because they only read.
"""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

from actors.machines.prompts import Note
from actors.machines.run.events import UsageSeen, VerdictSubmitted
from actors.machines.run.jobs.base import Command, Event, Job
from actors.machines.run.jobs.pull_request import PullRequest
from actors.machines.run.jobs.tree import Tree
from actors.machines.run.jobs.turn import TurnJob, agent_label
from actors.machines.verdict import Verdict
from actors.messages import Finding, Proof, ProvingCheck, Purpose, Spent, TurnOutcome, Window
from actors.settings import Role, RunSettings, other


class Phase(enum.Enum):
    """Where the run is. A wait at a limit and a pause do not change the phase."""

    NEW = "new"  # nothing is known yet
    AWAITING_TASK = "awaiting-task"  # the user is asked for the first or the next task
    PLANNING = "planning"  # the primary agent writes PLAN.md
    READING_PLAN = "reading-plan"  # is there a PLAN.md?
    PLAN_REVIEW = "plan-review"  # a reviewer checks and edits PLAN.md
    READING_REVIEWED_PLAN = "reading-reviewed-plan"  # its content becomes the task
    COOLDOWN = "cooldown"  # between two iterations
    WORKING = "working"  # the primary agent works on an iteration
    CHECKING = "checking"  # it reports done: our own checks run
    REVIEWING = "reviewing"  # reviewers work in parallel
    FOLLOW_UP = "follow-up"  # out of iterations: the user is asked
    PULL_REQUEST = "pull-request"  # approved: the primary agent publishes the work
    CLEARING = "clearing"  # there is a new task: the old one's turns are interrupted
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"


PLANNING_PHASES = frozenset(
    {Phase.PLANNING, Phase.READING_PLAN, Phase.PLAN_REVIEW, Phase.READING_REVIEWED_PLAN},
)
FINAL_PHASES = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.STOPPED})  # RunResumed leads out of them
USER_IS_ASKED = frozenset({Phase.FOLLOW_UP, Phase.AWAITING_TASK})  # by a job, not by a hold
LIVE_PHASES = frozenset(Phase) - FINAL_PHASES - {Phase.NEW}


USER = "user"  # who holds a run besides gates

# How it ends once nothing runs. pause: the user resumes it; without one the run fails. ask: the user says what is next;
# without one the run stops. stop, fail: the run ends so.
HoldKind = Literal["pause", "ask", "stop", "fail"]


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps new commands back. It takes effect once no issued job is left."""

    kind: HoldKind
    by: str = USER  # or the name of the rule that stops the run
    why: str = ""
    ask: str = ""  # of an "ask": what to answer
    resume: str = ""  # of an "ask": the options with which a resume answers
    until_ms: int | None = None  # when it ends by itself, Unix ms; None: when it is cancelled


class RoundVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of one reviewer, in the round it belongs to."""

    review_round: int
    role: Role
    verdict: Verdict
    tree: str = ""  # that it is on; "" = it is bound to none
    at_ms: int = 0


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """How the checks ended last, and on which tree."""

    tree: str
    results: tuple[ProvingCheck, ...]
    at_ms: int = 0


class RoleWindow(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's window, as its last turn reported it."""

    role: Role
    window: Window
    seen_at_ms: int


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a session wants to begin, or runs; see grants.py."""

    role: Role
    turn_id: str  # "" = no turn
    purpose: Purpose | Literal[""]
    after: str  # the run's turn that has settled there last
    is_granted: bool = False


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What progress.py has counted in this task."""

    trees: tuple[str, ...] = ()  # ids, at the end of each iteration; the newest last
    worked: int = 0  # the iteration that was counted last (`RunState.worked`)
    same: int = 0  # iterations in a row whose tree was there before
    fewest: int | None = None  # failing checks at best; None: all passed, or none ran
    stalled: int = 0  # rounds of checks in a row in which it did not fall, though the tree changed
    checked: str = ""  # the tree of the last of them
    rounds: int = 0  # of reviews
    asked: bool = False  # the worker was asked for its diagnosis
    diagnosis: str = ""
    patience: dict[str, int] = {}  # how many times a finding may be raised, where that is not the usual number


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """The fold of the journalled events. Made by `initial` and `decide` only."""

    phase: Phase = Phase.NEW
    settings: RunSettings | None = None  # None only in phase NEW
    task: str = ""  # the current task: the plan once there is one, with follow-ups
    planned: bool = False  # the task is a plan, made from the settings' task
    plan_before: str | None = None  # digest of the PLAN.md that was there before the planning, "" = none
    plan_asks: int = 0  # how many times the plan was asked for once more
    plan_kept: bool = False  # the primary agent reports that the existing one is the plan
    unclear: int = 0  # rounds in a row with a malformed verdict and no request for changes
    iteration: int = 0  # restarts after a follow-up
    worked: int = 0  # iterations of all tasks together: the number of the checkpoint
    review_round: int = 0  # never restarts
    failures: int = 0  # work turns that failed in a row
    tasks_done: int = 0  # of an open-ended run: how many were completed
    jobs: tuple[Job, ...] = ()
    hold: Hold | None = None
    # An iteration is: what was wrong with the turn before it. None between two events, unless a gate asks.
    due: str | None = None
    resume: str = ""  # of a run that has ended: the options with which it resumes
    asked: str = ""  # the gate whose question was open when the run ended
    notes: tuple[Note, ...] = ()  # for the next iteration
    notes_sent: int = 0  # how many of them are in the last work prompt
    absent: tuple[Role, ...] = ()  # from the bridge: agents that have worked without contacting it
    places: tuple[tuple[Role, str], ...] = ()  # the hosts of agents that are not at home
    relocations: int = 0  # how many times an agent was moved while the run was running
    peer_wrote: bool = False  # a message of the peer reached the primary agent since the round began
    verdicts: tuple[RoundVerdict, ...] = ()  # of the last round
    findings: tuple[Finding, ...] = ()  # of all rounds of the task
    progress: Progress = Progress()
    review_wanted: bool = False  # by the user, whether or not the agent reports done
    tree: Tree | None = None  # what checks and verdicts apply to; None: nothing is bound, or nothing was proved yet
    checked: Checked | None = None  # the last checks; they count for their tree alone
    approved_by_human: bool = False  # this tree, in place of the reviewers
    approved_at_ms: int = 0
    proof: Proof | None = None  # of the task that was completed last
    base: Tree | None = None  # before the first iteration
    apart: tuple[str, ...] = ()  # files that the checks write each time they run
    repeated: bool = False  # the checks have run a second time since they changed the tree
    moves: int = 0  # how many times in this iteration the tree was changed after its checks
    moved: tuple[str, ...] = ()  # what was changed then, for the next reviews
    kept: str = ""  # the commit of the last checkpoint
    kept_before: str = ""  # the commit of the checkpoint that the change of `moved` replaced
    strayed: str = ""  # what the agent was told last about where its work has to be
    unkept: str = ""  # why the last one that was wanted was not made
    uncommitted: tuple[str, ...] = ()  # files of the tree that were not committed when it was published
    overruled: VerdictSubmitted | None = None  # waits until the turns that it makes pointless have settled
    windows: tuple[RoleWindow, ...] = ()  # at most one for each agent
    is_swapped: bool = False  # the two agents have changed places, at a limit: the reviewer works
    swaps: int = 0  # how many times, in this task
    swaps_in_a_row: int = 0  # without a finished turn of the agent that works
    spent: tuple[Spent, ...] = ()  # by all turns of all tasks; one for each session and model
    counted: tuple[tuple[Role, str], ...] = ()  # the last turns that a session owner has reported (spending.py)
    running: tuple[UsageSeen, ...] = ()  # what turns that run have used so far, where it was reported
    claims: tuple[Claim, ...] = ()  # at most one for each session, the oldest first; only with a budget
    most_tokens: int = 0  # that a turn has used so far
    most_usd: float = 0.0
    time_ms: int = 0  # for which the run has worked; counted only with a limit of time
    pull_request: PullRequest | None = None  # as it was seen last
    goes_on_in: Phase | None = None  # stopped or failed: the phase to resume in
    detail: str = ""  # why it is stopping or has ended
    at_ms: int = 0  # when the last event was that says when it was, Unix ms
    past: frozenset[str] = frozenset()  # ids whose answers are ignored
    answer: Event | None = None  # whose hook has ended; None between two events
    once: tuple[Command, ...] = ()  # commands beside jobs, never repeated; empty between two events

    @property
    def run(self) -> RunSettings:
        """The settings of a run that has started."""
        assert self.settings is not None, "the run has not started"
        return self.settings

    @property
    def paused(self) -> bool:
        """A pause is in effect: nothing runs until the user resumes."""
        return self.hold is not None and self.hold.kind == "pause" and not any(job.issued for job in self.jobs)

    @property
    def asking(self) -> bool:
        """A gate asks the user: nothing runs until the user answers."""
        return self.hold is not None and self.hold.kind == "ask" and not any(job.issued for job in self.jobs)

    @property
    def stopping(self) -> bool:
        """The user has stopped the run. That cannot be cancelled: agents are being interrupted."""
        return self.hold is not None and self.hold.kind == "stop"

    @property
    def stuck(self) -> str:
        """Why it cannot continue by itself; "" when it can, or only the user holds it."""
        return self.hold.why if self.hold is not None and self.hold.by != USER else ""

    @property
    def author(self) -> Role:
        """Whose session does the work."""
        return "reviewer" if self.is_swapped else "worker"

    @property
    def open_turns(self) -> tuple[TurnJob, ...]:
        """The turns that run now."""
        return tuple(job for job in self.jobs if isinstance(job, TurnJob) and job.issued)

    @property
    def known_tree(self) -> str:
        """The id of the tree that checks and verdicts apply to; "" = none is known."""
        return self.tree.id if self.tree is not None else ""

    @property
    def begun_on(self) -> tuple[str, str] | None:
        """The commit and the branch before the first iteration; None: they are not known yet."""
        return (self.base.commit, self.base.branch) if self.base is not None else None

    @property
    def waits_for(self) -> str:
        """What has to happen next, for a status line; "" when the run is over."""
        if self.phase is Phase.NEW:
            return "the start"
        if self.phase in FINAL_PHASES:
            return ""
        if self.paused:
            return f"the user to resume it ({self.stuck})" if self.stuck else "the user to resume it"
        if self.asking:
            return f"the user's answer ({self.stuck})"
        return ", ".join(job.words(self) for job in self.jobs if job.issued)


def taken_over(state: RunState) -> str:
    """For the last line of a run: that it has two authors; "" when it has one."""
    if not state.swaps:
        return ""
    worker, reviewer = agent_label(state.run, "worker"), agent_label(state.run, "reviewer")
    return f"; {reviewer} took work over at {worker}'s limit"


def waits_for_tree_alone(state: RunState) -> bool:
    """Whether nothing noteworthy runs: a look at the tree takes a moment."""
    issued = [job for job in state.jobs if job.issued]
    return bool(issued) and all(job.quiet for job in issued)


def place(state: RunState) -> str:
    """Where the run is, for the user: "iteration 2 of 20". Reading the plan is part of planning, etc."""
    match state.phase:
        case Phase.AWAITING_TASK:
            return "no task" if state.tasks_done == 0 else f"{count(state.tasks_done)} completed"
        case Phase.PLANNING | Phase.READING_PLAN:
            return "planning"
        case Phase.PLAN_REVIEW | Phase.READING_REVIEWED_PLAN:
            return "plan review"
        case Phase.COOLDOWN | Phase.WORKING:
            return f"iteration {max(state.iteration, 1)} of {state.run.max_iterations}"
        case Phase.CHECKING:
            return f"checks of iteration {state.iteration}"
        case Phase.REVIEWING:
            return f"review round {state.review_round}"
        case Phase.FOLLOW_UP:
            return "out of iterations"
        case Phase.PULL_REQUEST:
            return "draft pull request"
        case Phase.CLEARING:
            return "leaving the old task"
        case _:
            return str(state.phase.value)


def count(tasks: int) -> str:
    """`1 task`, `2 tasks`."""
    return f"{tasks} task" if tasks == 1 else f"{tasks} tasks"


def trouble(state: RunState, job: TurnJob, outcome: TurnOutcome) -> str:
    """One line about a turn that did not finish."""
    how = "failed" if outcome.status == "failed" else f"was {outcome.status}"
    error = f": {outcome.error}" if outcome.error else ""
    return f"{place(state)}: {agent_label(state.run, job.role)}'s turn {how}{error}"


def describe(state: RunState) -> str:
    """One line for users who follow the run: "review round 1: waits for codex, claude"."""
    if state.phase in FINAL_PHASES:
        return f"{place(state)}: {state.detail}"
    held = ""
    if state.hold is not None and not state.asking:
        pauses = "paused, " if state.paused else "pausing, "
        held = pauses if state.hold.kind in {"pause", "ask"} else "stopping, "
    return f"{held}{place(state)}: waits for {state.waits_for}{_instead(state)}{_one_at_a_time(state)}"


def _one_at_a_time(state: RunState) -> str:
    """Which turns wait for the end of another one, near the end of the budget."""
    runs = next((claim for claim in state.claims if claim.is_granted), None)
    waiting = [claim for claim in state.claims if claim.turn_id and not claim.is_granted]
    if runs is None or not waiting:
        return ""
    first, *_ = waiting
    turn = f"{agent_label(state.run, first.role)}'s {first.purpose} turn"
    return f"; {turn} waits for {agent_label(state.run, runs.role)}'s to end: little of the budget is left"


def _instead(state: RunState) -> str:
    """In whose place an agent works, after a swap."""
    works = any(job.role == state.author and job.purpose != "review" for job in state.open_turns)
    return f" (in {agent_label(state.run, other(state.author))}'s place)" if state.is_swapped and works else ""
