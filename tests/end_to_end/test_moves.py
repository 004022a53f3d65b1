"""Agents that move while their run is running: from home to a host, between hosts, and back."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from actors.edges import run_dir
from tests.end_to_end.test_hosts import LEASE
from tests.lab.host_worlds import held_world, start, wrong
from tests.lab.ssh_hosts import SHIM, SshHost, missing
from tests.lab.world import Loop, World

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


WORK = ("Iteration 1", "python3 -m unittest")


def place(world: World, *words: str) -> str:
    done = world.run("place", *words)
    return done.output.strip()


def placed(world: World) -> object:
    manifest = run_dir.read_manifest(world.run_directory())
    assert manifest is not None
    return manifest.get("places")


def finished(world: World, host: SshHost, loop: Loop) -> None:
    loop.wait_for_approval()
    assert 'f"Hello, {name' in (world.project / "greeting.py").read_text()
    assert host.left_at_last() == []
    assert wrong(world, host) == []


def test_agents_move_to_a_host_and_home_while_the_run_is_running(tmp_path: Path):
    with held_world(tmp_path, *WORK) as (world, host, go):
        loop = start(world, "reviewer=big")
        loop.wait_for("are ready")
        assert "worker moves to big when what it does now has ended" in place(world, "worker", "big")
        assert "reviewer moves to home" in place(world, "embedded-reviewer", "home")
        go.touch()
        loop.wait_for("worker moves from home to big")
        loop.wait_for("reviewer moves from big to home")
        finished(world, host, loop)
        assert placed(world) == {"worker": "big"}
        lines = [line for line in world.transcript() if line.get("kind") == "place"]
        assert sorted((line["actor"], line["host"]) for line in lines) == [
            ("reviewer", "big"),
            ("reviewer", "home"),
            ("worker", "big"),
        ]
        assert json.loads(world.run("status", "--json").output)["status"]["relocations"] == 2


def test_a_move_that_cannot_be_made_is_one_line_and_changes_nothing(tmp_path: Path):
    with held_world(tmp_path, *WORK) as (world, host, go):
        loop = start(world)
        loop.wait_for("are ready")
        done = world.run("place", "worker", "bgi")
        assert "or ssh in [hosts.bgi] (did you mean big?); worker stays at home" in done.output
        assert done.process.returncode == 2
        go.touch()
        finished(world, host, loop)
        assert placed(world) is None


def test_a_running_turn_is_cut_where_the_user_wants_that_and_continues_at_the_new_place(tmp_path: Path):
    with held_world(tmp_path, *WORK) as (world, host, go):
        loop = start(world)
        loop.wait_for("until test -e")
        place(world, "worker", "big", "--now")
        loop.wait_for("worker moves from home to big")
        go.touch()
        finished(world, host, loop)


@pytest.mark.parametrize("what", ["actor", "shim", "root"])
def test_a_kill_in_the_middle_of_a_move_loses_nothing(tmp_path: Path, what: str):
    with held_world(tmp_path, *WORK) as (world, host, go):
        loop = start(world, "reviewer=big")
        loop.wait_for("until test -e")
        assert "worker moves to big" in place(world, "worker", "big")
        if what == "actor":
            loop.kill("worker")
        if what == "root":  # the next one has to know of the move
            loop.signal(signal.SIGKILL)
            loop.wait()
            loop = world.start("--agent", "embedded", "--run-id", "1")
        go.touch()
        loop.wait_for("worker moves from home to big")
        if what == "shim":
            assert host.kill(SHIM) == 1
        finished(world, host, loop)
        stayed = "it could not work at big" in loop.output  # it was killed before it was ready there
        assert placed(world) == {"reviewer": "big"} | ({} if stayed else {"worker": "big"})


def test_a_host_that_is_given_up_is_left_for_home_also_by_the_next_root(tmp_path: Path):
    with held_world(tmp_path, *WORK, **LEASE) as (world, host, go):
        loop = start(world)
        loop.wait_for("until test -e")
        place(world, "worker", "big", "--now")
        loop.wait_for("worker moves from home to big")
        host.cut()
        loop.wait_for("worker continues at home: big is given up")
        go.touch()
        assert loop.wait() == 0, loop.output
        assert placed(world) == {}
        host.mend()


def test_an_agent_that_a_killed_root_left_on_a_host_that_is_cut_off_has_ended_before_it_starts_at_home(tmp_path: Path):
    """There it works until its lease ends, and the run is resumed elsewhere."""
    with held_world(tmp_path, *WORK, stop_after_s=10.0, lost_after_s=60.0) as (world, host, go):
        loop = start(world, "worker=big")
        loop.wait_for("until test -e")
        host.cut()
        loop.signal(signal.SIGKILL)
        loop.wait()
        loop = world.start("--agent", "embedded", "--run-id", "1", "--place", "worker=home")
        loop.wait_for("worker starts at home in .* when nothing of it can live on big any more")
        assert [line for line in host.left() if "actors.embedded.agent" in line]
        loop.wait_for("worker starts at home: nothing of it lives on big any more")
        assert host.left() == []  # the one there has ended before
        go.touch()
        finished(world, host, loop)
        host.mend()
