"""Two ends of a link in one thread, each with its channels, and local sockets behind them."""

import socket
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest

from actors.edges.socket_loop import SocketLoop
from actors.errors import ProtocolError
from supervisor.hosts.channels import Channels
from supervisor.hosts.join_protocol import WINDOW, Bytes, ChannelEnd, Credit
from tests.patience import PATIENCE_S


class Ends:
    """`far` and `home`, with one channel between the sockets `left` and `right`."""

    def __init__(self, stack: ExitStack) -> None:
        self.loop = SocketLoop("test")
        self.to_home: deque[msgspec.Struct] = deque()
        self.to_far: deque[msgspec.Struct] = deque()
        self.far, self.home = Channels(self.loop, self.to_home.append), Channels(self.loop, self.to_far.append)
        self.left, inner_left = socket.socketpair()
        self.right, inner_right = socket.socketpair()
        self.ended: list[str] = []
        for each in (self.left, self.right):
            stack.enter_context(each)
            each.settimeout(PATIENCE_S)
        self.far.add(1, inner_left, self.ended.append)
        self.home.add(1, inner_right, self.ended.append)

    def turn(self, *, carries: bool = True) -> None:
        """Lets both ends work until nothing is left to do."""
        while True:
            ready = self.loop.poll(50)
            before = (len(self.to_home), len(self.to_far))
            self.far.serve(ready)
            self.home.serve(ready)
            moved = before != (len(self.to_home), len(self.to_far))
            for queue, taker in ((self.to_home, self.home), (self.to_far, self.far)):
                while carries and queue:
                    message = queue.popleft()
                    assert isinstance(message, Bytes | Credit | ChannelEnd)
                    taker.take(message)
                    moved = True
            if not moved:
                return


@pytest.fixture
def ends() -> Iterator[Ends]:
    with ExitStack() as stack:
        found = Ends(stack)

        def serve() -> None:
            pass

        yield found
        found.far.end_all("over")
        found.home.end_all("over")
        found.loop.run(serve, serve)


def test_bytes_arrive_in_both_directions(ends: Ends):
    ends.left.sendall(b"there")
    ends.right.sendall(b"and back")
    ends.turn()
    assert (ends.right.recv(100), ends.left.recv(100)) == (b"there", b"and back")


def test_the_end_of_one_direction_leaves_the_other_one_open(ends: Ends):
    ends.left.sendall(b"a question")
    ends.left.shutdown(socket.SHUT_WR)
    ends.turn()
    assert (ends.right.recv(100), ends.right.recv(100)) == (b"a question", b"")
    ends.right.sendall(b"an answer")
    ends.right.close()
    ends.turn()
    assert (ends.left.recv(100), ends.left.recv(100)) == (b"an answer", b"")
    assert ends.ended == ["", ""]


def test_a_reader_that_is_slow_holds_up_its_sender_and_loses_nothing(ends: Ends):
    ends.left.setblocking(False)
    sent = received = 0
    for _ in range(200):
        try:
            sent += ends.left.send(b"x" * 65_536)
        except BlockingIOError:
            break
        ends.turn()
    assert WINDOW <= sent < 200 * 65_536  # the window, and what the kernel holds of both socket pairs
    while received < sent:
        received += len(ends.right.recv(65_536))
        ends.turn()
    assert received == sent


def test_a_sender_that_exceeds_its_window_breaks_the_protocol(ends: Ends):
    ends.right.setblocking(False)
    whole = [Bytes(channel=1, data=b"x" * 65_536)] * 200
    with pytest.raises(ProtocolError, match="more than its window"):
        deque(map(ends.home.take, whole))


def test_what_nobody_reads_any_more_ends_the_channel_on_both_sides(ends: Ends):
    ends.right.close()
    ends.left.sendall(b"for nobody")
    ends.turn()
    assert ends.left.recv(100) == b""


def test_a_lost_connection_ends_every_channel_with_its_reason(ends: Ends):
    ends.home.end_all("its connection has ended")
    assert ends.right.recv(100) == b""
    assert ends.ended == ["its connection has ended"]
    ends.home.take(Bytes(channel=1, data=b"late"))  # of a channel that is no more


def test_a_number_is_not_used_twice(ends: Ends):
    one, other = socket.socketpair()
    with one, pytest.raises(ProtocolError, match="channel 1 is one too many"):
        ends.home.add(1, other)
