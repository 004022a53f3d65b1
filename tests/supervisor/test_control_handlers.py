"""What consoles are told without anybody being asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.errors import UserError
from actors.messages import AgentContact, AgentStatus, CheckStatus, RunStatus, Usage
from actors.settings import RunSettings
from supervisor.control.handlers import ControlHandler
from supervisor.control.protocol import ActorReport, GetReport, LookAtMail, Report
from supervisor.router import Router
from supervisor.run_tree import RunSpec


@pytest.fixture
def router() -> Iterator[Router]:
    with tempfile.TemporaryDirectory(prefix="loop-") as directory:
        router = Router(Path(directory) / "bus")
        yield router
        router.close()


@pytest.fixture
def handler(router: Router) -> ControlHandler:
    spec = RunSpec(
        key="sample-12ab/1",
        run_id="1",
        repo_id="sample-12ab",
        directory=Path(),
        cwd=Path(),
        environment={},
        asked=RunSettings(run_uid="u", task="", needs_plan=False, worker="codex", reviewer="codex", paired=False),
    )
    console = router.open_local(spec.key, "console", lambda _message, _sender: None)
    return ControlHandler(spec, router, ref=console.ref, stop=lambda _reason, _now: None, show=lambda _progress: None)


STATUS = AgentStatus(
    role="worker",
    agent="codex",
    label="codex",
    session_id="s",
    can_steer=True,
    turn_id="t",
    purpose="work",
    since_ms=5,
    waiting=0,
    turns=3,
    usage=Usage(),
)


def shown(handler: ControlHandler) -> tuple[str, str]:
    report = handler.at_once(GetReport(), consoles=0)
    assert isinstance(report, Report)
    return report.actors[0].state, report.agents[0].turn_id


def test_an_agent_that_does_not_come_to_the_bridge_is_in_the_report_until_it_comes(handler: ControlHandler) -> None:
    problems = []
    for problem in ("claude has not contacted the bridge", ""):
        handler.note(AgentContact(role="reviewer", problem=problem))
        report = handler.at_once(GetReport(), consoles=0)
        assert isinstance(report, Report)
        problems.append(report.problems)
    assert problems == [["claude has not contacted the bridge"], []]


def test_a_turn_ends_with_the_process_that_it_ran_in(handler: ControlHandler) -> None:
    running = ActorReport(name="worker", state="running", incarnation=1)
    handler.children([running])
    handler.note(STATUS)
    handler.children([running])
    assert shown(handler) == ("busy", "t")
    handler.children([ActorReport(name="worker", state="running", incarnation=2)])
    assert shown(handler) == ("running", "")


def test_the_check_that_runs_is_in_the_report_until_it_ends_or_its_process_does(handler: ControlHandler) -> None:
    def check() -> CheckStatus | None:
        report = handler.at_once(GetReport(), consoles=0)
        assert isinstance(report, Report)
        return report.check

    running = CheckStatus(command="make test", number=1, of=1, since_ms=5)
    handler.note(running)
    assert check() == running
    handler.note(CheckStatus())
    assert check() is None
    handler.note(running)
    handler.children([ActorReport(name="worker", state="restarting", incarnation=2)])
    assert check() is None


def test_a_run_whose_agent_waits_for_a_person_in_its_window_says_so_until_it_is_answered(
    handler: ControlHandler,
) -> None:
    working = RunStatus(
        at_ms=1,
        state="working",
        phase="working",
        line="iteration 1 of 20: waits for codex",
        iteration=1,
        max_iterations=20,
        hold="none",
        waits_for="codex",
        open_turns=[],
        question="",
        detail="",
        task="",
    )
    handler.children([ActorReport(name="worker", state="running", incarnation=1)])
    handler.note(working)

    def state() -> tuple[str, str]:
        report = handler.at_once(GetReport(), consoles=0)
        assert isinstance(report, Report)
        assert report.status is not None
        return report.status.state, report.status.line

    asked = "claude waits for your permission in its pane: Bash: make"
    handler.note(replace(STATUS, asks=asked))
    assert state() == ("input-required", f"iteration 1 of 20: {asked}")
    handler.note(STATUS)
    assert state() == ("working", working.line)
    handler.note(replace(STATUS, asks=asked))
    handler.children([ActorReport(name="worker", state="running", incarnation=2)])
    assert state() == ("working", working.line)


def test_no_turn_runs_in_a_run_that_stands_still(handler: ControlHandler) -> None:
    handler.children([ActorReport(name="worker", state="running", incarnation=1)])
    handler.note(STATUS)
    handler.note(
        RunStatus(
            at_ms=0,
            state="working",
            phase="working",
            line="iteration 1 of 20: waits for codex",
            iteration=1,
            max_iterations=20,
            hold="none",
            waits_for="codex",
            open_turns=[],
            question="",
            detail="",
            task="",
        )
    )
    handler.asks("restart worker, or stop?")
    assert shown(handler) == ("running", "")
    report = handler.at_once(GetReport(), consoles=0)
    assert isinstance(report, Report)
    assert report.status is not None
    assert (report.status.state, report.status.line) == ("input-required", "iteration 1 of 20: suspended")
    assert report.question == report.status.question == "restart worker, or stop?"
    handler.asks("")
    report = handler.at_once(GetReport(), consoles=0)
    assert isinstance(report, Report)
    assert report.status is not None
    assert (report.status.state, report.question, report.status.question) == ("working", "", "")


def test_there_is_no_mail_where_one_agent_works_alone(handler: ControlHandler) -> None:
    with pytest.raises(UserError, match="one agent alone has nobody to write to: there is no mail in this run"):
        handler.serve(LookAtMail())
