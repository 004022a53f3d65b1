"""What consoles are told without anybody being asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.errors import UserError
from actors.messages import AgentContact, AgentStatus, RunStatus, Usage
from actors.settings import RunSettings
from supervisor.clerk import RunClerk
from supervisor.console_wire import ActorReport, GetReport, LookAtMail, Report
from supervisor.router import Router
from supervisor.run_tree import RunSpec


@pytest.fixture
def router() -> Iterator[Router]:
    with tempfile.TemporaryDirectory(prefix="loop-") as directory:
        router = Router(Path(directory) / "bus")
        yield router
        router.close()


@pytest.fixture
def clerk(router: Router) -> RunClerk:
    order = RunSpec(
        key="sample-12ab/1",
        run_id="1",
        repo_id="sample-12ab",
        directory=Path(),
        cwd=Path(),
        environment={},
        asked=RunSettings(run_uid="u", task="", needs_plan=False, worker="codex", reviewer="codex", paired=False),
    )
    desk = router.open_local(order.key, "console", lambda _message, _sender: None)
    return RunClerk(order, router, ref=desk.ref, stop=lambda _reason, _now: None, show=lambda _progress: None)


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


def shown(clerk: RunClerk) -> tuple[str, str]:
    report = clerk.at_once(GetReport(), consoles=0)
    assert isinstance(report, Report)
    return report.actors[0].state, report.agents[0].turn_id


def test_an_agent_that_does_not_come_to_the_bridge_is_in_the_report_until_it_comes(clerk: RunClerk) -> None:
    problems = []
    for problem in ("claude has not contacted the bridge", ""):
        clerk.note(AgentContact(role="reviewer", problem=problem))
        report = clerk.at_once(GetReport(), consoles=0)
        assert isinstance(report, Report)
        problems.append(report.problems)
    assert problems == [["claude has not contacted the bridge"], []]


def test_a_turn_ends_with_the_process_that_it_ran_in(clerk: RunClerk) -> None:
    running = ActorReport(name="worker", state="running", incarnation=1)
    clerk.children([running])
    clerk.note(STATUS)
    clerk.children([running])
    assert shown(clerk) == ("busy", "t")
    clerk.children([ActorReport(name="worker", state="running", incarnation=2)])
    assert shown(clerk) == ("running", "")


def test_a_run_whose_agent_waits_for_a_person_in_its_own_window_says_so_until_it_is_answered(clerk: RunClerk) -> None:
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
    clerk.children([ActorReport(name="worker", state="running", incarnation=1)])
    clerk.note(working)

    def state() -> tuple[str, str]:
        report = clerk.at_once(GetReport(), consoles=0)
        assert isinstance(report, Report)
        assert report.status is not None
        return report.status.state, report.status.line

    asked = "claude waits for your permission in its pane: Bash: make"
    clerk.note(replace(STATUS, asks=asked))
    assert state() == ("input-required", f"iteration 1 of 20: {asked}")
    clerk.note(STATUS)
    assert state() == ("working", working.line)
    clerk.note(replace(STATUS, asks=asked))
    clerk.children([ActorReport(name="worker", state="running", incarnation=2)])
    assert state() == ("working", working.line)


def test_no_turn_runs_in_a_run_that_stands_still(clerk: RunClerk) -> None:
    clerk.children([ActorReport(name="worker", state="running", incarnation=1)])
    clerk.note(STATUS)
    clerk.note(
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
    clerk.asks("restart worker, or stop?")
    assert shown(clerk) == ("running", "")
    report = clerk.at_once(GetReport(), consoles=0)
    assert isinstance(report, Report)
    assert report.status is not None
    assert (report.status.state, report.status.line) == ("input-required", "iteration 1 of 20: suspended")
    assert report.question == report.status.question == "restart worker, or stop?"
    clerk.asks("")
    report = clerk.at_once(GetReport(), consoles=0)
    assert isinstance(report, Report)
    assert report.status is not None
    assert (report.status.state, report.question, report.status.question) == ("working", "", "")


def test_there_is_no_mail_where_one_agent_works_alone(clerk: RunClerk) -> None:
    with pytest.raises(UserError, match="one agent alone has nobody to write to: there is no mail in this run"):
        clerk.serve(LookAtMail())
