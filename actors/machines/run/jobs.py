"""Jobs of a run: made, answered, withdrawn, interrupted, released; and the command that each stands for. Pure.

The only place that makes ids. They follow from the label and from what was used before, so a fold makes them again.
"""

from __future__ import annotations

import itertools
import uuid
from typing import Literal, TypeVar

from msgspec.structs import replace

from actors.machines import prompts
from actors.machines.run.commands import (
    AskFollowUp,
    BreakOffChecks,
    Command,
    LookForPullRequest,
    ReadPlan,
    RunChecks,
    StartCooldown,
    StartTurn,
    TakeTree,
)
from actors.machines.run.state import (
    ChecksJob,
    Hold,
    Job,
    PlanJob,
    PullRequestJob,
    QuestionJob,
    RunState,
    TreeJob,
    TurnJob,
    WaitJob,
)

J = TypeVar("J", bound=Job)


def add(state: RunState, job: Job) -> RunState:
    """The job under a new id; issued unless something holds the run."""
    fresh = replace(job, id=_new_id(state, job), issued=state.hold is Hold.NONE)
    return replace(state, jobs=(*state.jobs, fresh))


def _new_id(state: RunState, job: Job) -> str:
    """A turn's id reaches an agent, so it is a UUID. Both kinds follow from the label and the attempt alone."""
    taken = state.past | {other.id for other in state.jobs}
    keys = itertools.chain([job.label], (f"{job.label}.{attempt}" for attempt in itertools.count(2)))
    ids = (str(uuid.uuid5(uuid.UUID(state.run.run_uid), key)) if isinstance(job, TurnJob) else key for key in keys)
    return next(found for found in ids if found not in taken)


def take(state: RunState, job_id: str, kind: type[J]) -> tuple[RunState, J]:
    """The answered job, and the state without it."""
    job = next(job for job in state.jobs if job.id == job_id)
    assert isinstance(job, kind), f"{job_id} is a {type(job).__name__}"
    rest = tuple(other for other in state.jobs if other is not job)
    return replace(state, jobs=rest, past=state.past | {job_id}), job


def drop(state: RunState, *unwanted: Job) -> RunState:
    """Nobody waits for these jobs any more; late answers to them are ignored from now on."""
    checks = (job for job in unwanted if isinstance(job, ChecksJob) and job.issued)
    return replace(
        state,
        jobs=tuple(job for job in state.jobs if job not in unwanted),
        past=state.past | {job.id for job in unwanted if job.issued},
        once=(*state.once, *(BreakOffChecks(checks_id=job.id) for job in checks)),
    )


def withdraw(state: RunState, *kinds: type[Job]) -> RunState:
    """Holds the issued jobs of these kinds back: another attempt takes the place of each, for later."""
    assert state.hold is not Hold.NONE, "what nobody holds would go out again at once"
    for job in state.jobs:
        if job.issued and isinstance(job, kinds):
            state = add(drop(state, job), job)
    return state


def cut(state: RunState, why: str) -> RunState:
    """Orders all running turns to break off. What they were is decided when they have settled."""
    return replace(
        state,
        jobs=tuple(
            replace(job, cut=why) if isinstance(job, TurnJob) and job.issued and not job.cut else job
            for job in state.jobs
        ),
    )


def release(state: RunState) -> RunState:
    """Nothing holds the run any more: what was held goes out."""
    return replace(state, hold=Hold.NONE, stuck="", jobs=tuple(replace(job, issued=True) for job in state.jobs))


def again(state: RunState, job: TurnJob, *, resumes: str = "") -> RunState:
    """The same turn under a new id; with `resumes` as a continuation."""
    return add(state, replace(job, resumes=resumes, cut=""))


def _reason(wait: WaitJob) -> Literal["cooldown", "limit", "provider"]:
    if wait.then is None:
        return "cooldown"
    return "provider" if wait.then.tries else "limit"


def command(state: RunState, job: Job, now_ms: int) -> Command:
    """What must be carried out to get the job's answer."""
    match job:
        case TurnJob():
            prompt = prompts.continuation(job.prompt, why=job.resumes) if job.resumes else job.prompt
            return StartTurn(
                turn_id=job.id,
                role=job.role,
                purpose=job.purpose,
                prompt=prompt,
                model=job.model,
                continues=job.continues,
                reminder=prompts.reminder(job.prompt, why=job.resumes) if job.continues and job.resumes else "",
            )
        case WaitJob():
            ms = max(job.at_least_ms, (job.not_before_ms or now_ms) - now_ms)
            return StartCooldown(
                wait_id=job.id,
                iteration=state.iteration,
                ms=ms,
                until_ms=now_ms + ms,
                reason=_reason(job),
            )
        case PlanJob():
            return ReadPlan(read_id=job.id, ahead=job.ahead)
        case ChecksJob():
            run = state.run
            return RunChecks(
                checks_id=job.id, iteration=state.iteration, commands=run.checks, timeout_s=run.check_timeout_s
            )
        case TreeJob():
            since = state.tree.id if state.tree is not None else ""
            return TakeTree(take_id=job.id, since=since, apart=state.apart)
        case PullRequestJob():
            return LookForPullRequest(look_id=job.id, ahead=job.ahead)
        case QuestionJob():
            return AskFollowUp(question=job.question)
        case _:
            raise AssertionError(f"no command for {job!r}")
