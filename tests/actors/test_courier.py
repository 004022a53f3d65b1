"""The two couriers of a tree, with real git, and no actors between them."""

import os
import subprocess
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.errors import OperationalError
from actors.messages import FetchSession, FetchTree, Message, SessionParcel, SessionTakenIn, TreeParcel, TreeTakenIn
from actors.runners.courier import AwayCourier, HomeCourier
from actors.runners.session_courier import AwaySessions, HomeSessions


class Pair:
    """Home and a host. `on_fetch` is called when the host asks for home's tree."""

    def __init__(self, base: Path, prepare: str = "") -> None:
        self.home, self.away = base / "home", base / "away"
        self.home.mkdir()
        (base / "run").mkdir()
        for words in (
            ("init", "-q", "-b", "main"),
            ("config", "user.name", "Ada"),
            ("config", "user.email", "ada@example.org"),
        ):
            subprocess.run(["git", *words], cwd=self.home, check=True)
        (self.home / "a.txt").write_text("one\n")
        self.said: list[str] = []
        self.own: list[Path] = []  # files of the session that home's own agent has
        self.bytes_of_sessions = 0  # that came home
        self.on_fetch: Callable[[], None] = lambda: None
        self.on_refusal: Callable[[], None] = lambda: None  # of a tree that home cannot take in
        self._of_home = HomeCourier(
            self.home,
            base / "store",
            salvage="refs/loop/salvage",
            tell=self._to_host,
            say=lambda _kind, text: self.said.append(text),
            sessions=HomeSessions(
                base / "run", {"worker": "codex"}, own=lambda _role, _id: self.own, tell=self._to_host
            ),
        )
        self.courier = AwayCourier(
            *(self.away, base / "run", self._to_home),
            prepare=prepare,
            environment=dict(os.environ),
            retry_s=(0.001, 0.001),
        )

    def sessions(self, home: Path) -> AwaySessions:
        """Of an agent on a host, with this home directory."""
        return AwaySessions(
            *("codex", {"HOME": str(home)}, self.away),
            ask=self.courier.ask,
            new_id=lambda: str(uuid.uuid4()),
            say=self.said.append,
        )

    def git(self, *words: str) -> str:
        """What git says at home."""
        return subprocess.run(["git", *words], cwd=self.home, capture_output=True, text=True, check=True).stdout

    def _to_host(self, _role: str, message: Message) -> None:
        assert isinstance(message, TreeParcel | TreeTakenIn | SessionParcel | SessionTakenIn)
        if isinstance(message, TreeTakenIn) and message.failed:
            self.on_refusal()
        self.courier.take(message)

    def _to_home(self, message: Message) -> None:
        assert isinstance(message, FetchTree | TreeParcel | FetchSession | SessionParcel)
        if isinstance(message, SessionParcel):
            self.bytes_of_sessions += len(message.data)
        if isinstance(message, FetchTree):
            self.on_fetch()
        self._of_home.take("worker", message)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_what_is_done_on_the_host_is_at_home_afterwards_and_the_other_way_round(pair: Pair):
    pair.courier.enter()
    assert (pair.away / "a.txt").read_text() == "one\n"
    (pair.away / "b.txt").write_text("of the agent\n")
    pair.courier.leave()
    assert (pair.home / "b.txt").read_text() == "of the agent\n"
    (pair.home / "a.txt").write_text("two\n")
    pair.courier.enter()
    assert (pair.away / "a.txt").read_text() == "two\n"
    assert pair.said == []


def test_a_journey_while_the_agent_writes_fails_nothing_and_overwrites_nothing(pair: Pair):
    """A turn that is asked for twice makes a second journey while the first one's agent works."""

    def write() -> None:
        (pair.away / "b.txt").write_text("half")

    pair.courier.enter()
    pair.on_fetch = write
    pair.courier.enter()
    assert (pair.away / "b.txt").read_text() == "half"
    pair.courier.leave()
    assert (pair.home / "b.txt").read_text() == "half"


