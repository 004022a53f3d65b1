"""Every kind of job has all its parts, is asked for again under its id, and is over with its answer."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest

from actors import runners
from actors.machines import run
from actors.machines.run import jobs
from actors.machines.run.jobs import base
from actors.machines.run.jobs.checks import ChecksJob
from actors.machines.run.jobs.hook import HookJob
from actors.machines.run.jobs.plan import PlanJob
from actors.machines.run.jobs.pull_request import PullRequestJob
from actors.machines.run.jobs.question import QuestionJob
from actors.machines.run.jobs.tree import TreeJob
from actors.machines.run.jobs.turn import TurnJob
from actors.machines.run.jobs.wait import WaitJob
from tests.actors.machines.test_run import DONE, NOW, PASS, Run, failed, finished

FOUND = run.PullRequestStatus(lacks="gh", reason="there is no gh")


def published() -> Run:
    story = Run(looks_for_pull_request=True)
    story.settle(finished(DONE))
    story.reviews(PASS, PASS)
    return story


def cooling_down() -> Run:
    story = Run()
    story.settle(failed())
    return story


def checking() -> Run:
    story = Run(checks=("pytest",))
    story.settle(finished(DONE))
    return story


# kind -> a run that waits for one of it, what answers it, where it is done, and how the user is told what is waited for
ROWS: dict[type[base.Job], tuple[Callable[[], Run], Callable[[Any], run.Event], str, str]] = {
    TurnJob: (Run, lambda it: run.TurnSettled(turn_id=it.turn_id, outcome=finished()), "worker", "codex"),
    WaitJob: (
        cooling_down,
        lambda it: run.CooldownEnded(wait_id=it.wait_id),
        "home",
        "the end of the cool-down",
    ),
    PlanJob: (
        lambda: Run(needs_plan=True, asks_again=True),
        lambda it: run.PlanRead(read_id=it.read_id, text=None),
        "worker",
        "PLAN.md",
    ),
    ChecksJob: (checking, lambda it: run.ChecksEnded(checks_id=it.checks_id, results=()), "worker", "the checks"),
    TreeJob: (
        lambda: Run(binds_to_tree=True),
        lambda it: run.TreeTaken(take_id=it.take_id, tree=run.Tree(id="first")),
        "worker",
        "the tree",
    ),
    PullRequestJob: (
        published,
        lambda it: run.PullRequestProbed(look_id=it.look_id, status=FOUND),
        "worker",
        "git",
    ),
    HookJob: (
        lambda: Run(hooks={"before_turn": "make ready"}),
        lambda it: run.HookEnded(hook_id=it.hook_id, exit_code=0),
        "worker",
        "the hook before_turn",
    ),
    QuestionJob: (
        lambda: Run(task="", open_ended=True),
        lambda _it: run.QuestionAnswered(text="Fix the parser."),
        "home",
        "the user's answer",
    ),
}

every_kind = pytest.mark.parametrize("kind", jobs.KINDS, ids=lambda kind: kind.__name__)


def the_job(story: Run, kind: type[base.Job]) -> base.Job:
    [job] = [job for job in story.state.jobs if isinstance(job, kind) and job.issued]
    return job


def test_every_kind_is_in_the_list_and_has_a_row() -> None:
    for module in pkgutil.iter_modules(jobs.__path__):
        importlib.import_module(f"{jobs.__name__}.{module.name}")
    assert set(jobs.KINDS) == set(base.Job.__subclasses__()) == set(ROWS)


@every_kind
def test_a_kind_has_all_its_parts_in_its_own_file(kind: type[base.Job]) -> None:
    for part in ("asks", "answer", "named_by", "withdrawable", "idle", "quiet", "command", "words"):
        assert part in vars(kind), part
    assert kind.asks.__module__ == kind.answer.__module__ == kind.__module__
    assert kind.answer in run.EVENTS
    assert not kind.named_by or kind.named_by in kind.answer.__struct_fields__
    assert [each for each in jobs.KINDS if each.answer is kind.answer] == [kind]
    assert kind.withdrawable or kind.interruption is not base.Job.interruption, "nothing could end it"
    assert kind.withdrawable or not kind.idle, "a pause could not take it back"


def test_every_kind_is_carried_out_somewhere() -> None:
    itself = {TurnJob.asks, QuestionJob.asks}  # the run gives a turn to an agent, and a question to the user
    assert {kind.asks for kind in jobs.KINDS} == itself | set(runners.HOME) | set(runners.TREE)


@every_kind
def test_a_job_is_asked_for_with_its_id_and_again_after_a_crash(kind: type[base.Job]) -> None:
    start, _, where, words = ROWS[kind]
    story = start()
    job = the_job(story, kind)
    command = job.command(story.state, NOW)
    assert type(command).__module__ == kind.__module__
    assert type(command) is kind.asks
    assert not kind.named_by or run.job_id(command) == job.id
    assert command in story.commands
    assert (command.where, job.words(story.state)) == (where, words)
    assert run.outstanding(run.fold(story.journal), NOW) == run.outstanding(story.state, NOW) == [command]


@every_kind
def test_a_job_is_over_with_its_answer_and_a_second_one_changes_nothing(kind: type[base.Job]) -> None:
    start, answer, _, _ = ROWS[kind]
    story = start()
    job = the_job(story, kind)
    event = answer(job.command(story.state, NOW))
    assert type(event) is kind.answer
    story.happens(event)
    assert job.id not in {each.id for each in story.state.jobs}
    if kind.named_by:
        after = story.state
        story.happens(event)
        assert (story.state, story.commands) == (after, [])


@every_kind
def test_a_stop_takes_a_job_back_or_interrupts_it(kind: type[base.Job]) -> None:
    start, _, _, _ = ROWS[kind]
    story = start()
    before = the_job(story, kind)
    if isinstance(before, QuestionJob):
        story = Run(max_iterations=1, interactive=True)  # a stop of a run that waits for its first task is its end
        story.settle(finished("no"))
        before = the_job(story, kind)
    story.happens(run.StopRequested())
    if kind.withdrawable:
        assert story.state.phase is run.Phase.STOPPED
        [held] = [job for job in story.state.jobs if isinstance(job, kind)]
        assert (held.issued, held.id != before.id, held.label) == (False, True, before.label)
    else:
        assert the_job(story, kind).id == before.id
        assert the_job(story, kind).interruption() in story.commands


@every_kind
def test_a_pause_takes_back_only_what_passes_the_time(kind: type[base.Job]) -> None:
    start, _, _, _ = ROWS[kind]
    story = start()
    story.happens(run.PauseRequested())
    assert any(job.issued for job in story.state.jobs) is not kind.idle
