"""Agents' actors on another host: a real sshd in a network namespace of the test's own, and embedded agents."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from actors.edges import run_dir
from tests.lab.ssh_hosts import SshHost, missing, ssh_host
from tests.lab.world import CHECK, Loop, World

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

TASK = "Make greet() polite: greet('Ada') must return 'Hello, Ada!'."
SCENARIO = Path(__file__).parents[2] / "actors" / "embedded" / "scenarios" / "demo.toml"
LEASE = {"stop_after_s": 3.0, "lost_after_s": 8.5}


@contextmanager
def world_with_host(base: Path, **lease: float) -> Iterator[tuple[World, SshHost]]:
    with World(base) as world:
        world.play_embedded(SCENARIO)
        there = {name: value for name, value in world.environment.items() if name.startswith("LOOP_")}
        with ssh_host(base / "big", environment=there) as host:
            folder = world.home / ".loop"
            folder.mkdir(mode=0o700)
            rows = {
                "ssh_command": list(host.host.ssh_command), "root": host.host.root, "python": sys.executable, **lease
            }  # fmt: skip
            text = "\n".join(f"{key} = {value!r}" for key, value in rows.items())
            (folder / "config.toml").write_text(f"[hosts.big]\n{text}\n")
            yield world, host


def start(world: World, *places: str) -> Loop:
    words = [word for place in places for word in ("--place", place)]
    return world.start("--agent", "embedded", *words, "--check", CHECK, TASK)


def runs_on(host: SshHost) -> list[str]:
    """The command lines of all that runs in the host's network."""
    pids = subprocess.run(["ip", "netns", "pids", host.namespace], capture_output=True, text=True, check=True).stdout
    return [" ".join(psutil.Process(int(pid)).cmdline()) for pid in pids.split()]


def prompts_twice(world: World) -> list[str]:
    """Prompts that stand more than once in an agent's own session file, in any home."""
    found = []
    for path in (*world.home.rglob("*.jsonl"), *(world.base / "big" / "home").rglob("*.jsonl")):
        if "embedded" in path.parts:
            lines = [line for line in path.read_text().splitlines() if '"prompt"' in line]
            found += [line for line in set(lines) if lines.count(line) > 1]
    return found


@pytest.mark.parametrize("places", [("reviewer=big",), ("worker=big", "reviewer=big")], ids=str)
def test_a_run_completes_with_actors_on_a_host_and_the_work_is_at_home(tmp_path: Path, places: tuple[str, ...]):
    with world_with_host(tmp_path) as (world, host):
        loop = start(world, *places)
        loop.wait_for("are ready")
        agents = [line for line in runs_on(host) if "actors.embedded.agent" in line]
        assert loop.wait() == 0, loop.output
        assert "completed: review approved" in loop.output
        assert "embedded-reviewer -> embedded: greeting.py: greet" in loop.output  # mail, there and back
        assert "Understood: the empty name is mine to handle" in loop.output
        assert 'f"Hello, {name' in (world.project / "greeting.py").read_text()
        assert len(agents) <= len(places)
        assert [line for line in runs_on(host) if "sshd" not in line] == []
        manifest = run_dir.read_manifest(world.run_directory())
        assert manifest is not None
        assert manifest["places"] == dict(place.split("=") for place in places)


def test_a_link_that_comes_back_costs_no_turn(tmp_path: Path):
    with world_with_host(tmp_path, stop_after_s=3.0, lost_after_s=120.0) as (world, host):
        loop = start(world, "reviewer=big")
        loop.wait_for("review round 1: waits for")
        host.end_connections()
        loop.wait_for("host big is back")
        assert loop.wait() == 0, loop.output
        assert "completed: review approved" in loop.output
        assert prompts_twice(world) == []


def test_a_host_that_does_not_come_back_is_replaced_by_home_and_nobody_works_there_any_more(tmp_path: Path):
    with world_with_host(tmp_path, **LEASE) as (world, host):
        loop = start(world, "worker=big")
        loop.wait_for("iteration 1 of 20: waits for embedded")
        host.cut()
        loop.wait_for("host big is given up: worker continue")
        assert [line for line in runs_on(host) if "sshd" not in line] == []  # its lease ended before
        assert loop.wait() == 0, loop.output
        assert "completed: review approved" in loop.output
        assert 'f"Hello, {name' in (world.project / "greeting.py").read_text()
        host.mend()


@pytest.mark.parametrize("what", ["actor", "shim", "root"])
def test_a_kill_costs_nothing(tmp_path: Path, what: str):
    with world_with_host(tmp_path) as (world, host):
        loop = start(world, "worker=big")
        loop.wait_for("iteration 1 of 20: waits for embedded")
        if what == "actor":
            os.kill(loop.pid_of("worker"), signal.SIGKILL)
        elif what == "shim":
            host.kill("supervisor.hosts.shim")
        else:
            loop.signal(signal.SIGKILL)
            loop.wait()
            loop = world.start("--agent", "embedded", "--run-id", "1")
        assert loop.wait() == 0, loop.output
        assert "completed: review approved" in loop.output
        assert [line for line in runs_on(host) if "sshd" not in line] == []
        assert prompts_twice(world) == []


def test_what_an_agent_does_while_home_changes_is_kept_and_not_merged(tmp_path: Path):
    with world_with_host(tmp_path) as (world, _host):
        loop = start(world, "worker=big")
        loop.wait_for("plan review: waits for embedded")
        loop.wait_for("iteration 1 of 20: waits for embedded")
        (world.project / "notes.txt").write_text("of the user\n")
        loop.wait()
        assert (world.project / "notes.txt").read_text() == "of the user\n"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("nowhere.invalid", "there is no such host"),
        ("-oProxyCommand=x", "is no host's name"),
    ],
)
def test_a_host_that_cannot_be_used_is_one_line(tmp_path: Path, host: str, words: str):
    with World(tmp_path) as world:
        world.play_embedded(SCENARIO)
        loop = start(world, f"reviewer={host}")
        assert loop.wait() != 0
        assert words in loop.output
        assert "Traceback" not in loop.output
