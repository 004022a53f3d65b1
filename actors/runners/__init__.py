"""The jobs of a run that touch the world: one file per kind, with what starts it and what it answers.

A job runs in the process that owns the place it needs: a wait at home, in the run's; what reads the working tree or
starts something in it, in that of the agent that works there. The command travels there as a `StartJob`, its answer
comes back as a `JobEnded`: both as JSON beside the name of the struct, as the journal has its events.

Decides nothing: which job is wanted, and what its answer means, is the run machine's (machines/run).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from actors.errors import ProtocolError
from actors.machines import run
from actors.machines.stored import by_stored_name, stored_name
from actors.messages import JobEnded, StartJob
from actors.runners.base import Place, Runner
from actors.runners.checks import ChecksRunner
from actors.runners.plan import PlanRunner
from actors.runners.pull_request import PullRequestRunner
from actors.runners.tree import TreeRunner
from actors.runners.wait import WaitRunner
from actors.wire.encoding import to_json

__all__ = ["HOME", "TREE", "Place", "Runner", "answer_in", "order", "report", "runner_for"]

# The jobs of the run's own process, and those of a working tree.
HOME: Mapping[type[run.Command], Callable[[Any], Runner]] = {run.StartCooldown: WaitRunner}
TREE: Mapping[type[run.Command], Callable[[Any, Place], Runner]] = {
    run.ReadPlan: PlanRunner,
    run.RunChecks: ChecksRunner,
    run.TakeTree: TreeRunner,
    run.ProbePullRequest: PullRequestRunner,
}

_COMMANDS = {command.__name__: command for command in TREE}
_ANSWERS: Mapping[str, type[run.Event]] = by_stored_name(run.EVENTS)


def order(command: run.Command) -> StartJob:
    """The command of a job of the working tree, as a message to its owner."""
    return StartJob(job_id=run.job_id(command), kind=type(command).__name__, body=to_json(command))


def runner_for(message: StartJob, place: Place) -> Runner:
    """What does the job there. Raises `ProtocolError` for a kind that is unknown here."""
    command = _COMMANDS.get(message.kind)
    if command is None:
        raise ProtocolError(f"job of the unknown kind {message.kind!r}")
    return TREE[command](_read(message, command), place)


def report(job: str, answer: run.Event) -> JobEnded:
    """The answer, as a message to the run."""
    return JobEnded(job_id=job, kind=stored_name(type(answer)), body=to_json(answer))


def answer_in(message: JobEnded) -> run.Event:
    """The event that the message carries. Raises `ProtocolError` for a kind that is unknown here."""
    event = _ANSWERS.get(message.kind)
    if event is None:
        raise ProtocolError(f"answer of the unknown kind {message.kind!r}")
    found: run.Event = _read(message, event)
    return found


def _read(message: StartJob | JobEnded, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(message.body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(f"bad {message.kind} ({error})") from error
