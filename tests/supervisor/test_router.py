from __future__ import annotations

import os
import queue
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from actors.errors import OperationalError, UserError
from actors.messages import Ack, ActorUp, Heartbeat, Load, Message, Note, Progress, StopActor, Undeliverable
from actors.wire import envelope as wire
from actors.wire.envelope import Address, Envelope
from supervisor import dead_letters, private_socket
from supervisor.router import LocalEndpoint, Router
from tests.patience import PATIENCE_S

NOTE = Note(sender="", recipient="", text="n", at_ms=0)
PROGRESS = Progress(at_ms=0, source="worker", agent="", kind="note", text="p")


class Peer:
    """What an actor process is to the router: a DEALER that may say anything."""

    def __init__(self, router: Router, routing_id: str, **options: int) -> None:
        self.address = Address.parse(routing_id)
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.ROUTING_ID, routing_id.encode())
        self.socket.setsockopt(zmq.RCVTIMEO, round(PATIENCE_S * 1_000))
        for option, value in options.items():
            self.socket.setsockopt(getattr(zmq, option), value)
        self.socket.connect(router.endpoint)

    def send(self, recipient: str, message: Message, **fields: Any) -> None:
        envelope = Envelope(
            **{
                "id": f"{self.address.local}>{recipient}",
                "run": self.address.run,
                "sender": self.address.local,
                "recipient": recipient,
                "kind": type(message).__name__,
                **fields,
            }
        )
        self.socket.send_multipart(wire.encode(envelope, wire.encode_body(message)))

    def receive(self) -> tuple[Envelope, Message]:
        _recipient, header, body = self.socket.recv_multipart()
        envelope = wire.decode_header(header)
        return envelope, wire.decode_body(envelope.kind, body)

    def close(self) -> None:
        self.socket.close(0)
        self.context.term()


class Exchange:
    """A router and its clients."""

    def __init__(self, directory: Path) -> None:
        self.router = Router(directory)
        self.peers: list[Peer] = []
        self.heard: queue.SimpleQueue[tuple[str, Message, Address]] = queue.SimpleQueue()

    def join(self, routing_id: str, **options: int) -> Peer:
        """A live incarnation, connected: the router has heard it."""
        address = Address.parse(routing_id)
        self.router.set_live(address.run, address.name, address.incarnation)
        peer = self.stranger(routing_id, **options)
        peer.send(address.name, NOTE, id="to myself")
        assert peer.receive()[0].id == "to myself"
        return peer

    def stranger(self, routing_id: str, **options: int) -> Peer:
        """Somebody who connects under a name that the supervisor has not given."""
        peer = Peer(self.router, routing_id, **options)
        self.peers.append(peer)
        return peer

    def endpoint(self, run: str, name: str) -> LocalEndpoint:
        return self.router.open_local(run, name, lambda message, sender: self.heard.put((name, message, sender)))

    def settled(self) -> None:
        """Everything that the router had to do or read before this call is done.

        Its orders first: it may read any number of messages before it looks at them.
        """
        done = threading.Event()
        self.router._loop.call_soon(done.set)
        assert done.wait(PATIENCE_S)
        probe = self.join(f"r/probe-{len(self.peers)}#1")
        probe.send(probe.address.name, NOTE)
        probe.receive()

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.router.close()


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="loop-") as directory:
        yield Path(directory) / "bus"


@pytest.fixture
def exchange(directory: Path) -> Iterator[Exchange]:
    exchange = Exchange(directory)
    try:
        yield exchange
    finally:
        exchange.close()


# --- forwarding ---------------------------------------------------------------------------------------------------


def test_mail_goes_to_the_live_incarnation_of_a_name_untouched(exchange) -> None:
    worker, reviewer = exchange.join("r/worker#1"), exchange.join("r/reviewer#4")
    envelope = Envelope(id="x", run="r", sender="worker#1", recipient="reviewer", kind="Gossip", seq=3, after=2)
    frames = wire.encode(envelope, b"\xc1 never opened")
    worker.socket.send_multipart(frames)
    assert tuple(reviewer.socket.recv_multipart()) == frames


