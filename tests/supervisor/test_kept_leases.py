"""The file of the leases, and what it keeps from being started."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.machines.lease import MARGIN_S
from supervisor.hosts import kept_leases
from supervisor.hosts.kept_leases import KeptLease, KeptLeases, in_time_of

STOP_AFTER_S = 30.0
LASTS_S = STOP_AFTER_S + MARGIN_S


@dataclass
class Clock:
    """Time of a machine that can be started again."""

    now_s: float = 100.0
    since_ever_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds
        self.since_ever_s += seconds

    def reboot(self) -> None:
        self.now_s = 0.0


def test_a_lease_is_there_for_the_next_root_until_the_actors_have_ended(tmp_path: Path):
    leases = KeptLeases(tmp_path)
    leases.starts("worker", "big", "one", LASTS_S)
    leases.starts("reviewer", "big", "one", LASTS_S)
    assert [each.actors for each in kept_leases.read(tmp_path)] == [("reviewer", "worker")]
    leases.ended("worker", "big")
    assert [each.host for each in KeptLeases(tmp_path).against("reviewer", "")] == ["big"]
    assert KeptLeases(tmp_path).against("worker", "") == []
    leases.ended("reviewer", "big")
    assert list(tmp_path.iterdir()) == []


def test_a_lease_that_was_prolonged_is_longer_for_the_next_root(tmp_path: Path):
    clock = Clock()
    leases = KeptLeases(tmp_path, clock)
    leases.starts("worker", "big", "one", LASTS_S)
    clock.pass_s(STOP_AFTER_S)
    leases.granted("big", "one")
    clock.pass_s(STOP_AFTER_S)
    (found,) = KeptLeases(tmp_path, clock).against("worker", "")
    assert found.left_s(clock()) == MARGIN_S
    clock.pass_s(MARGIN_S)
    assert not KeptLeases(tmp_path, clock).has_earlier


def test_a_root_that_is_killed_while_it_waits_leaves_the_lease_to_the_next_one(tmp_path: Path):
    KeptLeases(tmp_path).starts("worker", "big", "one", LASTS_S)
    KeptLeases(tmp_path).starts("reviewer", "other", "two", LASTS_S)
    assert [each.host for each in KeptLeases(tmp_path).against("worker", "")] == ["big"]


def test_a_shim_that_begins_there_ends_the_lease_of_its_own_machine_alone(tmp_path: Path):
    KeptLeases(tmp_path).starts("worker", "big", "one", LASTS_S)
    leases = KeptLeases(tmp_path)
    assert leases.against("worker", "big") == []  # its shim has still to begin
    leases.begun("big", "another")
    assert [each.machine for each in leases.against("worker", "big", "another")] == ["one"]
    leases.begun("big", "one")
    assert leases.against("worker", "") == []
    assert not (tmp_path / kept_leases.FILE).exists()


def test_the_time_of_another_machine_says_nothing():
    lease = KeptLease(host="big", machine="one", actors=("worker",), granted_at_s=5, lasts_s=LASTS_S, node="a")
    assert in_time_of(lease, 9_000, "b").left_s(9_000) == LASTS_S
    assert in_time_of(lease, 9_000, "a").left_s(9_000) == 0


@pytest.mark.parametrize("text", ["", "{}", '[{"host": "big"}]', "\x00"])
def test_a_file_that_is_damaged_holds_no_lease(tmp_path: Path, text: str):
    (tmp_path / kept_leases.FILE).write_text(text)
    assert not KeptLeases(tmp_path).has_earlier


def test_a_lease_that_cannot_be_written_down_is_no_fault(tmp_path: Path):
    KeptLeases(tmp_path / "gone").starts("worker", "big", "one", LASTS_S)


@dataclass
class Story:
    """A run whose roots are killed again and again, and a worker that is wherever each of them wants it."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    lives_until_s: dict[str, float] = field(default_factory=dict)  # by host, since ever

    def __post_init__(self) -> None:
        self.leases = KeptLeases(self.folder, self.clock)
        self.place = "home"

    def step(self, what: str, place: str, seconds: float) -> None:
        clock = self.clock
        clock.pass_s(seconds)
        match what:
            case "grant":
                if self.place in self.lives_until_s and self.lives_until_s[self.place] > clock.since_ever_s:
                    self.leases.granted(self.place, self.place)
                    self.lives_until_s[self.place] = clock.since_ever_s + STOP_AFTER_S
            case "kill" | "reboot":  # a cut link: what is there lives until its lease ends
                if what == "reboot":
                    clock.reboot()
                self.leases = KeptLeases(self.folder, clock)
                self.place = ""
            case "reach":
                self.leases.begun(place, place)
                if place != self.place:
                    self.lives_until_s.pop(place, None)
            case _:
                self.start(place)

    def start(self, place: str) -> None:
        """Only the first actor of a root: later ones follow its launchers' events."""
        if self.place:
            return
        if place != "home":
            self.step("reach", place, 0)
        host = "" if place == "home" else place
        if self.leases.against("worker", host, host):
            return
        alive = [each for each, until_s in self.lives_until_s.items() if until_s > self.clock.since_ever_s]
        assert alive == []
        self.place = place
        if host:
            self.leases.starts("worker", host, host, LASTS_S)
            self.lives_until_s[host] = self.clock.since_ever_s + STOP_AFTER_S


steps = st.tuples(
    st.sampled_from(["grant", "kill", "reboot", "reach", "start", "start"]),
    st.sampled_from(["home", "big", "other"]),
    st.sampled_from([0.0, 1.0, 6.0, 20.0, 40.0]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=40))
def test_no_actor_is_started_while_one_of_an_earlier_root_may_live(story_steps: list[tuple[str, str, float]]):
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        story.place = ""
        for what, place, seconds in story_steps:
            story.step(what, "big" if what == "reach" and place == "home" else place, seconds)
