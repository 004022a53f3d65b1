"""What is said to a request for a move before the supervisor hears of it."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from actors.edges.git import git
from actors.errors import LoopError, UserError
from actors.hosts import Host
from actors.settings import Role
from supervisor.hosts.kept_moves import KeptMove
from supervisor.hosts.moving import Mover, host_named, role_named

BIG = Host(name="big")
LABELS: dict[Role, str] = {"worker": "codex", "reviewer": "claude"}


class Story:
    """A mover of a run whose reviewer is at `far`, and what it did."""

    def __init__(self, cwd: Path) -> None:
        self.reached: Future[str] = Future()
        self.said: list[tuple[str, str]] = []
        self.asked: list[tuple[str, str]] = []
        self.nows: list[bool] = []
        self.kept: list[tuple[Role, KeptMove | None]] = []
        self.mover = Mover(
            cwd,
            {"big": BIG},
            place_of=lambda role: "far" if role == "reviewer" else "",
            reach=lambda _host: self.reached,
            ask=self._ask,
            announce=lambda kind, text: self.said.append((kind, text)),
            keep=lambda role, move: self.kept.append((role, move)),
            patience_s=0,
        )

    def _ask(self, role: Role, place: str, now: bool) -> str:
        self.asked.append((role, place))
        self.nows.append(now)
        return f"{role} moves to {place}"

    def move(self, role: Role, name: str) -> str:
        return self.mover.move(role, name, True)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    git(tmp_path, "init", "-q")
    return Story(tmp_path)


def test_a_role_is_meant_by_its_own_name_or_by_its_agents() -> None:
    assert [role_named(name, LABELS) for name in ("worker", "codex", "Claude")] == ["worker", "worker", "reviewer"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bridge", "bridge stays at home: only worker and reviewer can be placed"),
        ("wroker", r"no actor 'wroker' \(did you mean worker\?\): there are worker, reviewer"),
    ],
)
def test_an_actor_that_cannot_be_placed_is_named(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        role_named(name, LABELS)


def test_a_host_is_one_of_the_configuration_or_one_that_ssh_may_know() -> None:
    assert [host_named(name, {"big": BIG}) for name in ("home", "big", "other")] == [None, BIG, Host(name="other")]
    with pytest.raises(UserError, match="'a b' is no host's name"):
        host_named("a b", {})


def test_a_move_to_a_host_is_asked_for_when_it_is_reached(story: Story) -> None:
    story.reached.set_result("")
    assert story.move("worker", "big") == "worker moves to big"
    assert (story.asked, story.nows, story.said) == ([("worker", "big")], [True], [])


@pytest.mark.parametrize("place", ["home", "far"])
def test_home_and_the_present_place_need_not_be_reached(story: Story, place: str) -> None:
    story.move("reviewer", place)
    assert story.asked == [("reviewer", "" if place == "home" else place)]
    assert not story.reached.done()


@pytest.mark.parametrize(("name", "meant"), [("big", ""), ("bgi", r" \(did you mean big\?\)")])
def test_a_host_that_cannot_be_reached_changes_nothing(story: Story, name: str, meant: str) -> None:
    story.reached.set_result("host x: it does not answer")
    with pytest.raises(LoopError, match=f"^host x: it does not answer{meant}; reviewer stays at far$"):
        story.move("reviewer", name)
    assert story.asked == []


def test_files_without_git_go_nowhere(tmp_path: Path) -> None:
    story = Story(tmp_path)
    with pytest.raises(UserError, match="is in no git repository, so its files cannot go to big: run git init in it"):
        story.move("worker", "big")
    assert not story.reached.done()


def test_a_request_that_waits_for_its_host_is_kept_for_the_next_root(story: Story) -> None:
    story.move("worker", "big")
    assert story.kept == [("worker", KeptMove("big", now=True))]
    story.reached.set_result("host big: it does not answer")
    assert story.kept[1:] == [("worker", None)]


def test_a_later_request_for_the_same_actor_counts(story: Story) -> None:
    story.move("worker", "big")
    assert story.move("worker", "home") == "worker stays at home"
    story.reached.set_result("")
    assert (story.asked, story.said, story.kept[-1]) == ([], [], ("worker", None))


def test_a_later_request_that_is_refused_leaves_no_earlier_one_behind(story: Story) -> None:
    story.move("worker", "big")
    story.reached = Future()
    story.reached.set_result("host other: it does not answer")
    with pytest.raises(LoopError, match="worker stays at home"):
        story.move("worker", "other")
    assert story.kept == [("worker", KeptMove("big", now=True)), ("worker", None)]


@pytest.mark.parametrize("failure", ["", "host big: it does not answer"])
def test_a_host_that_needs_long_is_told_of_later(story: Story, failure: str) -> None:
    assert story.move("worker", "big") == "big is being reached; worker moves there when it answers"
    assert story.asked == []
    story.reached.set_result(failure)
    if failure:
        assert (story.asked, story.said) == ([], [("error", f"{failure}; worker stays at home")])
    else:
        assert (story.asked, story.said) == ([("worker", "big")], [("note", "worker moves to big")])
    assert story.nows == ([] if failure else [True])
