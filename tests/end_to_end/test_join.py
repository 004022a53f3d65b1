"""Agents' actors on a host that dials in: `loop join` with a home of its own, and embedded agents. Needs no root."""

import json
import select
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from actors.edges import join_keys
from supervisor.hosts import code
from tests.end_to_end.test_moves import place
from tests.lab.inspection import inspect
from tests.lab.ports import own_port
from tests.lab.turns import held
from tests.lab.world import CHECK, LOOP, Loop, World

TASK = "Make greet() polite: greet('Ada') must return 'Hello, Ada!'."
REPOSITORY = Path(__file__).parents[2]
SCENARIO = REPOSITORY / "actors" / "embedded" / "scenarios" / "demo.toml"
SOON = {"stop_after_s": 1.0, "lost_after_s": 6.0}
REVOKED = {"stop_after_s": 5.0, "lost_after_s": 12.0}
LATE = {"stop_after_s": 5.0, "lost_after_s": 120.0}


class JoinWorld:
    """A home that listens for `big`, and the machine of `big`."""

    def __init__(self, world: World, lease: dict[str, float]) -> None:
        self.world, self.port = world, own_port()
        self.far = world.base / "far"
        self.far.mkdir()
        world.play_embedded(SCENARIO)
        self.key = self.new_key(world.home, "big.key")
        rows = {"root": str(self.far / "loop"), **lease}
        table = "".join(f"{key} = {value!r}\n" for key, value in rows.items())
        text = f"[join]\nlisten = '127.0.0.1:{self.port}'\n[hosts.big]\njoin = true\n{table}"
        (world.home / ".loop" / "config.toml").write_text(text)

    def new_key(self, home: Path, name: str) -> Path:
        """Makes a key for `big`, and takes it there."""
        made = join_keys.make(home, "big", 1)
        return Path(shutil.move(made, self.far / name))

    def run(self, *places: str) -> Loop:
        words = [word for place in places for word in ("--place", place)]
        return self.world.start("--agent", "embedded", *words, "--check", CHECK, TASK)

    def join(self, key: Path | None = None, port: int = 0, machine: Path | None = None) -> Loop:
        words = ("join", f"127.0.0.1:{port or self.port}", "--key", str(key or self.key))
        there = machine or self.far
        return self.world.start_program(*LOOP, *words, HOME=str(there), cwd=str(there))

    def hold(self) -> Path:
        """The worker waits in its first iteration until there is this file."""
        go, scenario = self.world.base / "go", self.world.base / "held.toml"
        scenario.write_text(held(SCENARIO.read_text(), "Iteration 1", "python3 -m unittest", go))
        self.world.play_embedded(scenario)
        return go

    def greeting(self) -> str:
        return (self.world.project / "greeting.py").read_text()


@contextmanager
def joining(base: Path, lease: dict[str, float] = LATE) -> Iterator[JoinWorld]:
    with World(base) as world:
        yield JoinWorld(world, lease)


