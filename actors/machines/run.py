"""One run of the loop: plan, plan review, iterations, done, checks, review, pull request. Pure.

    decide(state, event, now_ms) -> (state, commands)     outstanding(state, now_ms) -> commands

How the driver (actors/worker.py) uses it:

1. It calls `decide` *before* it journals the event: `decide` is pure, and an illegal event raises `IllegalEventError`
   and must not get into the journal. Then it journals the event, then it carries the commands out.
2. After a crash it folds the journalled events with `fold` and carries out `outstanding`: the same commands with the
   same ids. When a new root has opened the run, it journals `RunResumed` first; the commands of that one event are
   contained in `outstanding`.
3. Each command that awaits an answer carries an id, and its answer names it. An answer may come twice, or late, after
   its question was withdrawn: it is ignored. An answer to something that was never asked is illegal.

The state does not depend on `now_ms`: only the commands do (`StartCooldown.ms`). So a fold gives the same state
whenever it is done, and a wait that a crash cut short begins anew, except when the end of a limit is known.

What waits for an answer is a *job* of the state. A job is issued (its command is out) or held (paused, stopped,
failed: its command goes out when the run goes on). `TRANSITIONS` says which event moves which phase where; a hold
(pause or stop) is a second, small machine beside it: transitions go on as ever, their jobs are merely held.
"""

from __future__ import annotations

import enum
import itertools
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

from actors.errors import IllegalEventError
from actors.machines import prompts
from actors.machines.prompts import Note
from actors.machines.verdict import Verdict, read_verdict, says_done, unavailable
from actors.messages import Purpose, TurnOutcome
from actors.settings import Role, RunSettings

# A turn that fails costs an agent start and tokens and brings nothing. One or two in a row are a passing fault; after
# five, each with a cool-down between, the cause is not passing, and the other fifteen iterations would be burnt on it.
MAX_FAILURES_IN_A_ROW = 5

# Providers' clocks and ours differ by seconds; asking a moment too early only gets the same refusal again.
LIMIT_MARGIN_MS = 5_000

# When the provider does not say when its limit ends: from the shortest window that any of them has (requests a
# minute), doubling, to something that still notices the end of a five-hour window soon.
BACKOFF_FIRST_MS = 60_000
BACKOFF_LAST_MS = 30 * 60_000


# --- phases -----------------------------------------------------------------------------------------------------


class Phase(enum.Enum):
    """Where the run is. A limit that is waited out and a pause do not change the phase."""

    NEW = "new"  # nothing is known yet
    PLANNING = "planning"  # the primary agent writes PLAN.md
    READING_PLAN = "reading-plan"  # is there a PLAN.md?
    PLAN_REVIEW = "plan-review"  # a reviewer checks and edits PLAN.md
    READING_REVIEWED_PLAN = "reading-reviewed-plan"  # what it says becomes the task
    COOLDOWN = "cooldown"  # between two iterations
    WORKING = "working"  # the primary agent works on an iteration
    CHECKING = "checking"  # it says done: our own checks run
    REVIEWING = "reviewing"  # reviewers work in parallel
    FOLLOW_UP = "follow-up"  # out of iterations: a person is asked
    PULL_REQUEST = "pull-request"  # approved: the primary agent publishes the work
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"


PLANNING_PHASES = frozenset(
    {Phase.PLANNING, Phase.READING_PLAN, Phase.PLAN_REVIEW, Phase.READING_REVIEWED_PLAN},
)
FINAL_PHASES = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.STOPPED})  # RunResumed leads out of them
LIVE_PHASES = frozenset(Phase) - FINAL_PHASES - {Phase.NEW}


class Hold(enum.Enum):
    """What keeps new commands back. A pause and a stop are in force once nothing that was issued is left."""

    NONE = "none"
    PAUSE = "pause"
    STOP = "stop"


# --- events: what has happened ----------------------------------------------------------------------------------


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events of the stream "run"; journalled under the name of the struct."""


class RunStarted(Event, frozen=True, kw_only=True):
    """First event of every run. `generation` counts the roots that have opened it; the machine does not look at it."""

    settings: RunSettings
    generation: int = 0


class TurnSettled(Event, frozen=True, kw_only=True):
    """The turn has ended, and it will not go on; also when its agent could not be started at all (status failed)."""

    turn_id: str
    outcome: TurnOutcome


class PlanRead(Event, frozen=True, kw_only=True):
    """PLAN.md was looked for. `text` is None when it cannot be read; `error` says why."""

    read_id: str
    text: str | None
    error: str = ""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one check command ended. `output_tail` is the end of what it printed, both streams."""

    command: str
    exit_code: int
    output_tail: str = ""


class ChecksEnded(Event, frozen=True, kw_only=True):
    """All check commands have ended, or the first that failed made the rest pointless. Not for checks broken off."""

    checks_id: str
    results: tuple[CheckResult, ...]


class CooldownEnded(Event, frozen=True, kw_only=True):
    """The time of a `StartCooldown` is over."""

    wait_id: str


class FollowUpGiven(Event, frozen=True, kw_only=True):
    """A person answered the open question; blank means stop."""

    text: str


class PauseRequested(Event, frozen=True, kw_only=True):
    """A person wants a pause: at the end of what runs now, or (`now`) by interrupting it."""

    now: bool = False


class ResumeRequested(Event, frozen=True, kw_only=True):
    """A person wants a paused run to go on."""


class StopRequested(Event, frozen=True, kw_only=True):
    """The run shall end, as soon as what runs is interrupted. It can be resumed later."""

    reason: str = ""


class RunResumed(Event, frozen=True, kw_only=True):
    """A new root has opened the run: it goes on where it was, out of a stop, a failure or a pause.

    `settings` replace the old ones (`run_uid` stays). A blank `task`, or the one that the run has, keeps the task and
    the place; another task begins anew with it: planning if `needs_plan`, a new count of iterations. A run that was out
    of iterations gets a new count if a person cannot be asked, or more of them if `max_iterations` is higher now.
    To reopen a paused run without letting it go on, do not send this: the fold alone keeps the pause.
    """

    settings: RunSettings | None = None
    generation: int = 0


