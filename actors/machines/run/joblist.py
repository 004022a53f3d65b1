"""The jobs of a run: made, answered, withdrawn, interrupted, released. Pure.

The only module that makes ids. They derive from the label and earlier ids, so a fold makes the same ones.
"""

from __future__ import annotations

import itertools
from typing import TypeVar

from msgspec.structs import replace

from actors.machines.run.jobs import KINDS
from actors.machines.run.jobs.base import Job
from actors.machines.run.jobs.turn import TurnJob
from actors.machines.run.state import RunState

J = TypeVar("J", bound=Job)


def add(state: RunState, job: Job) -> RunState:
    """The job under a new id; issued unless something holds the run."""
    fresh = replace(job, id=_new_id(state, job), issued=state.hold is None)
    return replace(state, jobs=(*state.jobs, fresh))


def _new_id(state: RunState, job: Job) -> str:
    """The id, derived from the label and the attempt alone."""
    taken = state.past | {other.id for other in state.jobs}
    keys = itertools.chain([job.label], (f"{job.label}.{attempt}" for attempt in itertools.count(2)))
    ids = (job.identity(state.run.run_uid, key) for key in keys)
    return next(found for found in ids if found not in taken)


def take(state: RunState, job_id: str, kind: type[J]) -> tuple[RunState, J]:
    """The answered job, and the state without it."""
    job = next(job for job in state.jobs if job.id == job_id)
    assert isinstance(job, kind), f"{job_id} is a {type(job).__name__}"
    rest = tuple(other for other in state.jobs if other is not job)
    return replace(state, jobs=rest, past=state.past | {job_id}), job


def drop(state: RunState, *unwanted: Job) -> RunState:
    """Drops these jobs; late answers to them are ignored from now on. A turn that waited behind one of them never gets
    its id again: its hook may have run under it.
    """
    behind = {each.id for job in unwanted if (each := getattr(job, "then", None)) is not None and each.id}
    state = _ended(state, *unwanted)
    return replace(state, past=state.past | behind)


def _ended(state: RunState, *unwanted: Job) -> RunState:
    issued = [job for job in unwanted if job.issued]
    ends = (job.withdrawal() for job in issued)
    return replace(
        state,
        jobs=tuple(job for job in state.jobs if job not in unwanted),
        past=state.past | {job.id for job in issued},
        once=(*state.once, *(end for end in ends if end is not None)),
    )


def withdraw(state: RunState, *kinds: type[Job]) -> RunState:
    """Withdraws the issued jobs of these kinds: a held new attempt replaces each."""
    assert state.hold is not None, "what nobody holds would go out again at once"
    for job in state.jobs:
        if job.issued and isinstance(job, kinds):
            state = add(_ended(state, job), job)
    return state


def withdraw_idle(state: RunState) -> RunState:
    """Withdraws jobs that only pass the time. Something must hold the run."""
    return withdraw(state, *(kind for kind in KINDS if kind.idle))


def interrupt(state: RunState, why: str) -> RunState:
    """Ends what runs now: jobs that cannot be withdrawn are interrupted. Something must hold the run."""
    return cut(withdraw(state, *(kind for kind in KINDS if kind.withdrawable)), why)


def cut(state: RunState, why: str) -> RunState:
    """Interrupts running jobs that cannot be withdrawn. Their meaning is decided when they have settled."""
    return replace(
        state,
        jobs=tuple(job.interrupted(why) if job.issued and not job.withdrawable else job for job in state.jobs),
    )


def turns(state: RunState) -> list[TurnJob]:
    """All turns that have not settled for good: also those behind a wait, and before or after their hooks."""
    inside = [getattr(job, name, None) for job in state.jobs for name in ("then", "answered")]
    return [job for job in (*state.jobs, *inside) if isinstance(job, TurnJob)]


def release(state: RunState) -> RunState:
    """Issues the held jobs: nothing holds the run any more."""
    return replace(state, hold=None, jobs=tuple(replace(job, issued=True) for job in state.jobs))


def again(state: RunState, job: TurnJob, *, resumes: str = "") -> RunState:
    """The same turn under a new id; with `resumes` as a continuation."""
    return add(state, replace(job, resumes=resumes, cut=""))