def test_runs_of_one_root_do_not_hear_each_other(exchange) -> None:
    one, other = exchange.join("repo/1/worker#1"), exchange.join("repo/2/worker#1")
    one.send("worker", NOTE, id="own run")
    assert one.receive()[0].id == "own run"
    other.send("worker", NOTE, id="other run")
    assert other.receive()[0].id == "other run"
    one.send("worker", NOTE, run="repo/2")
    one.send("worker", NOTE, id="again")
    assert one.receive()[0].id == "again"


def test_a_replaced_incarnation_is_neither_heard_nor_served(exchange) -> None:
    old, reviewer = exchange.join("r/worker#1"), exchange.join("r/reviewer#1")
    new = exchange.join("r/worker#2")
    reviewer.send("worker", NOTE, id="for the living")
    assert new.receive()[0].id == "for the living"
    old.send("reviewer", NOTE, id="zombie")
    envelope, notice = old.receive()
    assert envelope.sender == "router#0"
    assert isinstance(notice, Undeliverable)
    assert (notice.message_id, notice.reason) == ("zombie", "sender r/worker#1 was replaced by #2")
    new.send("reviewer", NOTE, id="alive")
    assert reviewer.receive()[0].id == "alive"


def test_the_last_words_of_a_dead_incarnation_are_heard(exchange) -> None:
    worker, reviewer = exchange.join("r/worker#1"), exchange.join("r/reviewer#1")
    exchange.router.set_dead("r", "worker", 1)
    worker.send("reviewer", NOTE, id="last")
    assert reviewer.receive()[0].id == "last"


def test_news_of_an_old_death_does_not_touch_the_living(exchange) -> None:
    new = exchange.join("r/worker#2")
    exchange.router.set_dead("r", "worker", 1)
    new.send("worker", NOTE, id="still here")
    assert new.receive()[0].id == "still here"


def test_mail_for_one_incarnation_is_not_given_to_its_successor(exchange) -> None:
    reviewer, worker = exchange.join("r/reviewer#1"), exchange.join("r/worker#2")
    reviewer.send("worker#1", Ack(seq=4))
    reviewer.send("worker#2", Ack(seq=5))
    assert worker.receive()[1] == Ack(seq=5)
    assert exchange.router.dead_letters() == []


# --- nobody speaks in another's name ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields", [{"sender": "supervisor#1"}, {"sender": "worker#2"}, {"sender": "reviewer#1"}, {"run": "other"}]
)
def test_a_header_that_claims_another_sender_is_refused(exchange, fields: dict[str, str]) -> None:
    worker, reviewer = exchange.join("r/worker#1"), exchange.join("r/reviewer#1")
    worker.send("reviewer", NOTE, id="forged", **fields)
    worker.send("reviewer", NOTE, id="honest")
    assert reviewer.receive()[0].id == "honest"


@pytest.mark.parametrize("claim", ["r/console#1", "r/console#2", "r/supervisor#1"])
def test_a_connection_under_a_name_of_the_root_is_refused(exchange, claim: str) -> None:
    console = exchange.endpoint("r", "console")
    worker, watcher = exchange.join("r/worker#1"), exchange.join("r/watcher#1")
    forger = exchange.stranger(claim)
    forger.send("worker", StopActor(reason="forged", grace_s=0))
    forger.send("watcher", NOTE)
    console.ref("watcher").tell(NOTE)
    envelope, _note = watcher.receive()
    assert envelope.seq == 1  # the honest one is numbered
    console.ref("worker").tell(StopActor(reason="honest", grace_s=0))
    assert worker.receive()[1] == StopActor(reason="honest", grace_s=0)
    assert exchange.heard.empty()  # the root is not told of mail that it did not send


