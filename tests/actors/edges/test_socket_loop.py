"""The loop that every I/O thread with ZeroMQ sockets is."""

import queue
import threading
from pathlib import Path

import pytest
import zmq

from actors.edges.socket_loop import SocketLoop
from actors.errors import OperationalError, ProtocolError
from tests.patience import PATIENCE_S

CLOSE = b"close"
LINGER_MS = round(PATIENCE_S * 1_000)  # until what was said is on its way: on a busy machine not at once


class Echo:
    """Says back what it is told, until it is told to close."""

    def __init__(self, endpoint: str) -> None:
        self.loop = SocketLoop("echo")
        self.gone: queue.Queue[str] = queue.Queue()
        self.done: list[str] = []
        self._endpoint = endpoint
        self.loop.start(self._open, self._serve)

    def _open(self) -> None:
        self._socket = self.loop.bind(zmq.ROUTER, self._endpoint, {zmq.LINGER: 0, zmq.ROUTER_MANDATORY: 1})
        self._monitor = self.loop.monitor(self._socket, zmq.EVENT_DISCONNECTED)

    def _serve(self) -> None:
        while True:
            for call in self.loop.calls():
                self.loop.guarded(call)
            ready = self.loop.poll()
            if self._monitor in ready:
                self._monitor.recv_multipart()
                self.gone.put("gone")
            if self._socket in ready:
                who, said = self._socket.recv_multipart()
                if said == CLOSE:
                    return
                self._socket.send_multipart([who, said])


def ask(endpoint: str, said: bytes) -> bytes:
    """In a loop of its own, in this thread."""
    loop, heard = SocketLoop("asker"), []

    def serve() -> None:
        socket.append(loop.connect(zmq.DEALER, endpoint, {zmq.LINGER: LINGER_MS}))
        socket[0].send(said)
        if said != CLOSE and loop.poll(round(PATIENCE_S * 1000)):
            heard.append(socket[0].recv())
        loop.linger_ms = LINGER_MS

    socket: list[zmq.Socket[bytes]] = []
    loop.run(lambda: None, serve)
    return heard[0] if heard else b""


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/socket"


def test_frames_orders_and_disconnections_reach_one_thread(endpoint: str):
    echo = Echo(endpoint)
    assert ask(endpoint, b"hello") == b"hello"
    assert echo.gone.get(timeout=PATIENCE_S) == "gone"
    done = threading.Event()
    for name in ("first", "second"):
        echo.loop.call_soon(lambda name=name: echo.done.append(name))
    echo.loop.call_soon(done.set)
    assert done.wait(PATIENCE_S)
    assert echo.done == ["first", "second"]
    ask(endpoint, CLOSE)
    echo.loop.join()


def fail() -> None:
    raise ValueError("a slip of ours")


def test_an_order_that_fails_does_not_end_the_loop(endpoint: str):
    echo = Echo(endpoint)
    echo.loop.call_soon(fail)
    assert ask(endpoint, b"hello") == b"hello"
    ask(endpoint, CLOSE)
    echo.loop.join()


def test_what_came_in_and_means_nothing_is_told_to_who_wants_to_know():
    def refuse() -> None:
        raise ProtocolError("nonsense")

    loop, refused = SocketLoop("any"), []
    loop.guarded(refuse, refused=lambda error: refused.append(str(error)))
    loop.guarded(refuse)
    loop.run(lambda: None, lambda: None)
    assert refused == ["nonsense"]


def test_what_hinders_the_opening_is_raised_in_who_starts_it_and_the_thread_is_gone():
    def open_sockets() -> None:
        loop.bind(zmq.ROUTER, "ipc:///nowhere/socket", {})

    loop = SocketLoop("echo")
    with pytest.raises(OperationalError, match="cannot bind ipc:///nowhere/socket"):
        loop.start(open_sockets, lambda: None)
    assert "echo" not in {thread.name for thread in threading.enumerate()}


def test_a_loop_that_has_ended_may_still_be_woken_and_ordered():
    loop = SocketLoop("any")
    loop.run(lambda: None, lambda: None)
    loop.call_soon(lambda: None)
    loop.wake()
    loop.join()
