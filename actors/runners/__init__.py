"""The jobs of a run that touch the world: one file per kind, which runs the job and makes its answer.

A job runs in the process that owns its place. A wait runs in the run's process; a job of the working tree runs in the
process of the agent that works there. The command travels there as a `StartJob`, and its answer returns as a
`JobEnded`. Both are JSON with the name of the struct, like events in the journal.

Decides nothing: the run machine (machines/run) chooses jobs and interprets their answers.
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
from actors.runners.hook import HookRunner
from actors.runners.plan import PlanRunner
from actors.runners.pull_request import PublishingRunner, PullRequestRunner
from actors.runners.tree import TreeRunner
from actors.runners.wait import WaitRunner
from actors.wire.encoding import to_json

__all__ = ["HOME", "TREE", "Place", "PublishingRunner", "Runner", "answer_in", "report", "runner_for", "start_job"]

# The jobs of the run's own process, and those of a working tree.
HOME: Mapping[type[run.Command], Callable[[Any], Runner]] = {run.StartCooldown: WaitRunner}
TREE: Mapping[type[run.Command], Callable[[Any, Place], Runner]] = {
    run.ReadPlan: PlanRunner,
    run.RunChecks: ChecksRunner,
    run.TakeTree: TreeRunner,
    run.ProbePullRequest: PullRequestRunner,
    run.RunHook: HookRunner,
}

_COMMANDS = {command.__name__: command for command in TREE}
_ANSWERS: Mapping[str, type[run.Event]] = by_stored_name(run.EVENTS)


def start_job(command: run.Command) -> StartJob:
    """A working-tree job's command, as a message to the tree's owner."""
    return StartJob(job_id=run.job_id(command), kind=type(command).__name__, body=to_json(command))


def runner_for(message: StartJob, place: Place) -> Runner:
    """The runner of the job. Raises `ProtocolError` for an unknown kind."""
    command = _COMMANDS.get(message.kind)
    if command is None:
        raise ProtocolError(f"job of the unknown kind {message.kind!r}")
    return TREE[command](_read(message, command), place)


def report(job: str, answer: run.Event) -> JobEnded:
    """The answer, as a message to the run."""
    return JobEnded(job_id=job, kind=stored_name(type(answer)), body=to_json(answer))


def answer_in(message: JobEnded) -> run.Event:
    """The event in the message. Raises `ProtocolError` for an unknown kind."""
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
