"""The actor's side of the wire, seen by a router that says anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import psutil
import pytest
import zmq

from actors.edges.bus import Bus
from actors.messages import Ack, Heartbeat, Load, Loaded, Message, Note, Peek, Peeked, Ready, Refused, StopActor
from actors.wire import envelope as wire
from actors.wire.envelope import Address, Envelope
from tests.patience import PATIENCE_S

RUN = "sample-12ab/1"
NOTE = Note(sender="", recipient="", text="n", at_ms=0)
STICK = Note(sender="", recipient="", text="stick", at_ms=0)


class Peer:
    """A router of the test's own, with one actor process connected."""

    def __init__(self, world: Any) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.RCVTIMEO, round(PATIENCE_S * 1_000))
        self.socket.setsockopt(zmq.LINGER, 0)
        endpoint = f"ipc://{world.directory}/peer"
        self.socket.bind(endpoint)
        self.child = world.launch("worker", 2, endpoint=endpoint)
        self.next(Ready)

    def send_frames(self, *frames: bytes) -> None:
        self.socket.send_multipart([f"{RUN}/worker#2".encode(), *frames])

    def send(self, message: Message, sender: str = "reviewer#1", **fields: Any) -> None:
        self.send_body(wire.encode_body(message), kind=type(message).__name__, sender=sender, **fields)

    def send_body(self, body: bytes, **fields: Any) -> None:
        fields = {"id": "m", "run": RUN, "sender": "reviewer#1", "recipient": "worker", **fields}
        self.send_frames(*wire.encode(Envelope(**fields), body))

    def next(self, *kinds: type[Message]) -> tuple[Envelope, Message]:
        """The next message of these kinds."""
        while True:
            _routing_id, _recipient, header, body = self.socket.recv_multipart()
            envelope = wire.decode_header(header)
            if envelope.kind in {kind.__name__ for kind in kinds}:
                return envelope, wire.decode_body(envelope.kind, body)

    def answers(self) -> tuple[Envelope, Message]:
        """Proof of life: asks, and acknowledges the answer."""
        self.send(Load(stream="run", epoch=1), sender="console#1", id="alive?", wants_answer=True, seq=1)
        return self.next(Loaded)

    def close(self) -> None:
        self.socket.close(0)
        self.context.term()


@pytest.fixture
def peer(world) -> Iterator[Peer]:
    peer = Peer(world)
    try:
        yield peer
    finally:
        peer.close()


def test_the_routing_id_is_the_address_of_the_incarnation(peer) -> None:
    routing_id, recipient, header, _body = peer.socket.recv_multipart()
    assert routing_id == b"sample-12ab/1/worker#2"
    assert recipient == b"sample-12ab/1/supervisor"
    assert wire.decode_header(header).sender == "worker#2"


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        ([b"alone"], "1 frames instead of 3"),
        ([b"r", b"garbage", b""], "bad header"),
        ([b"r", msgspec.msgpack.encode([99, "x"]), b""], "wire version 99 is not"),
        ([b"r", b"", b"", b"four"], "4 frames instead of 3"),
    ],
)
def test_bad_frames_are_refused_and_the_process_lives_on(peer, frames: list[bytes], complaint: str) -> None:
    peer.send_frames(*frames)
    envelope, _answer = peer.answers()
    assert envelope.reply_to == "alive?"
    assert complaint in peer.child.log()