class Tap:
    """Relays one port to another, and keeps what passes."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.passed: dict[str, bytearray] = {"to home": bytearray(), "from home": bytearray()}
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No connection may be open any more."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # ends the wait for the next one
        self._thread.join()

    def _accept(self) -> None:
        with self._server, suppress(OSError):
            while True:
                far, _ = self._server.accept()
                with far, suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as home:
                    self._relay(far, home)

    def _relay(self, far: socket.socket, home: socket.socket) -> None:
        """One connection at a time: until an end of it."""
        ways = {far: (home, "to home"), home: (far, "from home")}
        while True:
            for source in select.select(list(ways), [], [])[0]:
                target, way = ways[source]
                data = source.recv(65_536)
                if not data:
                    return
                self.passed[way] += data
                target.sendall(data)


def test_a_run_completes_on_a_host_that_has_dialled_in_and_nothing_passes_in_plain_text(tmp_path: Path):
    with joining(tmp_path) as there:
        tap = Tap(there.port)
        host = there.join(port=tap.port)
        loop = there.run("worker=big", "reviewer=big")
        host.wait_for("joined 127.0.0.1:")
        loop.wait_for_approval()
        assert "embedded-reviewer -> embedded: greeting.py: greet" in loop.output  # mail, there and back
        assert 'f"Hello, {name' in there.greeting()
        assert list((there.far / "loop" / "trees").rglob("greeting.py"))
        host.wait_for("dialling until a run there waits", after="joined 127.0.0.1:")
        assert psutil.Process(host.process.pid).children() == []
        host.signal(signal.SIGTERM)
        assert host.wait() == 0
        there.world.wait_until_empty()
        tap.close()
        for passed in tap.passed.values():
            assert len(passed) > 10_000
            assert [
                word for word in (b"greet", b"Hello", b"polite", b"Reach", b"Spawn", b"unittest") if word in passed
            ] == []


def test_a_wrong_key_is_said_on_both_sides_and_the_right_one_is_let_in(tmp_path: Path):
    with joining(tmp_path) as there:
        revoked = there.key
        join_keys.revoke(there.world.home, "big")
        right = there.new_key(there.world.home, "right.key")
        foreign = there.new_key(tmp_path / "other", "foreign.key")
        loop = there.run("reviewer=big")
        loop.wait_for("waits for big to join")
        assert "waits for big to join" in there.world.run("status").output
        host = there.join(revoked)
        assert host.wait() == 1
        assert f"wrong key: 127.0.0.1:{there.port} does not allow the key" in host.output
        loop.wait_for("wrong key: a host dials in with a key that is not allowed here")
        host = there.join(foreign)
        host.wait_for("wrong key, or no loop at")
        loop.wait_for("wrong key: a host dials in with a key file of another home")
        host.signal(signal.SIGTERM)
        assert host.wait() == 0
        there.join(right)
        loop.wait_for_approval()
        log = (there.world.run_directory() / "log").read_text()
        assert log.count("host big is connected") == 1  # the wait for it is not its silence
        assert "Traceback" not in loop.output


def test_a_revoked_key_ends_the_link_of_a_run_which_continues_at_home(tmp_path: Path):
    with joining(tmp_path, REVOKED) as there:
        go = there.hold()
        host = there.join()
        host.wait_for("nobody answers at")
        loop = there.run("worker=big")
        host.wait_for("joined 127.0.0.1:")
        loop.wait_for("iteration 1 of 20: waits for embedded")
        assert there.world.run("keys", "revoke", "big").process.returncode == 0
        assert host.wait() == 1
        assert "home refuses this host: the key of big is revoked" in host.output
        loop.wait_for("host big is given up: worker continue")
        go.touch()
        loop.wait_for_approval()
        there.world.wait_until_empty()


def test_a_host_that_never_joins_is_replaced_by_home(tmp_path: Path):
    with joining(tmp_path, SOON) as there:
        loop = there.run("worker=big", "reviewer=big")
        loop.wait_for("host big is given up: worker and reviewer continue at home")
        loop.wait_for_approval()


def test_a_join_that_is_killed_costs_no_work_when_it_is_started_again(tmp_path: Path):
    with joining(tmp_path) as there:
        host = there.join()
        loop = there.run("worker=big")
        loop.wait_for("iteration 1 of 20: waits for embedded")
        host.signal(signal.SIGKILL)
        host.wait()
        there.join()
        loop.wait_for("host big is back")
        loop.wait_for_approval()


def test_a_home_that_is_killed_and_resumed_has_its_host_again(tmp_path: Path):
    with joining(tmp_path) as there:
        host = there.join()
        loop = there.run("worker=big")
        loop.wait_for("iteration 1 of 20: waits for embedded")
        loop.signal(signal.SIGKILL)
        loop.wait()
        loop = there.world.start("--agent", "embedded", "--run-id", "1")
        loop.wait_for_approval()
        assert "is given up" not in loop.output
        assert host.output.count(f"joined 127.0.0.1:{there.port} as big") == 2
        assert list(inspect(there.world.home, there.world.run_directory(), None, [there.far])) == []


def test_an_agent_moves_to_a_host_that_dials_in_and_home_while_the_run_is_running(tmp_path: Path):
    with joining(tmp_path) as there:
        host = there.join()
        host.wait_for("nobody answers at")
        loop = there.run()
        loop.wait_for("plan review: waits for")
        assert there.world.run("pause").process.returncode == 0  # the whole first iteration is to be on the host
        assert "worker moves" in place(there.world, "worker", "big")  # home listens from now on
        host.wait_for("joined 127.0.0.1:")
        loop.wait_for("worker moves from home to big")
        assert there.world.run("resume").process.returncode == 0
        loop.wait_for("review round 1: waits for")
        place(there.world, "worker", "home", "--now")
        loop.wait_for("worker moves from big to home")
        loop.wait_for_approval()
        assert list((there.far / "loop" / "trees").rglob("greeting.py"))
        assert list(inspect(there.world.home, there.world.run_directory(), None, [there.far])) == []
        host.signal(signal.SIGTERM)
        assert host.wait() == 0
        there.world.wait_until_empty()


def test_a_second_join_with_the_same_key_takes_over_and_the_first_one_says_so(tmp_path: Path):
    with joining(tmp_path) as there:
        go = there.hold()
        first = there.join()
        loop = there.run("worker=big")
        loop.wait_for("iteration 1 of 20: waits for embedded")
        there.join()
        assert first.wait() == 1
        assert first.lines[-1].endswith("home refuses this host: big has dialled in again, with another loop join")
        loop.wait_for("host big: big has dialled in again, with another loop join")
        go.touch()
        loop.wait_for_approval()
        assert "is another machine now" not in loop.output
        assert list(inspect(there.world.home, there.world.run_directory(), None, [there.far])) == []


def test_a_second_machine_with_the_same_key_has_the_actors_as_soon_as_the_first_one_has_ended_them(tmp_path: Path):
    with joining(tmp_path) as there:
        config = there.world.home / ".loop" / "config.toml"
        config.write_text(config.read_text().replace(f"root = '{there.far}/loop'", "root = '~/loop'"))
        other = tmp_path / "other"
        other.mkdir()
        first = there.join()
        loop = there.run("worker=big")
        loop.wait_for("iteration 1 of 20: waits for embedded")
        there.join(machine=other)
        assert first.wait() == 1
        loop.wait_for_approval()
        assert list((other / "loop" / "trees").rglob("greeting.py"))
        assert "is another machine now" not in loop.output  # its lease is two minutes long
        assert list(inspect(there.world.home, there.world.run_directory(), None, [there.far, other])) == []


def test_a_join_of_another_version_is_said_on_both_sides(tmp_path: Path):
    with joining(tmp_path) as there:
        for package in code.PACKAGES:
            shutil.copytree(REPOSITORY / package, there.far / package)
        (there.far / "actors" / "newer.py").write_text("# of another version\n")
        host = there.join()  # it finds the copy in its directory first
        doctor = there.world.run("doctor", "--json").lines[-1]  # after what it waits for
        found = {each["subject"]: each for each in json.loads(doctor)["findings"]}
        words = "another version of loop is on big: install the same one there"
        assert (found["big"]["level"], words in found["big"]["text"]) == ("problem", True)
        assert host.wait() == 1
        assert host.lines[-1].endswith(f"home refuses this host: {words}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["127.0.0.1:1"], "loop join needs --key FILE"),
        (["nowhere", "--key", "x"], "ENDPOINT takes HOST:PORT"),
        (["127.0.0.1:1", "--key", "gone.key"], "gone.key: it does not exist"),
    ],
)
def test_what_join_cannot_use_is_one_line(tmp_path: Path, words: list[str], said: str):
    with World(tmp_path) as world:
        loop = world.run("join", *words)
        assert loop.wait() == 2
        assert said in loop.output
        assert len(loop.lines) == 1


def test_a_run_on_a_host_without_a_key_is_refused_before_it_starts(tmp_path: Path):
    with joining(tmp_path) as there:
        join_keys.revoke(there.world.home, "big")
        loop = there.run("worker=big")
        assert loop.wait() == 2
        assert "host big cannot dial in: it has no key; make one with loop keys new big" in loop.output