class HumanVerdictGiven(Event, frozen=True, kw_only=True):
    """A person decides in place of the reviewers. `notes` matter when not approved."""

    approved: bool
    notes: str = ""


class MailReachedWorker(Event, frozen=True, kw_only=True):
    """The primary agent has seen a bridge message from its peer: notes sent that way are not repeated."""

    sender: str
    text: str = ""


EVENTS: tuple[type[Event], ...] = (
    RunStarted,
    TurnSettled,
    PlanRead,
    ChecksEnded,
    CooldownEnded,
    FollowUpGiven,
    PauseRequested,
    ResumeRequested,
    StopRequested,
    RunResumed,
    HumanVerdictGiven,
    MailReachedWorker,
)


# --- commands: what is to be done -------------------------------------------------------------------------------


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all commands. All but `Announce` and `BreakOffChecks` are given again by `outstanding`."""


class StartTurn(Command, frozen=True, kw_only=True):
    """Run this turn in the session of `role`. Answer: `TurnSettled`. The same id never runs twice."""

    turn_id: str
    role: Role
    purpose: Purpose
    prompt: str
    model: str = ""  # "" = the agent's own default


class BreakOffTurn(Command, frozen=True, kw_only=True):
    """Interrupt this turn, which is issued. Its `TurnSettled` is still awaited, whatever its status will be."""

    turn_id: str
    role: Role
    reason: str


class ReadPlan(Command, frozen=True, kw_only=True):
    """Read PLAN.md in the run's directory. Answer: `PlanRead`."""

    read_id: str


class RunChecks(Command, frozen=True, kw_only=True):
    """Run these shell commands in order. Answer: `ChecksEnded`."""

    checks_id: str
    iteration: int
    commands: tuple[str, ...]


class BreakOffChecks(Command, frozen=True, kw_only=True):
    """End these checks; nobody waits for their result any more."""

    checks_id: str


class StartCooldown(Command, frozen=True, kw_only=True):
    """Wait `ms` from now, until `until_ms` (Unix ms). Answer: `CooldownEnded`.

    Several may run at once: two reviewers can both have reached a limit. One that is over for nothing does no harm.
    """

    wait_id: str
    iteration: int
    ms: int
    until_ms: int
    reason: Literal["cooldown", "limit"]


class AskFollowUp(Command, frozen=True, kw_only=True):
    """Ask a person. Answer: `FollowUpGiven` (or `HumanVerdictGiven`, `StopRequested`)."""

    question: str


class EndRun(Command, frozen=True, kw_only=True):
    """The run is over: say so, with `detail`, and end."""

    state: Literal["completed", "failed", "stopped"]
    detail: str


class Announce(Command, frozen=True, kw_only=True):
    """Tell the people who follow the run. `resume_hint`: also how this run is resumed by hand."""

    text: str
    error: bool = False
    resume_hint: bool = False


# --- state ------------------------------------------------------------------------------------------------------


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Something that awaits an answer which carries `id`. `label` is the same for all its attempts."""

    id: str
    label: str
    issued: bool = False


class TurnJob(Job, frozen=True, kw_only=True):
    """A turn. `prompt` is the first attempt's; `resumes` says why a further one continues it ("" = it does not)."""

    role: Role
    purpose: Purpose
    prompt: str
    model: str
    resumes: str = ""
    cut: str = ""  # why it was ordered to break off; "" = it was not
    limits: int = 0  # how many times in a row a limit has ended it


class WaitJob(Job, frozen=True, kw_only=True):
    """A cool-down, or (`then`) the end of a limit, after which that turn is tried again."""

    at_least_ms: int
    not_before_ms: int | None = None
    then: TurnJob | None = None


class PlanJob(Job, frozen=True, kw_only=True):
    """Reading PLAN.md."""


class ChecksJob(Job, frozen=True, kw_only=True):
    """The check commands of the settings."""


class QuestionJob(Job, frozen=True, kw_only=True):
    """A question to a person; its id never leaves the machine, since a run has one at most."""

    question: str


class RoundVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of one reviewer, in the round it belongs to."""

    review_round: int
    role: Role
    verdict: Verdict


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the journalled events come to. Made by `initial` and `decide` only."""

    phase: Phase = Phase.NEW
    settings: RunSettings | None = None  # None only in phase NEW
    task: str = ""  # what is worked on: the plan once there is one, with follow-ups
    iteration: int = 0  # begins anew after a follow-up
    review_round: int = 0  # never begins anew
    failures: int = 0  # work turns that failed in a row
    jobs: tuple[Job, ...] = ()
    hold: Hold = Hold.NONE
    notes: tuple[Note, ...] = ()  # for the next iteration
    notes_sent: int = 0  # how many of them stand in the last work prompt
    peer_wrote: bool = False  # a message of the peer reached the primary agent since the round began
    verdicts: tuple[RoundVerdict, ...] = ()  # of the last round
    overruled: HumanVerdictGiven | None = None  # waits until the turns it makes pointless have settled
    goes_on_in: Phase | None = None  # stopped or failed: the phase to resume in
    detail: str = ""  # why it is stopping or has ended
    past: frozenset[str] = frozenset()  # ids whose answers are ignored
    once: tuple[Command, ...] = ()  # commands beside jobs, never repeated; empty between two events

    @property
    def run(self) -> RunSettings:
        """The settings of a run that has started."""
        assert self.settings is not None, "the run has not started"
        return self.settings

    @property
    def paused(self) -> bool:
        """A pause is in force: nothing runs, and nothing will until somebody resumes."""
        return self.hold is Hold.PAUSE and not any(job.issued for job in self.jobs)

    @property
    def open_turns(self) -> tuple[TurnJob, ...]:
        """The turns that run now."""
        return tuple(job for job in self.jobs if isinstance(job, TurnJob) and job.issued)

    @property
    def waits_for(self) -> str:
        """What has to happen next, for a status line; "" when the run is over."""
        if self.phase is Phase.NEW:
            return "the start"
        if self.phase in FINAL_PHASES:
            return ""
        if self.paused:
            return "a person to resume it"
        return ", ".join(_describe(self, job) for job in self.jobs if job.issued)


