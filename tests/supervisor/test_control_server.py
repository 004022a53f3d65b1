import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from actors.errors import OperationalError, UndeliverableError, UserError
from actors.messages import Progress
from actors.wire.envelope import Envelope
from shell.control_client import ControlClient, RunEndedError
from supervisor.control import server as server_module
from supervisor.control.news import LOG_BYTES, LOG_LENGTH, MOST_ANSWERS_BYTES
from supervisor.control.protocol import (
    Control,
    Done,
    Ended,
    Follow,
    FromConsole,
    GetReport,
    Inspect,
    Refusal,
    Report,
    Shown,
    Trace,
    Traced,
    decode_answer,
    encode_request,
)
from supervisor.control.server import ControlServer
from tests.patience import PATIENCE_S


def progress(text: str) -> Shown:
    return Shown(progress=Progress(at_ms=0, source="worker", agent="", kind="say", text=text))


class Office:
    """A server, its handler, and the consoles that came to it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "console.sock"
        self.clients: list[ControlClient] = []
        self.sockets: list[zmq.Socket] = []
        self.context = zmq.Context()
        self.taps: queue.Queue = queue.Queue()
        self.own: queue.Queue[str] = queue.Queue()
        self.stuck = threading.Event()
        self.server = ControlServer(self.path, self, lambda shown: self.own.put(shown.text))

    # --- the handler ---

    def at_once(self, request: GetReport, consoles: int) -> Report:
        return Report(
            at_ms=0,
            run_id="1",
            key="r/1",
            directory="",
            cwd="",
            root_pid=0,
            started_at_ms=0,
            status=None,
            actors=[],
            agents=[],
            dead_letters=0,
            consoles=consoles,
        )

    def serve(self, request):
        match request:
            case Inspect(expression="wait"):
                self.stuck.wait(PATIENCE_S)
                return Done(text="waited")
            case Inspect(expression="refuse"):
                raise UserError("no actor 'x'")
            case Inspect(expression="slow"):
                raise UndeliverableError("no answer within 2 s")
            case Inspect(expression="bug"):
                raise ZeroDivisionError
            case Inspect(expression="long"):
                return Done(text="x" * 100_000)
            case Inspect(expression="exit"):
                sys.exit(3)
        return Done(text=type(request).__name__)

    def news(self, news: Shown) -> None:
        pass

    def set_tap(self, tap) -> None:
        self.taps.put(tap)

    # --- consoles ---

    def console(self, on_news=lambda news: None, *, alive: bool = True) -> ControlClient:
        client = ControlClient(self.server.endpoint, alive=lambda: alive, on_news=on_news)
        self.clients.append(client)
        return client

    def socket(self, **options: int) -> zmq.Socket:
        """A console that says and reads what it wants."""
        socket = self.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.RCVTIMEO, int(PATIENCE_S * 1000))
        for name, value in options.items():
            socket.setsockopt(getattr(zmq, name), value)
        socket.connect(self.server.endpoint)
        self.sockets.append(socket)
        return socket

    def close(self) -> None:
        self.stuck.set()
        for client in self.clients:
            client.close()
        for socket in self.sockets:
            socket.close(0)
        self.context.term()
        self.server.close()


@pytest.fixture
def office() -> Iterator[Office]:
    with tempfile.TemporaryDirectory(prefix="loop-server-") as directory:
        made = Office(Path(directory))
        yield made
        made.close()


def heard(news: queue.Queue) -> str:
    found = news.get(timeout=PATIENCE_S)
    return found.progress.text if isinstance(found, Shown) else type(found).__name__


def test_a_request_is_answered_and_what_the_clerk_refuses_is_raised(office: Office):
    console = office.console()
    assert console.ask(Control(action="pause")) == Done(text="Control")
    with pytest.raises(UserError, match="no actor 'x'"):
        console.ask(Inspect(actor="x", expression="refuse"))
    with pytest.raises(UndeliverableError, match="no answer within 2 s"):
        console.ask(Inspect(actor="x", expression="slow"))
    with pytest.raises(UserError, match="ZeroDivisionError"):
        console.ask(Inspect(actor="x", expression="bug"))
    with pytest.raises(UserError, match="SystemExit: 3"):
        console.ask(Inspect(actor="x", expression="exit"))


def test_a_request_that_waits_for_a_stuck_actor_delays_nobody(office: Office):
    stuck, other = office.console(), office.console()
    answers: queue.Queue = queue.Queue()
    thread = threading.Thread(target=lambda: answers.put(stuck.ask(Inspect(actor="x", expression="wait"))))
    thread.start()
    assert isinstance(other.ask(GetReport()), Report)
    assert stuck.ask(Control(action="resume")) == Done(text="Control")
    assert answers.empty()
    office.stuck.set()
    assert answers.get(timeout=PATIENCE_S) == Done(text="waited")
    thread.join()


def test_no_more_requests_are_served_at_once_than_there_may_be_threads(office: Office):
    socket = office.socket()
    for number in range(server_module.MOST_AT_WORK):
        socket.send(encode_request(number + 1, Inspect(actor="x", expression="wait")))
    socket.send(encode_request(999, Inspect(actor="x", expression="wait")))
    answer = decode_answer(socket.recv())
    assert answer.id == 999
    assert isinstance(answer.body, Refusal)
    assert isinstance(office.console().ask(GetReport()), Report)


def test_ten_consoles_follow_each_from_where_it_came(office: Office):
    office.server.publish(progress("before"))
    assert office.own.get(timeout=PATIENCE_S) == "before"
    followers: list[queue.Queue] = []
    for number in range(10):
        news: queue.Queue = queue.Queue()
        followers.append(news)
        office.console(news.put).ask(Follow(last=number % 2))
    office.server.publish(progress("after"))
    for number, news in enumerate(followers):
        if number % 2:
            assert heard(news) == "before"
        assert heard(news) == "after"
    report = office.console().ask(GetReport())
    assert isinstance(report, Report)
    assert report.consoles == 10


def test_a_console_that_does_not_read_misses_news_and_is_told_how_many(office: Office):
    lazy = office.socket(RCVHWM=10)
    lazy.send(encode_request(1, Follow()))
    assert decode_answer(lazy.recv()).body == Done()
    news: queue.Queue = queue.Queue()
    office.console(news.put).ask(Follow())
    big, total = "x" * 1000, LOG_LENGTH + 2_000
    for number in range(total):
        office.server.publish(progress(f"{number} {big}"))
        assert heard(news).startswith(f"{number} ")  # nobody else waits for it
    got = missed = 0
    while got + missed < total:  # the first that comes through after the gap says how wide it was
        if lazy.poll(100):
            shown = decode_answer(lazy.recv()).body
            got, missed = got + 1, missed + shown.missed
        else:
            office.server.publish(progress("now it reads"))
            total += 1
    assert missed > 1_000


def held(office: Office) -> int:
    """Bytes of news and answers that the server keeps for consoles."""
    return office.server._consoles.waiting_bytes()


def test_consoles_that_do_not_read_cost_together_what_one_costs(office: Office):
    lazy = [office.socket(RCVHWM=1) for _ in range(20)]
    for socket in lazy:
        socket.send(encode_request(1, Follow()))
        assert decode_answer(socket.recv()).body == Done()
    total = 400
    for number in range(total):
        office.server.publish(progress(f"{number} {'x' * 100_000}"))
        assert office.own.get(timeout=PATIENCE_S).startswith(f"{number} ")
    assert isinstance(office.console().ask(GetReport()), Report)
    assert held(office) <= LOG_BYTES
    reader = lazy[7]
    got = missed = 0
    while got + missed < total:
        shown = decode_answer(reader.recv()).body
        got, missed = got + 1, missed + shown.missed
    assert missed > 100
    assert shown.progress.text.startswith(f"{total - 1} ")


def test_a_console_that_asks_and_does_not_read_is_bounded_too(office: Office):
    lazy = office.socket(RCVHWM=1, SNDHWM=0)
    for number in range(1, 1_001):
        lazy.send(encode_request(number, Inspect(actor="x", expression="long")))
    console = office.console()
    for _ in range(50):
        assert isinstance(console.ask(GetReport()), Report)
    assert held(office) <= MOST_ANSWERS_BYTES


def test_an_answer_passes_the_news_that_a_console_has_not_read(office: Office):
    socket = office.socket(RCVHWM=1)
    socket.send(encode_request(1, Follow()))
    assert decode_answer(socket.recv()).body == Done()
    for _ in range(200):
        office.server.publish(progress("x" * 100_000))
    socket.send(encode_request(2, GetReport()))
    office.console().ask(GetReport())
    ids = [decode_answer(socket.recv()).id for _ in range(150)]
    assert 2 in ids


def test_a_text_that_is_too_long_for_consoles_is_cut_for_them_alone(office: Office):
    news: queue.Queue = queue.Queue()
    office.console(news.put).ask(Follow())
    office.server.publish(progress("x" * 10_000_000))
    assert len(office.own.get(timeout=PATIENCE_S)) == 10_000_000
    assert heard(news).endswith("x… (9,880,000 more characters are in the log)")


def test_a_console_that_closes_with_a_trace_on_is_not_counted_any_more(office: Office):
    tracing, other = office.console(), office.console()
    tracing.ask(Trace(on=True, only="nothing has this name"))
    assert office.taps.get(timeout=PATIENCE_S) is not None
    assert other.ask(GetReport()).consoles == 1
    tracing.close()
    assert office.taps.get(timeout=PATIENCE_S) is None
    assert other.ask(GetReport()).consoles == 0


def test_what_is_left_is_read_before_the_server_closes(office: Office):
    news: queue.Queue = queue.Queue()
    console = office.console(news.put)
    console.ask(Follow())
    for number in range(300):
        office.server.publish(progress(f"{number} {'x' * 10_000}"))
    office.server.close(Ended(state="completed", detail=""))
    for number in range(300):
        assert heard(news).startswith(f"{number} ")
    assert heard(news) == "Ended"


FOLLOWER = """
import sys, zmq
from supervisor.control.protocol import Follow, encode_request
socket = zmq.Context().socket(zmq.DEALER)
socket.connect(sys.argv[1])
socket.send(encode_request(1, Follow()))
socket.recv()
print("follows", flush=True)
sys.stdin.read()
"""


def test_a_console_that_is_killed_is_forgotten(office: Office):
    with subprocess.Popen(
        [sys.executable, "-c", FOLLOWER, office.server.endpoint], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as follower:
        assert follower.stdout is not None
        follower.stdout.readline()
        console = office.console()
        assert console.ask(GetReport()).consoles == 1
        follower.kill()
    while console.ask(GetReport()).consoles:
        office.server.publish(progress("x"))
        office.own.get(timeout=PATIENCE_S)


DEEP = msgspec.msgpack.encode(FromConsole(id=7, request=msgspec.Raw(b"\x91" * 100_000 + b"\xc0")))


@pytest.mark.parametrize("frames", [[b""], [b"\xc1"], [b"a", b"b"], [msgspec.msgpack.encode({"id": "x"})], [DEEP]])
def test_nonsense_is_refused_under_no_id_and_costs_the_server_nothing(office: Office, frames: list[bytes]):
    socket = office.socket()
    socket.send_multipart(frames)
    answer = decode_answer(socket.recv())
    assert answer.id == 0
    assert isinstance(answer.body, Refusal)
    assert answer.body.text.startswith("ProtocolError: ")
    assert office.console().ask(Control(action="pause")) == Done(text="Control")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (FromConsole(id=7, version=99, request=msgspec.Raw(msgspec.msgpack.encode({}))), "version 99"),
        (FromConsole(id=7, request=msgspec.Raw(msgspec.msgpack.encode({"type": "Explode"}))), "Explode"),
        (FromConsole(id=7, request=msgspec.Raw(msgspec.msgpack.encode({"type": "Judge"}))), "approved"),
        (
            FromConsole(
                id=7, request=msgspec.Raw(msgspec.msgpack.encode({"type": "LookAtMail", "finished": 2**64 - 1}))
            ),
            "Expected `int` <= ",
        ),
    ],
)
def test_what_the_server_does_not_know_is_refused_by_name(office: Office, frame: FromConsole, reason: str):
    socket = office.socket()
    socket.send(msgspec.msgpack.encode(frame))
    answer = decode_answer(socket.recv())
    assert answer.id == 7
    assert isinstance(answer.body, Refusal)
    assert reason in answer.body.text


def envelope(kind: str = "StartTurnRequest") -> Envelope:
    return Envelope(id="a", run="r/1", sender="worker#1", recipient="reviewer", kind=kind)


def test_a_trace_shows_what_it_is_asked_for_and_the_tap_is_closed_with_the_last_one(office: Office):
    first, second = queue.Queue(), queue.Queue()
    one, two = office.console(first.put), office.console(second.put)
    one.ask(Trace(on=True))
    two.ask(Trace(on=True, only="heartbeat", bodies=True))
    tap = office.taps.get(timeout=PATIENCE_S)
    tap(envelope(), msgspec.msgpack.encode({"text": "hello"}), "reviewer is down")
    tap(envelope("Heartbeat"), msgspec.msgpack.encode({"handled": 3}), "")
    shown = first.get(timeout=PATIENCE_S)
    assert (shown.kind, shown.sender, shown.recipient, shown.size) == ("StartTurnRequest", "worker#1", "reviewer", 12)
    assert (shown.lost, shown.body) == ("reviewer is down", "")
    shown = second.get(timeout=PATIENCE_S)
    assert isinstance(shown, Traced)
    assert (shown.kind, shown.body) == ("Heartbeat", '{"handled": 3}')
    one.ask(Trace(on=False))
    two.ask(Trace(on=False))
    taps = [office.taps.get(timeout=PATIENCE_S) for _ in range(3)]
    assert taps[-1] is None
    assert first.empty()


def test_the_end_of_the_run_is_told_and_no_question_is_left_open(office: Office):
    news: queue.Queue = queue.Queue()
    console = office.console(news.put)
    console.ask(Follow())
    office.server.close(Ended(state="completed", detail="review approved"))
    assert heard(news) == "Ended"
    assert console.ended == Ended(state="completed", detail="review approved")
    gone = office.console(alive=False)
    with pytest.raises(RunEndedError):
        gone.ask(GetReport(), timeout_s=0.1)
    console.close()
    with pytest.raises(RunEndedError):
        console.ask(GetReport())


def test_a_path_that_is_taken_is_refused(office: Office):
    with pytest.raises(OperationalError, match="cannot bind"):
        ControlServer(office.path / "below-a-socket", office, lambda shown: None)