def test_a_name_that_no_supervisor_gave_is_refused_and_told(exchange) -> None:
    stranger = exchange.stranger("r/stranger#1")
    stranger.send("worker", NOTE)
    _envelope, notice = stranger.receive()
    assert isinstance(notice, Undeliverable)
    assert notice.reason == "sender r/stranger#1 is unknown"


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"r/reviewer", b"garbage", b""],
        [b"r/reviewer", b"\x93\x63\x01\x02", b""],
        [b"r/reviewer", b"", b"", b""],
    ],
)
def test_bad_bytes_are_refused_and_the_next_message_is_served(exchange, frames: list[bytes]) -> None:
    worker, reviewer = exchange.join("r/worker#1"), exchange.join("r/reviewer#1")
    worker.socket.send_multipart(frames)
    worker.send("reviewer", NOTE, id="next")
    assert reviewer.receive()[0].id == "next"


@pytest.mark.parametrize("routing_id", [b"\xff\xfe", b"nonsense", b"r/worker"])
def test_a_routing_id_that_is_no_address_is_refused(exchange, routing_id: bytes) -> None:
    worker = exchange.join("r/worker#1")
    context = zmq.Context()
    with context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.ROUTING_ID, routing_id)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(exchange.router.endpoint)
        socket.send_multipart([b"r/worker", b"", b""])
        worker.send("worker", NOTE, id="next")
        assert worker.receive()[0].id == "next"
    context.term()


def test_a_frame_that_names_another_recipient_than_the_header_is_refused(exchange) -> None:
    worker, reviewer = exchange.join("r/worker#1"), exchange.join("r/reviewer#1")
    envelope = Envelope(id="x", run="r", sender="worker#1", recipient="reviewer", kind="Note")
    worker.socket.send_multipart([b"r/worker", wire.encode(envelope, b"").header, wire.encode_body(NOTE)])
    worker.send("reviewer", NOTE, id="next")
    assert reviewer.receive()[0].id == "next"


# --- dead letters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrange", "reason"),
    [
        (lambda exchange: None, "reviewer is unknown"),
        (lambda exchange: exchange.router.set_live("r", "reviewer", 3), "reviewer#3 is not connected"),
        (
            lambda exchange: (exchange.join("r/reviewer#3"), exchange.router.set_dead("r", "reviewer", 3)),
            "reviewer is down",
        ),
    ],
)
def test_what_cannot_be_handed_over_is_a_dead_letter_and_its_sender_is_told(
    exchange, arrange: Callable[[Exchange], object], reason: str
) -> None:
    worker = exchange.join("r/worker#1")
    arrange(exchange)
    worker.send("reviewer", PROGRESS, id="p1")
    assert worker.receive()[1] == Undeliverable(
        message_id="p1", recipient="reviewer", kind="Progress", reason=reason, kept=False
    )
    (letter,) = exchange.router.dead_letters("r")
    assert (letter.message_id, letter.sender, letter.recipient) == ("p1", "worker#1", "reviewer")
    assert (letter.kind, letter.reason, letter.attempts) == ("Progress", reason, 1)
    assert exchange.router.dead_letters("other run") == []


def test_a_dead_letter_that_arrives_at_last_is_taken_off_the_list(exchange) -> None:
    worker = exchange.join("r/worker#1")
    for attempt in (1, 2):
        worker.send("reviewer", NOTE, id="m", seq=1, attempt=attempt)
        notice = worker.receive()[1]
        assert isinstance(notice, Undeliverable)
        assert notice.kept
    (letter,) = exchange.router.dead_letters()
    assert letter.attempts == 2
    reviewer = exchange.join("r/reviewer#1")
    worker.send("reviewer", NOTE, id="m", seq=1, attempt=3)
    assert reviewer.receive()[0].attempt == 3
    exchange.settled()
    assert exchange.router.dead_letters() == []


