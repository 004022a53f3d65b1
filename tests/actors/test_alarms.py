"""Alarms: all of an object ring from one thread, in their order, until it is closed."""

import queue
import threading
from collections.abc import Iterator

import pytest

from actors.alarms import Alarms
from tests.patience import PATIENCE_S

NAME = "alarms of a test"


class Rung:
    """What has rung, and from which threads."""

    def __init__(self) -> None:
        self.values: queue.Queue[str] = queue.Queue()
        self.threads: set[int] = set()
        self.alarms: Alarms[str] = Alarms(NAME, self._ring)

    def _ring(self, value: str) -> None:
        self.threads.add(threading.get_ident())
        self.values.put(value)

    def next(self) -> str:
        return self.values.get(timeout=PATIENCE_S)


@pytest.fixture
def rung() -> Iterator[Rung]:
    found = Rung()
    yield found
    found.alarms.close()


def test_a_hundred_alarms_ring_from_one_thread_in_their_order(rung: Rung):
    for number in range(100):
        rung.alarms.set(0.0, str(number))
    assert [rung.next() for _ in range(100)] == [str(number) for number in range(100)]
    assert len(rung.threads) == 1
    assert [each.name for each in threading.enumerate()].count(NAME) == 1


def test_an_earlier_alarm_rings_before_one_that_is_waited_for(rung: Rung):
    rung.alarms.set(3_600.0, "late")
    rung.alarms.set(0.01, "soon")
    assert rung.next() == "soon"


def test_nothing_rings_after_the_close_and_the_thread_ends(rung: Rung):
    rung.alarms.set(3_600.0, "late")
    (thread,) = (each for each in threading.enumerate() if each.name == NAME)
    rung.alarms.close()
    thread.join(PATIENCE_S)
    rung.alarms.set(0.0, "after it")
    assert (thread.is_alive(), rung.values.empty()) == (False, True)


def test_an_object_without_an_alarm_has_no_thread():
    Alarms(NAME, str).close()
    assert NAME not in [each.name for each in threading.enumerate()]