def test_what_is_written_while_another_tree_arrives_goes_home_first(pair: Pair):
    def write() -> None:
        (pair.away / "b.txt").write_text("late")

    pair.courier.enter()
    pair.courier.leave()
    (pair.home / "a.txt").write_text("two\n")
    pair.on_fetch = write
    pair.courier.enter()
    assert (pair.away / "a.txt").read_text() == "two\n"
    (line,) = pair.said
    ref = line.rsplit(" ", 1)[1]
    assert pair.git("show", f"{ref}:b.txt") == "late"


def test_homes_tree_replaces_this_one_only_when_nobody_is_in_it(pair: Pair):
    """A job of the run begins while a mail's turn is at work, and the user has changed a file meanwhile."""
    asked = threading.Event()
    pair.courier.enter()
    (pair.home / "a.txt").write_text("two\n")
    pair.on_fetch = asked.set
    job = threading.Thread(target=pair.courier.enter)
    job.start()
    assert asked.wait(60)
    job.join(0.2)
    assert (pair.away / "a.txt").read_text() == "one\n"
    pair.courier.leave()
    job.join()
    assert (pair.away / "a.txt").read_text() == "two\n"
    assert pair.said == []


def test_work_on_both_sides_is_kept_and_not_merged(pair: Pair):
    pair.courier.enter()
    (pair.away / "a.txt").write_text("of the agent\n")
    (pair.home / "a.txt").write_text("of the user\n")
    pair.courier.leave()
    assert (pair.home / "a.txt").read_text() == "of the user\n"
    (line,) = pair.said
    ref = line.rsplit(" ", 1)[1]
    assert pair.git("show", f"{ref}:a.txt") == "of the agent\n"


def test_a_tree_that_home_cannot_take_in_for_a_moment_is_sent_again(pair: Pair):
    pair.courier.enter()
    (pair.away / "b.txt").write_text("of the agent\n")
    lock = pair.home / ".git" / "index.lock"
    lock.touch()
    pair.on_refusal = lambda: lock.unlink(missing_ok=True)
    pair.courier.leave()
    assert (pair.home / "b.txt").read_text() == "of the agent\n"


def test_what_home_cannot_take_in_comes_home_with_the_next_journey(pair: Pair):
    """Another git is at work at home, and a disk that is full there fails as well."""
    pair.courier.enter()
    (pair.away / "b.txt").write_text("of the agent\n")
    lock = pair.home / ".git" / "index.lock"
    lock.touch()
    with pytest.raises(OperationalError, match=r"^home cannot take this tree in: Unable to create .*index\.lock"):
        pair.courier.leave()
    assert not (pair.home / "b.txt").exists()
    lock.unlink()
    pair.courier.enter()
    assert [(side / "b.txt").read_text() for side in (pair.home, pair.away)] == ["of the agent\n"] * 2
    assert pair.said == []


@pytest.mark.parametrize("damage", ["a directory", "other content"])
def test_work_is_not_replaced_where_it_cannot_be_read_what_home_has_of_it(pair: Pair, damage: str):
    pair.courier.enter()
    (pair.away / "b.txt").write_text("of the agent\n")
    synced = pair.away.parent / "run" / "synced-away"
    synced.unlink()
    if damage == "a directory":
        synced.mkdir()
    else:
        synced.write_text("{")
    with pytest.raises((OperationalError, OSError), match="synced-away"):
        pair.courier.enter()
    assert (pair.away / "b.txt").read_text() == "of the agent\n"


def test_a_tree_that_has_come_for_the_first_time_is_prepared_once(tmp_path: Path):
    pair = Pair(tmp_path, prepare=f"cat a.txt >> {tmp_path}/prepared")
    pair.courier.enter()
    pair.courier.leave()
    (pair.home / "a.txt").write_text("two\n")
    pair.courier.enter()
    assert (tmp_path / "prepared").read_text() == "one\n"


def test_a_tree_that_cannot_be_prepared_is_said_to_be_and_is_tried_again(tmp_path: Path):
    pair = Pair(tmp_path, prepare=f"test -e {tmp_path}/ready || {{ echo no compiler >&2; exit 3; }}")
    for _ in range(2):
        with pytest.raises(OperationalError, match="no compiler"):
            pair.courier.enter()
    (tmp_path / "ready").touch()
    pair.courier.enter()