def test_acknowledgements_heartbeats_and_notices_make_no_dead_letters(exchange) -> None:
    worker = exchange.join("r/worker#1")
    worker.send("reviewer#1", Ack(seq=1))
    worker.send("supervisor", Heartbeat(handler_age_ms=0, handling="", mailbox=0, handled=0))
    worker.send("worker", NOTE, id="next")
    assert worker.receive()[0].id == "next"
    assert exchange.router.dead_letters() == []


def test_only_the_newest_dead_letters_are_kept(exchange) -> None:
    worker = exchange.join("r/worker#1")
    for number in range(dead_letters.DEAD_LETTERS_KEPT + 5):
        worker.send("reviewer", PROGRESS, id=str(number))
        worker.receive()
    letters = exchange.router.dead_letters()
    assert len(letters) == dead_letters.DEAD_LETTERS_KEPT
    assert letters[0].message_id == "5"


def test_an_actor_that_does_not_read_loses_mail_audibly_and_delays_nobody(exchange) -> None:
    worker, bridge = exchange.join("r/worker#1"), exchange.join("r/bridge#1")
    exchange.join("r/reviewer#1", RCVHWM=1, RCVBUF=4096)
    text = "x" * 10_000
    worker.socket.setsockopt(zmq.RCVHWM, 0)
    for number in range(4_000):
        worker.send("reviewer", Note(sender="", recipient="", text=text, at_ms=0), id=str(number))
    _envelope, notice = worker.receive()
    assert isinstance(notice, Undeliverable)
    assert notice.reason == "reviewer#1 does not read its mail"
    worker.send("bridge", NOTE, id="past the jam")
    assert bridge.receive()[0].id == "past the jam"


# --- the root's own endpoints -------------------------------------------------------------------------------------


def test_the_root_hears_with_the_true_sender_and_acknowledges(exchange) -> None:
    exchange.endpoint("r", "supervisor")
    worker = exchange.join("r/worker#1")
    worker.send("supervisor", NOTE, seq=1)
    assert exchange.heard.get(timeout=PATIENCE_S) == ("supervisor", NOTE, Address("r", "worker", 1))
    envelope, ack = worker.receive()
    assert (envelope.sender, envelope.recipient, ack) == ("supervisor#1", "worker#1", Ack(seq=1))


def test_what_the_root_sends_and_gets_is_as_reliable_as_between_actors(exchange) -> None:
    console = exchange.endpoint("r", "console")
    console.ref("worker").tell(NOTE)
    exchange.settled()
    assert len(exchange.router.dead_letters()) == 1
    worker = exchange.join("r/worker#1")
    exchange.router.broadcast("r", ActorUp(name="worker", incarnation=1))
    envelope, message = worker.receive()
    assert (message, envelope.sender, envelope.seq) == (NOTE, "console#1", 1)
    assert envelope.attempt > 1
    exchange.settled()
    assert exchange.router.dead_letters() == []


@pytest.mark.timeout(60, func_only=True)  # by the timer alone: 1 + 1 + 2 + 4 + 8 + 16 + 30 s
def test_a_new_incarnation_gets_at_once_what_the_root_has_for_it(exchange) -> None:
    worker = exchange.join("r/worker#1")
    exchange.endpoint("r", "console").ref("worker").tell(NOTE)
    for incarnation in range(1, 9):
        assert worker.receive()[0].attempt == incarnation
        exchange.router.broadcast("r", ActorUp(name="worker", incarnation=incarnation))


def test_mail_for_a_closed_endpoint_is_not_given_to_its_successor(exchange) -> None:
    worker = exchange.join("r/worker#1")
    for _ in range(2):
        exchange.endpoint("r", "console")
    exchange.settled()
    worker.send("console#1", PROGRESS)
    assert worker.receive()[1].reason == "console#1 is gone"
    worker.send("console#2", PROGRESS)
    assert exchange.heard.get(timeout=PATIENCE_S)[1] == PROGRESS