def agent_label(settings: RunSettings, role: Role) -> str:
    """The name that people and notes use for this session: the agent's, and the role where both are the same agent."""
    name = settings.worker if role == "worker" else settings.reviewer
    return f"{name} ({role})" if settings.worker == settings.reviewer else name


def place(state: RunState) -> str:
    """Where the run is, for people: "iteration 2 of 20". Reading the plan is part of planning, and so on."""
    match state.phase:
        case Phase.PLANNING | Phase.READING_PLAN:
            return "planning"
        case Phase.PLAN_REVIEW | Phase.READING_REVIEWED_PLAN:
            return "plan review"
        case Phase.COOLDOWN | Phase.WORKING:
            return f"iteration {state.iteration} of {state.run.max_iterations}"
        case Phase.CHECKING:
            return f"checks of iteration {state.iteration}"
        case Phase.REVIEWING:
            return f"review round {state.review_round}"
        case Phase.FOLLOW_UP:
            return "out of iterations"
        case Phase.PULL_REQUEST:
            return "draft pull request"
        case _:
            return str(state.phase.value)


def describe(state: RunState) -> str:
    """One line for people who follow the run: "review round 1: waits for codex, claude"."""
    if state.phase in FINAL_PHASES:
        return f"{place(state)}: {state.detail}"
    held = {Hold.NONE: "", Hold.STOP: "stopping, ", Hold.PAUSE: "paused, " if state.paused else "pausing, "}
    return f"{held[state.hold]}{place(state)}: waits for {state.waits_for}"


# --- the four functions -----------------------------------------------------------------------------------------


def initial() -> RunState:
    """The state before the first event."""
    return RunState()


def decide(state: RunState, event: Event, now_ms: int) -> tuple[RunState, list[Command]]:
    """What the event makes of the state, and what is to be done now. Raises `IllegalEventError`; see the module."""
    after = _apply(state, event)
    before = outstanding(state, now_ms)
    new = [command for command in outstanding(after, now_ms) if command not in before]
    return msgspec.structs.replace(after, once=()), [*after.once, *new]


def fold(events: Iterable[Event]) -> RunState:
    """The state that these journalled events come to."""
    state = initial()
    for event in events:
        state = msgspec.structs.replace(_apply(state, event), once=())
    return state


def outstanding(state: RunState, now_ms: int) -> list[Command]:
    """All commands that are out and not answered yet; what is carried out again after a crash."""
    if state.phase in FINAL_PHASES:
        return [EndRun(state=_END_STATES[state.phase], detail=state.detail)]
    issued = [job for job in state.jobs if job.issued]
    breaks = [
        BreakOffTurn(turn_id=job.id, role=job.role, reason=job.cut)
        for job in issued
        if isinstance(job, TurnJob) and job.cut
    ]
    return [*(_command(state, job, now_ms) for job in issued), *breaks]


_END_STATES: Mapping[Phase, Literal["completed", "failed", "stopped"]] = {
    Phase.COMPLETED: "completed",
    Phase.FAILED: "failed",
    Phase.STOPPED: "stopped",
}


# --- one event --------------------------------------------------------------------------------------------------


def _apply(state: RunState, event: Event) -> RunState:
    if _is_late(state, event):
        return state
    rule = TRANSITIONS[state.phase].get(type(event))
    if rule is None:
        return _unfitting(state, event)
    after = rule.handler(state, event)
    assert after.phase in rule.to, f"{rule.handler.__name__} led from {state.phase} to {after.phase}: not in the table"
    return _hold_takes_effect(state, after)


def _is_late(state: RunState, event: Event) -> bool:
    """Whether this is normal after a crash and changes nothing. Raises when it answers what was never asked."""
    if isinstance(event, RunStarted):
        return state.settings is not None and state.settings.run_uid == event.settings.run_uid
    answer = _ANSWERS.get(type(event))
    if answer is None:
        return False
    kind, field = answer
    answered: str = getattr(event, field)
    if any(job.id == answered and job.issued and isinstance(job, kind) for job in state.jobs):
        return False
    if answered in state.past:
        return True
    raise IllegalEventError(
        f"{type(event).__name__} answers {answered!r}, which is not asked in phase {state.phase.value!r}; "
        "answer only commands that this run has given"
    )


def _unfitting(state: RunState, event: Event) -> RunState:
    """People and mail come when they come: that is not a bug of ours. Everything else out of place is."""
    if state.phase is not Phase.NEW:
        if isinstance(event, MailReachedWorker):
            return state
        if type(event) in _SAID_BY_PEOPLE:
            return _say(state, f"{_SAID_BY_PEOPLE[type(event)]} changes nothing: the run {_situation(state)}")
    raise IllegalEventError(
        f"{type(event).__name__} is not possible in phase {state.phase.value!r}; nothing was changed"
    )


def _hold_takes_effect(before: RunState, after: RunState) -> RunState:
    """The transitions that no event names: a hold is in force once nothing that was issued is left."""
    if after.phase in FINAL_PHASES or any(job.issued for job in after.jobs):
        return after
    if after.hold is Hold.STOP:
        return _end(after, Phase.STOPPED, after.detail, goes_on_in=after.phase)
    if after.hold is Hold.PAUSE and after.phase is Phase.FOLLOW_UP:
        return _release(after)  # it waits for a person anyway; two waits would only need two answers
    if after.paused and not before.paused:
        return _say(after, "paused")
    return after


# --- jobs -------------------------------------------------------------------------------------------------------

J = TypeVar("J", bound=Job)


