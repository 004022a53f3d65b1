"""What the handler of a run answers from memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.errors import UserError
from actors.messages import AgentContact
from actors.settings import RunSettings
from supervisor.control.handlers import ControlHandler
from supervisor.control.protocol import ActorReport, GetReport, HostReport, Inspect, Report, ShowMail
from supervisor.router import Router
from supervisor.run_tree import RunSpec


@pytest.fixture
def router() -> Iterator[Router]:
    with tempfile.TemporaryDirectory(prefix="loop-") as directory:
        router = Router(Path(directory) / "bus")
        yield router
        router.close()


def handler_of(router: Router, hosts: list[HostReport]) -> ControlHandler:
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
    return ControlHandler(
        spec,
        router,
        ref=console.ref,
        stop=lambda _reason, _now: None,
        show=lambda _progress: None,
        hosts=lambda: hosts,
        move=lambda role, place, _now: f"{role} moves to {place}",
    )


@pytest.fixture
def handler(router: Router) -> ControlHandler:
    return handler_of(router, [])


def test_a_report_names_the_run_and_says_how_it_stands(handler: ControlHandler) -> None:
    handler.children([ActorReport(name="worker", state="running", incarnation=1)])
    handler.note(AgentContact(role="reviewer", problem="claude has not contacted the bridge"))
    handler.asks("restart worker, or stop?")
    report = handler.at_once(GetReport(), consoles=2)
    assert isinstance(report, Report)
    assert (report.key, report.consoles, report.question) == ("sample-12ab/1", 2, "restart worker, or stop?")
    assert (report.actors[0].name, report.problems) == ("worker", ["claude has not contacted the bridge"])


def test_inspect_sends_no_function_to_another_python(router: Router) -> None:
    made = handler_of(
        router, [HostReport(name="big", actors=["worker"], state="connected", since_ms=0, python="2.7.18")]
    )
    made.children([ActorReport(name="worker", state="running", incarnation=1)])
    with pytest.raises(UserError, match=r"worker runs on big with Python 2\.7\.18, and home has 3\."):
        made.serve(Inspect(actor="worker"))


def test_there_is_no_mail_where_one_agent_works_alone(handler: ControlHandler) -> None:
    with pytest.raises(UserError, match="this run has a single agent: there is no mail"):
        handler.serve(ShowMail())
