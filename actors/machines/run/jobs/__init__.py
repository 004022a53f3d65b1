"""The kinds of jobs, one file each. Pure data.

A new kind needs one file here, its line in `KINDS`, a runner for its command, and its row in
tests/actors/machines/test_run_jobs.py. When a run needs a job, and what an answer means, is decided with the run's
other decisions (steps, answers, table).
"""

from __future__ import annotations

from collections.abc import Mapping

from actors.machines.run.jobs.base import Command, Event, Job
from actors.machines.run.jobs.checks import ChecksJob
from actors.machines.run.jobs.hook import HookJob
from actors.machines.run.jobs.plan import PlanJob
from actors.machines.run.jobs.pull_request import PullRequestJob
from actors.machines.run.jobs.question import QuestionJob
from actors.machines.run.jobs.tree import TreeJob
from actors.machines.run.jobs.turn import TurnJob
from actors.machines.run.jobs.wait import WaitJob

KINDS: tuple[type[Job], ...] = (TurnJob, WaitJob, PlanJob, ChecksJob, TreeJob, PullRequestJob, QuestionJob, HookJob)

_ASKED: Mapping[type[Command], type[Job]] = {kind.asks: kind for kind in KINDS if kind.named_by}

# Answers that name their job: these may come late or twice.
NAMED: Mapping[type[Event], type[Job]] = {kind.answer: kind for kind in KINDS if kind.named_by}


def job_id(command: Command) -> str:
    """The id of the command's job; only for a kind whose commands name it."""
    return str(getattr(command, _ASKED[type(command)].named_by))