def _add(state: RunState, job: Job) -> RunState:
    """The job under a new id; issued unless something holds the run."""
    fresh = msgspec.structs.replace(job, id=_new_id(state, job), issued=state.hold is Hold.NONE)
    return msgspec.structs.replace(state, jobs=(*state.jobs, fresh))


def _new_id(state: RunState, job: Job) -> str:
    """A turn's id reaches an agent, so it is a UUID. Both kinds follow from the label and the attempt alone."""
    taken = state.past | {other.id for other in state.jobs}
    keys = itertools.chain([job.label], (f"{job.label}.{attempt}" for attempt in itertools.count(2)))
    ids = (str(uuid.uuid5(uuid.UUID(state.run.run_uid), key)) if isinstance(job, TurnJob) else key for key in keys)
    return next(found for found in ids if found not in taken)


def _take(state: RunState, job_id: str, kind: type[J]) -> tuple[RunState, J]:
    """The answered job, and the state without it."""
    job = next(job for job in state.jobs if job.id == job_id)
    assert isinstance(job, kind), f"{job_id} is a {type(job).__name__}"
    rest = tuple(other for other in state.jobs if other is not job)
    return msgspec.structs.replace(state, jobs=rest, past=state.past | {job_id}), job


def _drop(state: RunState, *jobs: Job) -> RunState:
    """Nobody waits for these jobs any more; late answers to them are ignored from now on."""
    checks = (job for job in jobs if isinstance(job, ChecksJob) and job.issued)
    return msgspec.structs.replace(
        state,
        jobs=tuple(job for job in state.jobs if job not in jobs),
        past=state.past | {job.id for job in jobs if job.issued},
        once=(*state.once, *(BreakOffChecks(checks_id=job.id) for job in checks)),
    )


def _hold_back(state: RunState, job: Job) -> RunState:
    """The issued job is withdrawn; another attempt takes its place, for later."""
    assert state.hold is not Hold.NONE, "what nobody holds would go out again at once"
    return _add(_drop(state, job), job)


def _cut(state: RunState, why: str) -> RunState:
    """Orders all running turns to break off. What they were is decided when they have settled."""
    jobs = tuple(
        msgspec.structs.replace(job, cut=why) if isinstance(job, TurnJob) and job.issued and not job.cut else job
        for job in state.jobs
    )
    return msgspec.structs.replace(state, jobs=jobs)


def _release(state: RunState) -> RunState:
    jobs = tuple(msgspec.structs.replace(job, issued=True) for job in state.jobs)
    return msgspec.structs.replace(state, hold=Hold.NONE, jobs=jobs)


def _again(state: RunState, job: TurnJob, *, resumes: str = "") -> RunState:
    """The same turn under a new id; with `resumes` as a continuation."""
    return _add(state, msgspec.structs.replace(job, resumes=resumes, cut=""))


def _turn(state: RunState, label: str, role: Role, purpose: Purpose, prompt: str) -> RunState:
    run = state.run
    reviewing = purpose in {"review", "plan-review"}
    model = run.reviewer_model
    if role == "worker":
        model = (run.worker_review_model or run.worker_model) if reviewing else run.worker_model
    return _add(state, TurnJob(id="", label=label, role=role, purpose=purpose, prompt=prompt, model=model))


def _command(state: RunState, job: Job, now_ms: int) -> Command:
    """What must be carried out to get the job's answer."""
    match job:
        case TurnJob():
            prompt = prompts.continuation(job.prompt, why=job.resumes) if job.resumes else job.prompt
            return StartTurn(turn_id=job.id, role=job.role, purpose=job.purpose, prompt=prompt, model=job.model)
        case WaitJob():
            ms = max(job.at_least_ms, (job.not_before_ms or now_ms) - now_ms)
            return StartCooldown(
                wait_id=job.id,
                iteration=state.iteration,
                ms=ms,
                until_ms=now_ms + ms,
                reason="limit" if job.then else "cooldown",
            )
        case PlanJob():
            return ReadPlan(read_id=job.id)
        case ChecksJob():
            return RunChecks(checks_id=job.id, iteration=state.iteration, commands=state.run.checks)
        case QuestionJob():
            return AskFollowUp(question=job.question)
        case _:
            raise AssertionError(f"no command for {job!r}")


def _describe(state: RunState, job: Job) -> str:
    match job:
        case TurnJob():
            return agent_label(state.run, job.role)
        case WaitJob(then=TurnJob() as turn):
            return f"the end of {agent_label(state.run, turn.role)}'s limit"
        case WaitJob():
            return "the end of the cool-down"
        case PlanJob():
            return "PLAN.md"
        case ChecksJob():
            return "the checks"
        case _:
            return "a person's answer"


# --- turns in general -------------------------------------------------------------------------------------------

AfterTurn: TypeAlias = Callable[[RunState, TurnJob, TurnOutcome], RunState]


def _when_settled(then: AfterTurn) -> Callable[[RunState, TurnSettled], RunState]:
    """The handler of `TurnSettled` in a phase: what we cut short or a limit ended is not an outcome of the phase."""

    def handler(state: RunState, event: TurnSettled) -> RunState:
        state, job = _take(state, event.turn_id, TurnJob)
        # An agent that we have interrupted may call that anything but finished.
        if job.cut and event.outcome.status != "finished":
            if state.overruled is not None:
                return _overrule_when_free(state)
            return _again(state, job, resumes=job.cut)
        if event.outcome.status == "limited":
            return _wait_out_limit(state, job, event.outcome)
        return then(state, job, event.outcome)

    handler.__name__ = f"when_settled_{then.__name__}"
    return handler


