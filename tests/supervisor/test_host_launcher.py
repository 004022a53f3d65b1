"""A launcher of a host whose link and shim are played by hand: when the exits of a lost host are reported."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from actors.hosts import Host
from supervisor.hosts.home_side import HomeSide
from supervisor.hosts.host_launcher import HostLauncher
from supervisor.hosts.host_protocol import VERSION, Begun
from supervisor.hosts.link import READ_BYTES, HostUnreachableError
from supervisor.spawning import Event, Exited, SpawnRequest, frame
from tests.patience import PATIENCE_S

HOST = Host(name="big", stop_after_s=1.0, lost_after_s=6.0)  # the shortest ones that may be configured
REQUEST = SpawnRequest(
    child="r/1/worker", incarnation=1, entry="x:y", arguments=b"", listens=False, imports=(), runtime_dir=Path("/")
)


class HandLink:
    """A link to this machine; "" = its host never answers, and it waits until it is closed."""

    def __init__(self, machine: str) -> None:
        self.far_bus = ""
        self.begun_s = 0.0
        self._machine = machine
        self._home, self.shim = socket.socketpair()
        self._closed = threading.Event()
        self.said_that_it_left = threading.Event()
        self.told: list[str] = []

    def open(self, begin: bytes, bus: Path, bridge_port: int, wait_s: float) -> None:
        del begin, bus, bridge_port, wait_s
        if not self._machine:
            self._closed.wait()
            raise self.failed()
        self.shim.sendall(frame(Begun(version=VERSION, python="3.11.7", pid=7, machine=self._machine)))

    def read(self, most: int = READ_BYTES) -> bytes:
        try:
            return self._home.recv(most)
        except OSError:  # it was closed
            return b""

    def is_heard(self, timeout_s: float) -> bool:
        del timeout_s
        return True  # a read waits

    def send(self, data: bytes) -> None:
        self._home.sendall(data)

    def far_port(self) -> int:
        return 0

    def refused(self) -> HostUnreachableError:
        return self.failed()

    def end(self) -> None:
        self.close()

    def close(self) -> None:
        self._closed.set()
        for end in (self._home, self.shim):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def has_left(self) -> bool:
        return self.said_that_it_left.is_set()

    def tell(self, text: str) -> None:
        self.told.append(text)

    def failed(self) -> HostUnreachableError:
        return HostUnreachableError(self.ended())

    def ended(self) -> str:
        self.close()
        return "host big: the link has ended"


class Story:
    """A launcher whose links lead to these machines, one after the other."""

    def __init__(self, *machines: str) -> None:
        self._machines = iter(machines)
        self.made: queue.SimpleQueue[HandLink] = queue.SimpleQueue()
        self.events: list[Event] = []
        self.said: list[tuple[str, int]] = []  # with the number of events before it
        self.given_up = threading.Event()
        self.exited = threading.Event()
        home = HomeSide(
            key="r/1",
            run_id="1",
            repository_id="r",
            bus=Path("/bus"),
            bridge_port=lambda: 0,
            tell=self._say,
            log=lambda _line: None,
            given_up=self.given_up.set,
            link=self._link,
        )
        self.launcher = HostLauncher(self._note, HOST, home)
        self.launcher.start(REQUEST)

    def _link(self, *_of: object) -> HandLink:
        link = HandLink(next(self._machines))
        self.made.put(link)
        return link

    def _say(self, text: str) -> None:
        self.said.append((text, len(self.events)))

    def _note(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Exited):
            self.exited.set()

    def cut(self, *, leaves: bool = False) -> None:
        """The first link ends when the worker has been asked for. `leaves`: its host says that nothing is left."""
        link = self.made.get(timeout=PATIENCE_S)
        asked = b""
        while REQUEST.child.encode() not in asked:  # what is sent in several parts may come in one
            part = link.shim.recv(READ_BYTES)
            assert part, "the link has ended"
            asked += part
        if leaves:
            link.said_that_it_left.set()
        link.shim.close()


@pytest.fixture
def stories() -> Iterator[list[Story]]:
    found: list[Story] = []
    yield found
    for each in found:
        each.launcher.close()


def begin(stories: list[Story], *machines: str) -> Story:
    stories.append(Story(*machines))
    stories[-1].cut()
    return stories[-1]


def test_a_host_is_given_up_with_its_lease_however_long_an_attempt_to_reach_it_takes(stories: list[Story]):
    story = begin(stories, "one", "")
    assert story.given_up.wait(PATIENCE_S)
    assert story.exited.wait(PATIENCE_S)


def test_a_host_that_is_back_has_ended_what_it_left_so_its_exits_are_reported(stories: list[Story]):
    story = begin(stories, "one", "one")
    assert story.exited.wait(PATIENCE_S)
    assert [text for text, _ in story.said][1:] == ["host big is back"]


def test_another_machine_of_the_same_name_takes_over_when_the_lease_of_the_first_has_ended(stories: list[Story]):
    story = begin(stories, "one", "another")
    assert story.exited.wait(PATIENCE_S)
    assert not story.given_up.is_set()
    (said,) = [each for each in story.said if "host big is another machine now" in each[0]]
    assert said[1] == 0  # it is told first, and the end of the actor comes after it
    assert story.made.get(timeout=PATIENCE_S).told == [said[0]]  # and the user there


def test_another_machine_takes_over_at_once_when_the_first_has_said_that_nothing_of_it_is_left(stories: list[Story]):
    stories.append(story := Story("one", "another"))
    story.cut(leaves=True)
    assert story.exited.wait(PATIENCE_S)
    assert [text for text, _ in story.said][1:] == ["host big is back"]