def test_undeliverable_mail_of_the_root_comes_back_to_it(exchange) -> None:
    exchange.endpoint("r", "supervisor").ref("worker").tell(StopActor(reason="x", grace_s=1))
    _name, notice, sender = exchange.heard.get(timeout=PATIENCE_S)
    assert isinstance(notice, Undeliverable)
    assert (notice.kind, notice.reason, str(sender)) == ("StopActor", "worker is unknown", "r/router#0")


def test_the_root_s_endpoints_speak_to_each_other(exchange) -> None:
    exchange.endpoint("r", "supervisor")
    exchange.endpoint("r", "console").ref("supervisor").tell(NOTE)
    assert exchange.heard.get(timeout=PATIENCE_S) == ("supervisor", NOTE, Address("r", "console", 1))


def test_an_endpoint_opened_again_is_a_new_incarnation(exchange) -> None:
    exchange.endpoint("r", "console")
    exchange.router.forget_run("r")
    assert str(exchange.endpoint("r", "console").address) == "r/console#2"


def test_a_callback_that_fails_refuses_the_request_and_harms_nobody(exchange) -> None:
    def fail(_message: Message, _sender: Address) -> None:
        raise KeyError("console")

    exchange.router.open_local("r", "console", fail)
    supervisor = exchange.endpoint("r", "supervisor")
    with pytest.raises(OperationalError, match=r"r/console#1 failed at Load: KeyError\('console'\)"):
        supervisor.ref("console").ask(Load(stream="s", epoch=1), timeout_s=PATIENCE_S)


def test_a_broadcast_reaches_the_live_actors_of_one_run_but_not_the_one_it_is_about(exchange) -> None:
    worker, reviewer = exchange.join("r/worker#1"), exchange.join("r/reviewer#1")
    other = exchange.join("q/worker#1")
    up = ActorUp(name="reviewer", incarnation=1)
    exchange.router.broadcast("r", up)
    assert worker.receive()[1] == up
    for peer in (worker, reviewer, other):
        peer.send(peer.address.name, NOTE, id="next")
        assert peer.receive()[0].id == "next"


def test_a_forgotten_run_takes_its_names_and_dead_letters_with_it(exchange) -> None:
    worker = exchange.join("r/worker#1")
    worker.send("reviewer", PROGRESS)
    worker.receive()
    exchange.router.forget_run("r")
    assert exchange.router.dead_letters() == []
    worker.send("worker", PROGRESS)
    assert worker.receive()[1].reason == "sender r/worker#1 is unknown"


# --- the directory ------------------------------------------------------------------------------------------------


def test_the_directory_and_the_lock_are_private(exchange, directory: Path) -> None:
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "bus.lock").stat().st_mode) == 0o600


def test_a_second_root_is_refused_and_the_first_one_keeps_its_socket(exchange, directory: Path) -> None:
    worker = exchange.join("r/worker#1")
    code = f"from pathlib import Path; from supervisor.router import Router; Router(Path({str(directory)!r}))"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert second.returncode != 0
    assert f"{directory} is in use by another root" in second.stderr
    worker.send("worker", NOTE, id="as before")
    assert worker.receive()[0].id == "as before"


def test_a_directory_can_be_used_again_after_close_or_a_kill(directory: Path) -> None:
    Router(directory).close()
    code = (
        "import os, signal; from pathlib import Path; from supervisor.router import Router;"
        f"Router(Path({str(directory)!r})); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == -9
    router = Router(directory)
    router.close()
    router.close()


def test_a_directory_that_others_can_enter_is_refused(directory: Path) -> None:
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    with pytest.raises(UserError, match=f"chmod 700 {directory}"):
        Router(directory)


def test_a_path_that_is_too_long_for_a_socket_is_refused_with_its_length(directory: Path) -> None:
    fits = directory / ("x" * (private_socket.MAX_PATH_BYTES - len(os.fsencode(directory)) - len("//bus.sock")))
    Router(fits).close()
    with pytest.raises(UserError, match=f"has {private_socket.MAX_PATH_BYTES + 1} bytes, a socket's path at most"):
        Router(fits.with_name(fits.name + "x"))