@pytest.mark.parametrize(
    ("kind", "body", "complaint"),
    [
        ("Gossip", b"\x80", "unknown message kind 'Gossip'"),
        ("Note", b"\xc1", "bad body of Note"),
        ("Note", b"\x80", "missing required field"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_and_not_wanted_again(
    peer, kind: str, body: bytes, complaint: str
) -> None:
    peer.send_body(body, kind=kind, seq=7)
    envelope, ack = peer.next(Ack)
    assert (envelope.recipient, ack) == ("reviewer#1", Ack(seq=7))
    peer.send_body(body, kind=kind, seq=8, id="q", wants_answer=True)
    envelope, refused = peer.next(Refused)
    assert envelope.reply_to == "q"
    assert isinstance(refused, Refused)
    assert refused.error == "ProtocolError"
    assert complaint in refused.detail
    assert complaint in peer.child.log()


def test_a_sender_without_an_incarnation_is_refused(peer) -> None:
    peer.send(NOTE, sender="reviewer", seq=1)
    peer.answers()
    assert "sender 'reviewer' of Note names no incarnation" in peer.child.log()


def test_a_message_is_acknowledged_when_it_was_handled_and_not_before(peer) -> None:
    peer.send(NOTE, seq=1)
    assert peer.next(Ack)[1] == Ack(seq=1)
    peer.send(STICK, seq=2)
    peer.send(NOTE, seq=3, after=2)
    peer.send(Peek(), id="peek", sender="console#1", seq=1, wants_answer=True)
    envelope, _peeked = peer.next(Ack, Peeked)
    assert envelope.kind == "Peeked"


def test_a_repeated_message_is_acknowledged_again_and_handled_once(peer) -> None:
    peer.send(Note(sender="", recipient="", text="relay reviewer heard", at_ms=0), seq=1)
    assert {peer.next(Ack, Note)[0].kind for _ in range(2)} == {"Ack", "Note"}
    peer.send(Ack(seq=1))  # else it comes again after a second
    peer.send(Note(sender="", recipient="", text="relay reviewer heard", at_ms=0), seq=1)
    assert peer.next(Ack, Note)[1] == Ack(seq=1)
    peer.send(Note(sender="", recipient="", text="relay reviewer next", at_ms=0), seq=2)
    envelope, _note = peer.next(Note)
    assert envelope.seq == 2  # its second message to the reviewer


def test_a_repeated_request_is_answered_once(peer) -> None:
    for _ in range(3):
        peer.send(Load(stream="run", epoch=1), id="q", seq=1, wants_answer=True)
    peer.send(Load(stream="other", epoch=1), id="r", seq=2, after=1, wants_answer=True)
    assert [peer.next(Loaded)[0].reply_to for _ in range(2)] == ["q", "r"]


def test_an_answer_is_sent_again_until_it_is_acknowledged(peer) -> None:
    first, _ = peer.answers()
    again, _ = peer.next(Loaded)
    assert (first.id, first.attempt) == (again.id, 1)
    assert (again.seq, again.attempt) == (first.seq, 2)
    peer.send(Ack(seq=first.seq), sender="console#1")
    peer.send(StopActor(reason="test", grace_s=PATIENCE_S), sender="supervisor#1")
    assert peer.child.exit_code() == 0
    assert "nobody acknowledged" not in peer.child.log()


def test_what_nobody_acknowledges_does_not_hold_up_a_stop_for_long(peer) -> None:
    peer.answers()
    peer.send(StopActor(reason="test", grace_s=PATIENCE_S), sender="supervisor#1")
    assert peer.child.exit_code() == 0
    assert "ended with 1 unacknowledged messages" in peer.child.log()


def test_an_idle_process_sleeps(peer) -> None:
    def cpu_s() -> float:
        times = psutil.Process(peer.child.process.pid).cpu_times()
        return times.user + times.system

    peer.next(Heartbeat)
    before = cpu_s()
    for _ in range(3):
        peer.next(Heartbeat)
    assert cpu_s() - before < 0.2


def test_a_root_that_does_not_read_is_waited_for_and_not_asked_again_and_again() -> None:
    bus = Bus(Address(RUN, "worker", 1), "ipc:///nowhere", lifelines=[0])
    bus.channel.adopt_thread()
    bus.channel.tell("persistence", NOTE)
    bus._unsent.extend(bus.channel.outgoing(0))  # which the socket has refused
    long_after_the_resend_was_due_ms = 3_600_000
    next_heartbeat_ms = long_after_the_resend_was_due_ms + 700
    try:
        assert bus._pause_ms(long_after_the_resend_was_due_ms, next_heartbeat_ms) == 700
    finally:
        bus._loop._wakeup.close()
