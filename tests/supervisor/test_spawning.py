"""Messages between root and forkserver survive any cutting of the stream."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import ProtocolError
from supervisor.spawning import Event, Exited, Frames, Request, SignalRequest, SpawnRequest, ended, frame

ORDERS = [
    SpawnRequest(
        child="run/with/slashes/worker",
        incarnation=3,
        entry="actors.actor_process:main",
        arguments=bytes(range(256)) * 10,
        listens=True,
        log_path=Path("/tmp/a log"),
    ),
    SignalRequest(child="run/worker", incarnation=3, signal=15),
    SpawnRequest(child="b", incarnation=1, entry="a:b", arguments=b""),
]


@given(st.lists(st.integers(min_value=0, max_value=3_000), max_size=20))
def test_orders_arrive_whole_and_in_order_however_the_stream_is_cut(cuts):
    stream = b"".join(map(frame, ORDERS))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    frames = Frames(Request)
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    assert [request for piece in pieces for request in frames.feed(piece)] == ORDERS


def test_bytes_that_are_no_message_are_refused():
    with pytest.raises(ProtocolError, match="bad message between root and forkserver"):
        list(Frames(Event).feed(b"\x00\x00\x00\x03abc"))
    with pytest.raises(ProtocolError, match="bad message"):
        list(Frames(Event).feed(frame(ORDERS[1])))


@pytest.mark.parametrize(("status", "code", "signal"), [(0, 0, None), (70, 70, None), (-9, None, 9)])
def test_an_exit_has_a_code_or_a_signal(status, code, signal):
    request = ORDERS[2]
    assert ended(request, status) == Exited(child="b", incarnation=1, code=code, signal=signal)
