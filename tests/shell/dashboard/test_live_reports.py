"""Asking many roots at once: real control servers, and sockets that never answer."""

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from actors.errors import UserError
from shell.dashboard.live_reports import LiveReports
from supervisor.control.protocol import AnyRequest, GetReport, MailReport, Refusal, Report, ShowMail, encode_answer
from supervisor.control.server import ControlServer
from tests.patience import PATIENCE_S
from tests.shell.dashboard.made import report


class Handler:
    """Of a control server whose run is called `run_id`."""

    def __init__(self, run_id: str, *, mail: bool = True) -> None:
        self.run_id = run_id
        self.asked = threading.Semaphore(0)
        self._mail = mail

    def at_once(self, request: GetReport, consoles: int) -> Report:
        self.asked.release()
        return report(run_id=self.run_id, consoles=consoles)

    def serve(self, request: AnyRequest) -> MailReport:
        assert isinstance(request, ShowMail)
        self.asked.release()
        if not self._mail:
            raise UserError("there is no mail in this run")
        return MailReport(mails=[], left_out=7)

    def news(self, news: object) -> None:
        pass

    def set_tap(self, tap: object) -> None:
        pass


class Roots:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.servers: list[ControlServer] = []
        self.context = zmq.Context()
        self.sockets: list[zmq.Socket] = []

    def open(self, handler: Handler) -> str:
        self.servers.append(ControlServer(self.directory / handler.run_id, handler, lambda _progress: None))
        return self.servers[-1].endpoint

    def open_silent(self, name: str) -> str:
        """One that takes questions and never answers."""
        socket = self.context.socket(zmq.ROUTER)
        socket.bind(f"ipc://{self.directory / name}")
        self.sockets.append(socket)
        return f"ipc://{self.directory / name}"

    def close(self) -> None:
        for server in self.servers:
            server.close()
        for socket in self.sockets:
            socket.close(0)
        self.context.term()


@pytest.fixture
def roots() -> Iterator[Roots]:
    with tempfile.TemporaryDirectory(prefix="l-") as directory:  # a short path
        made = Roots(Path(directory))
        yield made
        made.close()


@pytest.fixture
def live_reports() -> Iterator[LiveReports]:
    made = LiveReports()
    yield made
    made.close()


def test_all_live_runs_are_asked_and_none_keeps_a_console(roots: Roots, live_reports: LiveReports):
    live_reports.follow({name: roots.open(Handler(name)) for name in "abc"})
    live_reports.wait(PATIENCE_S)
    reports = {key: heard.report for key, heard in live_reports.heard().items()}
    assert {key: found and (found.run_id, found.consoles) for key, found in reports.items()} == {
        "a": ("a", 0), "b": ("b", 0), "c": ("c", 0),
    }  # fmt: skip


def test_they_are_asked_again_and_again(roots: Roots, live_reports: LiveReports):
    handler = Handler("a")
    live_reports.follow({"a": roots.open(handler)})
    for _ in range(3):
        assert handler.asked.acquire(timeout=PATIENCE_S)


def test_a_root_that_does_not_answer_delays_nobody(roots: Roots, live_reports: LiveReports):
    handler = Handler("a")
    dead = f"ipc://{roots.directory}/nobody"
    live_reports.follow({"dead": dead, "silent": roots.open_silent("s"), "a": roots.open(handler)})
    for _ in range(3):
        assert handler.asked.acquire(timeout=PATIENCE_S)
    live_reports.wait(0.1)
    heard = live_reports.heard()
    assert heard["a"].report is not None
    assert heard["a"].age_s < PATIENCE_S
    assert (heard["silent"].report, heard["dead"].report) == (None, None)
    assert heard["silent"].age_s > 1.0  # since it was asked first


def test_the_mail_of_the_selected_run_is_asked_for(roots: Roots, live_reports: LiveReports):
    handler, other = Handler("a"), Handler("b", mail=False)
    live_reports.follow({"a": roots.open(handler), "b": roots.open(other)})
    live_reports.wait(PATIENCE_S)
    assert live_reports.mail("a") is None
    live_reports.select("a")
    deadline = time.monotonic() + PATIENCE_S
    while live_reports.mail("a") is None and time.monotonic() < deadline:
        assert handler.asked.acquire(timeout=PATIENCE_S)
    found = live_reports.mail("a")
    assert found is not None
    assert found.left_out == 7
    live_reports.select("b")
    for _ in range(4):
        assert other.asked.acquire(timeout=PATIENCE_S)
    assert live_reports.mail("b") is None  # one agent alone has none


def test_a_run_that_has_ended_is_forgotten_and_a_new_root_is_another(roots: Roots, live_reports: LiveReports):
    live_reports.follow({"a": roots.open(Handler("a"))})
    live_reports.wait(PATIENCE_S)
    live_reports.follow({"a": roots.open(Handler("a2"))})
    live_reports.wait(PATIENCE_S)
    (heard,) = live_reports.heard().values()
    assert heard.report is not None
    assert heard.report.run_id == "a2"
    live_reports.follow({})
    live_reports.wait(PATIENCE_S)
    assert live_reports.heard() == {}


def test_a_root_of_another_version_says_so(roots: Roots, live_reports: LiveReports):
    live_reports.follow({"a": roots.open_silent("s")})
    (socket,) = roots.sockets
    assert socket.poll(PATIENCE_S * 1000)
    console, _ = socket.recv_multipart()
    socket.send_multipart([console, b"no answer at all"])
    socket.send_multipart([console, encode_answer(1, Refusal(text="use the loop that started the run"))])
    deadline = time.monotonic() + PATIENCE_S
    while not live_reports.heard()["a"].refusal and time.monotonic() < deadline:
        live_reports.wait(0.05)
    assert live_reports.heard()["a"].refusal == "use the loop that started the run"
    assert live_reports.heard()["a"].report is None


def test_closing_twice_is_closing_once():
    live_reports = LiveReports()
    live_reports.close()
    live_reports.close()
