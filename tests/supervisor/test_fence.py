"""Starts that wait until nothing of an earlier root lives on a host."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from supervisor.hosts.fence import Fence
from supervisor.hosts.kept_leases import KeptLeases
from supervisor.spawning import Event, Exited, SpawnRequest
from tests.patience import PATIENCE_S

REQUEST = SpawnRequest(child="r/1/worker", incarnation=1, entry="x:y", arguments=b"")


class Story:
    """A worker that an earlier root has left on `big`, and that is wanted at home."""

    def __init__(self, directory: Path, lasts_s: float) -> None:
        KeptLeases(directory).starts("worker", "big", "one", lasts_s)
        self.leases = KeptLeases(directory)
        self.asked: queue.SimpleQueue[Future[str]] = queue.SimpleQueue()
        self.said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.events: list[Event] = []
        self.started = threading.Event()
        self.fence = Fence(
            self.leases,
            place_of=lambda _actor: "",
            reach=self._reach,
            tell=self.said.put,
            report=self.events.append,
        )

    def _reach(self, _host: str) -> Future[str]:
        done: Future[str] = Future()
        self.asked.put(done)
        return done

    def start(self, request: SpawnRequest = REQUEST) -> None:
        self.fence.start(request, lambda _request: self.started.set())

    def told(self) -> str:
        return self.said.get(timeout=PATIENCE_S)


@pytest.fixture
def stories() -> Iterator[list[Story]]:
    found: list[Story] = []
    yield found
    for each in found:
        each.fence.close()


def test_an_actor_starts_when_the_host_is_reached_and_the_user_is_told_nothing(stories: list[Story], tmp_path: Path):
    stories.append(story := Story(tmp_path, 3_600.0))
    story.start()
    asked = story.asked.get(timeout=PATIENCE_S)
    assert not story.started.is_set()
    story.leases.begun("big", "one")  # its shim has ended what was there
    asked.set_result("")
    assert story.started.wait(PATIENCE_S)
    assert story.said.empty()


def test_an_actor_starts_when_the_lease_of_a_host_that_is_cut_off_has_ended(stories: list[Story], tmp_path: Path):
    stories.append(story := Story(tmp_path, 1.0))
    story.start()
    story.asked.get(timeout=PATIENCE_S).set_result("host big: it does not answer")
    assert story.told() == (
        "host big: it does not answer; worker starts at home in 1 s, when nothing of it can live on big any more"
    )
    assert story.told() == "worker starts at home: nothing of it lives on big any more"
    assert story.started.wait(PATIENCE_S)
    assert not story.leases.has_earlier


def test_another_machine_that_answers_in_the_name_of_the_host_ends_nothing(stories: list[Story], tmp_path: Path):
    stories.append(story := Story(tmp_path, 3_600.0))
    story.start()
    story.leases.begun("big", "another")
    story.asked.get(timeout=PATIENCE_S).set_result("")
    assert story.told().startswith("host big is another machine now; worker starts at home in 1 h")
    assert not story.started.is_set()


def test_a_start_that_waits_can_be_given_up(stories: list[Story], tmp_path: Path):
    stories.append(story := Story(tmp_path, 3_600.0))
    story.start()
    asked = story.asked.get(timeout=PATIENCE_S)
    assert not story.fence.kill("r/1/worker", 2)
    assert story.fence.kill("r/1/worker", 1)
    assert story.events == [Exited(child="r/1/worker", incarnation=1, code=None, signal=None)]
    story.leases.begun("big", "one")
    asked.set_result("")
    assert not story.fence.kill("r/1/worker", 1)
    story.start()
    assert story.started.is_set()


def test_other_actors_do_not_wait(stories: list[Story], tmp_path: Path):
    stories.append(story := Story(tmp_path, 3_600.0))
    story.start(SpawnRequest(child="r/1/reviewer", incarnation=1, entry="x:y", arguments=b""))
    assert story.started.is_set()
    assert story.fence.longest_s("reviewer") == 0
    assert story.fence.longest_s("worker") > 3_000