def _wait_out_limit(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    """No iteration is spent. A provider that keeps naming a time that has passed is asked less and less often."""
    resets_at_ms = outcome.resets_at_ms
    if resets_at_ms is None:
        at_least_ms = _backoff_ms(job.limits)
    else:
        at_least_ms = _backoff_ms(job.limits - 1) if job.limits else LIMIT_MARGIN_MS
    state = _say(state, f"{agent_label(state.run, job.role)} has reached a limit: {outcome.error or 'no detail given'}")
    return _add(
        state,
        WaitJob(
            id="",
            label=f"{job.label}-limit",
            at_least_ms=at_least_ms,
            not_before_ms=None if resets_at_ms is None else resets_at_ms + LIMIT_MARGIN_MS,
            then=msgspec.structs.replace(job, limits=job.limits + 1),
        ),
    )


def _backoff_ms(times_before: int) -> int:
    return int(min(BACKOFF_FIRST_MS * 2 ** min(times_before, 10), BACKOFF_LAST_MS))


def _limit_over(state: RunState, event: CooldownEnded) -> RunState:
    state, wait = _take(state, event.wait_id, WaitJob)
    assert wait.then is not None, "a cool-down ends only in phase COOLDOWN"
    return _again(state, wait.then, resumes="the usage limit of your provider was reached, and is over now")


# --- from prompt to plan ----------------------------------------------------------------------------------------


def _started(state: RunState, event: RunStarted) -> RunState:
    return _begin(msgspec.structs.replace(state, settings=event.settings))


def _begin(state: RunState) -> RunState:
    """The first step of a task, with nothing left of an earlier one but what keeps ids unique."""
    state = RunState(
        settings=state.settings,
        task=state.run.task,
        review_round=state.review_round,
        past=state.past,
        once=state.once,
    )
    return _plan(state) if state.run.needs_plan else _start_iteration(state)


def _plan(state: RunState) -> RunState:
    state = msgspec.structs.replace(state, phase=Phase.PLANNING)
    return _turn(state, "plan", "worker", "plan", prompts.plan(state.run.task, proof=state.run.proof))


def _plan_settled(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    if outcome.status != "finished":
        return _fail(_again(state, job), f"{agent_label(state.run, job.role)} {_how_it_ended(outcome)} while planning")
    return _read_plan(state, Phase.READING_PLAN)


def _plan_review_settled(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    if outcome.status != "finished":
        detail = f"{agent_label(state.run, job.role)} {_how_it_ended(outcome)} while reviewing the plan"
        return _fail(_again(state, job), detail)
    return _read_plan(state, Phase.READING_REVIEWED_PLAN)


def _read_plan(state: RunState, phase: Phase) -> RunState:
    return _add(msgspec.structs.replace(state, phase=phase), PlanJob(id="", label="plan-reading"))


def _plan_read(state: RunState, event: PlanRead) -> RunState:
    state, _ = _take(state, event.read_id, PlanJob)
    if event.text is None or not event.text.strip():
        why = event.error or ("PLAN.md is empty" if event.text is not None else "there is no PLAN.md")
        return _fail(_plan(state), f"planning left no plan: {why}")
    reviewer = state.run.plan_reviewer
    if state.phase is Phase.READING_PLAN and reviewer is not None:
        state = msgspec.structs.replace(state, phase=Phase.PLAN_REVIEW)
        return _turn(state, "plan-review", reviewer, "plan-review", prompts.plan_review(state.run.task))
    return _start_iteration(msgspec.structs.replace(state, task=event.text.strip()))


# --- iterations -------------------------------------------------------------------------------------------------


def _start_iteration(state: RunState) -> RunState:
    run, number = state.run, state.iteration + 1
    prompt = prompts.iteration(
        number,
        of=run.max_iterations,
        task=state.task,
        proof=run.proof,
        done_signal=run.done_signal,
        notes=[
            msgspec.structs.replace(note, reached_worker=note.kind == "review" and state.peer_wrote)
            for note in state.notes
        ],
        unanimous=sum(note.kind in _REVIEW_NOTES for note in state.notes) == len(_reviewers(run)) > 1,
        checks=run.checks,
        peer=run.reviewer if run.paired else None,
    )
    state = msgspec.structs.replace(state, phase=Phase.WORKING, iteration=number, notes_sent=len(state.notes))
    return _turn(state, f"iteration-{number}", "worker", "work", prompt)


def _work_settled(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    if outcome.status != "finished":
        return _work_failed(state, job, outcome)
    # The agent has had these notes; those that came while it worked are still to be sent.
    state = msgspec.structs.replace(state, failures=0, notes=state.notes[state.notes_sent :], notes_sent=0)
    if not says_done(outcome.text, state.run.done_signal):
        return _next_iteration(state)
    if state.notes:
        state = _say(state, "done is claimed, but there are notes that the agent has not seen yet: they come first")
        return _next_iteration(state)
    if not state.run.checks:
        return _review(state)
    state = msgspec.structs.replace(state, phase=Phase.CHECKING)
    return _add(state, ChecksJob(id="", label=f"checks-{state.iteration}"))


def _work_failed(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    """Notes stay for the next iteration. A person's interruption is no failure, but the iteration is spent."""
    failures = state.failures + (outcome.status == "failed")
    state = msgspec.structs.replace(state, failures=failures, notes_sent=0)
    what = f"{agent_label(state.run, job.role)} {_how_it_ended(outcome)} in iteration {state.iteration}"
    state = _say(state, what, error=True, resume_hint=True)
    if failures >= MAX_FAILURES_IN_A_ROW and state.iteration < state.run.max_iterations:
        state = msgspec.structs.replace(state, failures=0)
        return _fail(_next_iteration(state), f"{failures} turns failed in a row, the last one: {what}")
    return _next_iteration(state)


def _next_iteration(state: RunState) -> RunState:
    if state.iteration >= state.run.max_iterations:
        return _out_of_iterations(state)
    if state.run.cooldown_ms <= 0:
        return _start_iteration(state)
    state = msgspec.structs.replace(state, phase=Phase.COOLDOWN)
    return _add(state, WaitJob(id="", label=f"cooldown-{state.iteration}", at_least_ms=state.run.cooldown_ms))


def _cooldown_over(state: RunState, event: CooldownEnded) -> RunState:
    state, _ = _take(state, event.wait_id, WaitJob)
    return _start_iteration(state)


def _out_of_iterations(state: RunState) -> RunState:
    detail = f"{state.iteration} iterations are used up, and the task is not proved done"
    if not state.run.interactive:
        return _end(state, Phase.STOPPED, detail, goes_on_in=Phase.FOLLOW_UP)
    state = msgspec.structs.replace(state, phase=Phase.FOLLOW_UP)
    return _add(state, QuestionJob(id="", label="question", question=f"{detail}. What next? (blank stops the run)"))


def _follow_up(state: RunState, event: FollowUpGiven) -> RunState:
    if not event.text.strip():
        return _end(state, Phase.STOPPED, "no follow-up was given", goes_on_in=Phase.FOLLOW_UP)
    state = _drop(state, *state.jobs)
    task = f"{state.task}\n\nFollow-up:\n{event.text.strip()}"
    return _start_iteration(msgspec.structs.replace(state, task=task, iteration=0, failures=0))


# --- checks and review ------------------------------------------------------------------------------------------

_REVIEW_NOTES = frozenset({"review", "self-review", "no-verdict"})


def _checks_ended(state: RunState, event: ChecksEnded) -> RunState:
    state, _ = _take(state, event.checks_id, ChecksJob)
    failed = [result for result in event.results if result.exit_code != 0]
    proved = {result.command for result in event.results if result.exit_code == 0}
    if not failed and proved.issuperset(state.run.checks):
        return _review(state)
    texts = [f"`{each.command}` exited with {each.exit_code}:\n{each.output_tail.strip()}" for each in failed]
    text = "\n\n".join(texts) or "not all of the check commands were run"
    state = _say(state, f"checks failed: {', '.join(each.command for each in failed) or text}", error=True)
    return _next_iteration(_note(state, Note(kind="checks", source="checks", text=text)))


def _reviewers(run: RunSettings) -> tuple[Role, ...]:
    return tuple(dict.fromkeys(run.reviewers))


def _review(state: RunState) -> RunState:
    """All reviewers at once. Without any, our checks or the agent's word are all there is."""
    run = state.run
    if not run.reviewers:
        return _pull_request(state)
    number = state.review_round + 1
    state = msgspec.structs.replace(
        state, phase=Phase.REVIEWING, review_round=number, verdicts=(), overruled=None, peer_wrote=False
    )
    for role in _reviewers(run):
        prompt = prompts.review(
            number,
            task=state.task,
            proof=run.proof,
            done_signal=run.done_signal,
            checks=run.checks,
            send_notes_to=run.worker if run.paired and role == "reviewer" else None,
        )
        state = _turn(state, f"review-{number}-{role}", role, "review", prompt)
    return state


def _review_settled(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    finished = outcome.status == "finished"
    verdict = read_verdict(outcome.text) if finished else unavailable(_how_it_ended(outcome))
    this = RoundVerdict(review_round=state.review_round, role=job.role, verdict=verdict)
    state = msgspec.structs.replace(state, verdicts=(*state.verdicts, this))
    if state.overruled is not None:
        return _overrule_when_free(state)
    if state.jobs:
        return state
    state = _note_verdicts(state)
    if all(each.verdict.approves for each in state.verdicts):
        return _pull_request(state)
    return _next_iteration(state)


def _note_verdicts(state: RunState) -> RunState:
    order = _reviewers(state.run)
    for each in sorted(state.verdicts, key=lambda each: order.index(each.role)):
        if each.verdict.kind == "changes":
            kind: prompts.NoteKind = "self-review" if each.role == "worker" else "review"
        else:
            kind = "no-verdict"
        if not each.verdict.approves:
            source = agent_label(state.run, each.role)
            state = _note(state, Note(kind=kind, source=source, text=each.verdict.reason))
    return state


def _note(state: RunState, note: Note) -> RunState:
    """The same note given twice is one note."""
    if note in state.notes:
        return state
    return msgspec.structs.replace(state, notes=(*state.notes, note))


def _mail_reached_worker(state: RunState, _event: MailReachedWorker) -> RunState:
    return msgspec.structs.replace(state, peer_wrote=True)  # a new review round takes it back


# --- a person decides -------------------------------------------------------------------------------------------


def _human_verdict_on_review(state: RunState, event: HumanVerdictGiven) -> RunState:
    """The reviews become pointless, and are broken off. The last word of a person counts."""
    state = msgspec.structs.replace(state, overruled=event)
    state = _drop(state, *(job for job in state.jobs if not (isinstance(job, TurnJob) and job.issued)))
    return _overrule_when_free(_cut(state, "a person has decided"))


def _overrule_when_free(state: RunState) -> RunState:
    """An agent's session takes one turn at a time, so what follows waits until the broken-off turns have settled."""
    event = state.overruled
    if event is None or state.jobs:
        return state
    state = msgspec.structs.replace(state, overruled=None)
    if event.approved:
        return _pull_request(state)
    return _next_iteration(_note_by_human(_note_verdicts(state), event))


def _human_verdict_on_checks(state: RunState, event: HumanVerdictGiven) -> RunState:
    state = _drop(state, *state.jobs)
    return _overrule_when_free(msgspec.structs.replace(state, overruled=event))


def _human_verdict_in_cooldown(state: RunState, event: HumanVerdictGiven) -> RunState:
    if event.approved:
        return _pull_request(_drop(state, *state.jobs))
    return _note_by_human(state, event)


def _human_verdict_on_work(state: RunState, event: HumanVerdictGiven) -> RunState:
    if event.approved:
        return _unfitting(state, event)
    return _note_by_human(state, event)


def _human_verdict_as_follow_up(state: RunState, event: HumanVerdictGiven) -> RunState:
    if event.approved:
        return _pull_request(_drop(state, *state.jobs))
    if not event.notes.strip():
        return _unfitting(state, event)
    return _follow_up(state, FollowUpGiven(text=event.notes))


def _note_by_human(state: RunState, event: HumanVerdictGiven) -> RunState:
    text = event.notes.strip() or "a person has turned the work down without giving a reason"
    return _note(state, Note(kind="human", source="human", text=text))


# --- the end ----------------------------------------------------------------------------------------------------


def _pull_request(state: RunState) -> RunState:
    state = msgspec.structs.replace(state, phase=Phase.PULL_REQUEST)
    return _turn(state, "pull-request", "worker", "pull-request", prompts.pull_request(state.task))


def _pull_request_settled(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    """The work is approved, and that is what `completed` says; a pull request can be opened by hand."""
    if outcome.status == "finished":
        return _end(state, Phase.COMPLETED, "review approved")
    what = f"{agent_label(state.run, job.role)} {_how_it_ended(outcome)} while opening the pull request"
    state = _say(state, what, error=True, resume_hint=True)
    return _end(state, Phase.COMPLETED, f"review approved, but there may be no pull request: {what}")


def _fail(state: RunState, detail: str) -> RunState:
    """`state` is where a resumed run shall go on."""
    return _end(state, Phase.FAILED, detail, goes_on_in=state.phase)


def _end(state: RunState, phase: Phase, detail: str, *, goes_on_in: Phase | None = None) -> RunState:
    """Jobs that are left are held for a resumed run; their ids were never issued, or are not awaited by anybody."""
    return msgspec.structs.replace(
        state,
        phase=phase,
        goes_on_in=goes_on_in,
        detail=detail,
        hold=Hold.NONE,
        jobs=tuple(msgspec.structs.replace(job, issued=False) for job in state.jobs),
    )


def _how_it_ended(outcome: TurnOutcome) -> str:
    return f"{outcome.status} ({outcome.error})" if outcome.error else outcome.status


def _say(state: RunState, text: str, *, error: bool = False, resume_hint: bool = False) -> RunState:
    return msgspec.structs.replace(state, once=(*state.once, Announce(text=text, error=error, resume_hint=resume_hint)))


# --- pause, stop, resume ----------------------------------------------------------------------------------------


def _pause(state: RunState, event: PauseRequested) -> RunState:
    if state.hold is Hold.STOP or state.paused:
        return _unfitting(state, event)
    state = msgspec.structs.replace(state, hold=Hold.PAUSE)
    return _interrupt(state, "the run was paused") if event.now else _withdraw(state, WaitJob)


def _stop(state: RunState, event: StopRequested) -> RunState:
    if state.hold is Hold.STOP:
        return state
    detail = event.reason or "a stop was asked for"
    state = msgspec.structs.replace(state, hold=Hold.STOP, detail=detail)
    return _interrupt(state, f"the run was stopped: {detail}")


def _interrupt(state: RunState, why: str) -> RunState:
    return _cut(_withdraw(state, WaitJob, PlanJob, ChecksJob, QuestionJob), why)


def _withdraw(state: RunState, *kinds: type[Job]) -> RunState:
    """Holds the jobs of these kinds back that are issued: they cost nothing to begin again."""
    for job in state.jobs:
        if job.issued and isinstance(job, kinds):
            state = _hold_back(state, job)
    return state


def _resume(state: RunState, event: ResumeRequested) -> RunState:
    """Also takes back a pause that is not in force yet. A stop cannot be taken back: agents are being interrupted."""
    if state.hold is not Hold.PAUSE:
        return _unfitting(state, event)
    return _release(state)


def _resumed(state: RunState, event: RunResumed) -> RunState:
    known = {"", state.run.task.strip(), state.task.strip()}
    if event.settings is not None:
        new_task = event.settings.task.strip() not in known
        state = msgspec.structs.replace(state, settings=_successor(state.run, event.settings, new_task=new_task))
        if new_task:
            return _begin_instead(state)
    if state.phase is Phase.COMPLETED:
        return _say(state, "the run is completed; give it a new task to go on")
    if state.phase in FINAL_PHASES:
        assert state.goes_on_in is not None, "only a completed run has nowhere to go on"
        state = msgspec.structs.replace(state, phase=state.goes_on_in, goes_on_in=None, detail="")
    if state.phase is Phase.FOLLOW_UP:
        return _more_iterations(state)
    return _release(state)


def _successor(old: RunSettings, new: RunSettings, *, new_task: bool) -> RunSettings:
    """All ids derive from run_uid, so it never changes. A task that is not new is the old one, planned or not."""
    if new_task:
        return msgspec.structs.replace(new, run_uid=old.run_uid)
    return msgspec.structs.replace(new, run_uid=old.run_uid, task=old.task, needs_plan=old.needs_plan)


def _begin_instead(state: RunState) -> RunState:
    """The old task's turns are broken off, and their outcomes ignored; the sessions stay."""
    breaks = tuple(
        BreakOffTurn(turn_id=job.id, role=job.role, reason="the run has a new task") for job in state.open_turns
    )
    state = _drop(state, *state.jobs)
    return _begin(msgspec.structs.replace(state, once=(*state.once, *breaks)))


def _more_iterations(state: RunState) -> RunState:
    """To resume a run that was out of iterations is to ask for more, if nobody can be asked."""
    if state.iteration >= state.run.max_iterations and state.run.interactive:
        return _release(state) if state.jobs else _out_of_iterations(state)
    if state.iteration >= state.run.max_iterations:
        state = msgspec.structs.replace(state, iteration=0, failures=0)
    state = msgspec.structs.replace(_drop(state, *state.jobs), hold=Hold.NONE)
    return _start_iteration(state)


def _situation(state: RunState) -> str:
    if state.hold is Hold.STOP:
        return "is stopping"
    if state.paused:
        return "is paused"
    if state.phase in FINAL_PHASES:
        return f"is {state.phase.value} already"
    return f"waits for {state.waits_for}"


# --- the table --------------------------------------------------------------------------------------------------

# Answers that may come late or twice: the job that they answer, and the field that names it.
_ANSWERS: Mapping[type[Event], tuple[type[Job], str]] = {
    TurnSettled: (TurnJob, "turn_id"),
    PlanRead: (PlanJob, "read_id"),
    ChecksEnded: (ChecksJob, "checks_id"),
    CooldownEnded: (WaitJob, "wait_id"),
}

_SAID_BY_PEOPLE: Mapping[type[Event], str] = {
    FollowUpGiven: "this follow-up",
    PauseRequested: "a pause",
    ResumeRequested: "resuming",
    StopRequested: "a stop",
    HumanVerdictGiven: "this verdict",
}


class Rule(NamedTuple):
    """What handles the event, and every phase that the handler can lead to."""

    handler: Callable[..., RunState]
    to: frozenset[Phase]


def _rule(handler: Callable[..., RunState], *to: Phase) -> Rule:
    return Rule(handler, frozenset(to))


_P = Phase
_AFTER_AN_ITERATION = (_P.COOLDOWN, _P.WORKING, _P.FOLLOW_UP, _P.STOPPED)  # WORKING: no cool-down is wanted
_FIRST_STEPS = (_P.PLANNING, _P.WORKING)  # of a task


def _live(phase: Phase, rows: dict[type[Event], Rule]) -> dict[type[Event], Rule]:
    """The rows that all live phases have in common, and the phase's own, which come first.

    Beside these, a stop leads from every live phase to STOPPED when nothing runs any more (`_hold_takes_effect`).
    """
    return {
        **rows,
        PauseRequested: _rule(_pause, phase),
        ResumeRequested: _rule(_resume, phase),
        StopRequested: _rule(_stop, phase),
        RunResumed: _rule(_resumed, phase, *_FIRST_STEPS),
        MailReachedWorker: _rule(_mail_reached_worker, phase),
    }


TRANSITIONS: Mapping[Phase, Mapping[type[Event], Rule]] = {
    _P.NEW: {RunStarted: _rule(_started, *_FIRST_STEPS)},
    _P.PLANNING: _live(
        _P.PLANNING,
        {
            TurnSettled: _rule(_when_settled(_plan_settled), _P.READING_PLAN, _P.PLANNING, _P.FAILED),
            CooldownEnded: _rule(_limit_over, _P.PLANNING),
        },
    ),
    _P.READING_PLAN: _live(
        _P.READING_PLAN,
        {PlanRead: _rule(_plan_read, _P.PLAN_REVIEW, _P.WORKING, _P.FAILED)},
    ),
    _P.PLAN_REVIEW: _live(
        _P.PLAN_REVIEW,
        {
            TurnSettled: _rule(
                _when_settled(_plan_review_settled), _P.READING_REVIEWED_PLAN, _P.PLAN_REVIEW, _P.FAILED
            ),
            CooldownEnded: _rule(_limit_over, _P.PLAN_REVIEW),
        },
    ),
    _P.READING_REVIEWED_PLAN: _live(
        _P.READING_REVIEWED_PLAN,
        {PlanRead: _rule(_plan_read, _P.WORKING, _P.FAILED)},
    ),
    _P.COOLDOWN: _live(
        _P.COOLDOWN,
        {
            CooldownEnded: _rule(_cooldown_over, _P.WORKING),
            HumanVerdictGiven: _rule(_human_verdict_in_cooldown, _P.PULL_REQUEST, _P.COOLDOWN),
        },
    ),
    _P.WORKING: _live(
        _P.WORKING,
        {
            TurnSettled: _rule(
                _when_settled(_work_settled),
                _P.CHECKING,
                _P.REVIEWING,
                _P.PULL_REQUEST,
                _P.FAILED,
                *_AFTER_AN_ITERATION,
            ),
            CooldownEnded: _rule(_limit_over, _P.WORKING),
            HumanVerdictGiven: _rule(_human_verdict_on_work, _P.WORKING),
        },
    ),
    _P.CHECKING: _live(
        _P.CHECKING,
        {
            ChecksEnded: _rule(_checks_ended, _P.REVIEWING, _P.PULL_REQUEST, *_AFTER_AN_ITERATION),
            HumanVerdictGiven: _rule(_human_verdict_on_checks, _P.PULL_REQUEST, *_AFTER_AN_ITERATION),
        },
    ),
    _P.REVIEWING: _live(
        _P.REVIEWING,
        {
            TurnSettled: _rule(_when_settled(_review_settled), _P.PULL_REQUEST, _P.REVIEWING, *_AFTER_AN_ITERATION),
            CooldownEnded: _rule(_limit_over, _P.REVIEWING),
            HumanVerdictGiven: _rule(_human_verdict_on_review, _P.PULL_REQUEST, _P.REVIEWING, *_AFTER_AN_ITERATION),
        },
    ),
    _P.FOLLOW_UP: _live(
        _P.FOLLOW_UP,
        {
            FollowUpGiven: _rule(_follow_up, _P.WORKING, _P.STOPPED),
            HumanVerdictGiven: _rule(_human_verdict_as_follow_up, _P.PULL_REQUEST, _P.WORKING, _P.FOLLOW_UP),
        },
    ),
    _P.PULL_REQUEST: _live(
        _P.PULL_REQUEST,
        {
            TurnSettled: _rule(_when_settled(_pull_request_settled), _P.COMPLETED, _P.PULL_REQUEST),
            CooldownEnded: _rule(_limit_over, _P.PULL_REQUEST),
        },
    ),
    _P.COMPLETED: {RunResumed: _rule(_resumed, _P.COMPLETED, *_FIRST_STEPS)},
    _P.FAILED: {
        RunResumed: _rule(_resumed, _P.PLAN_REVIEW, _P.COOLDOWN, *_FIRST_STEPS),
    },
    _P.STOPPED: {RunResumed: _rule(_resumed, *sorted(LIVE_PHASES, key=lambda phase: phase.value))},
}
