"""Hosts that dial in from a network of their own: with the real agents, and with a cable that is cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import slow_cable
from tests.lab.host_worlds import SCENARIO, TASK, start, wrong
from tests.lab.joined_hosts import joined_host
from tests.lab.offline_home import agent_environment, prepare_home
from tests.lab.ssh_hosts import missing
from tests.lab.world import CHECK, World

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

DONE = "completed: review approved"


def incarnations(world: World) -> dict[str, int]:
    """How many times each actor has become ready."""
    log = (world.run_directory() / "log").read_text()
    names = ("persistence", "bridge", "run", "worker", "reviewer")
    return {name: sum(f" {name}#" in line and "is ready: pid" in line for line in log.splitlines()) for name in names}


@pytest.mark.real_agents
def test_the_real_agents_work_on_a_host_that_has_dialled_in_and_a_short_cut_costs_nothing(tmp_path: Path):
    with joined_host(tmp_path) as (world, host), world.play_real(SCENARIO, address=host.machine.near) as server:
        prepare_home(host.machine.home, server.url, "worker", codex_model="")
        there = agent_environment(host.machine.home, server.url, "reviewer", {"IS_SANDBOX": "1"})
        joiner = host.join(**there)
        loop = world.start("--place", "reviewer=big", "--check", CHECK, TASK)
        loop.wait_for("review round 1: waits for codex, claude")
        host.machine.cut()
        loop.wait_for("review round 1: waits for claude")  # the worker's own review at home is over meanwhile
        host.machine.mend()
        assert loop.wait() == 0, loop.output
        assert DONE in loop.output
        assert "claude -> codex: greeting.py: greet" in loop.output  # mail, over the same link
        assert (host.machine.home / ".claude" / "projects").is_dir()
        assert set(incarnations(world).values()) == {1}, loop.output
        assert wrong(world, host.machine) == []
        assert len(host.machine.left_at_last(1)) == 1  # what dials
        assert joiner.process.poll() is None


def test_a_long_cut_ends_the_actors_there_and_home_continues_with_their_work(tmp_path: Path):
    once = tmp_path / "once"
    long_check = f": the long check; test -e {once} || {{ touch {once}; sleep 600; }}"
    with joined_host(tmp_path, stop_after_s=3.0, lost_after_s=8.5) as (world, host):
        scenario = tmp_path / "long.toml"
        at = SCENARIO.read_text().index("^Iteration 1")
        text = SCENARIO.read_text()[at:].replace("python3 -m unittest 2>&1", long_check, 1)
        scenario.write_text(SCENARIO.read_text()[:at] + text)
        world.play_embedded(scenario)
        host.join()
        loop = start(world, "worker=big", "reviewer=big")
        loop.wait_for("the long check")
        host.machine.cut()
        loop.wait_for("host big has not been heard of for")
        loop.wait_for("host big is given up: worker and reviewer continue at home")
        assert len(host.machine.left()) == 1, host.machine.left()  # what dials: nobody works there any more
        host.machine.mend()
        assert loop.wait() == 0, loop.output
        assert DONE in loop.output
        assert "worker ended: lost" in loop.output  # it was silent for more than 10 s, and that is no hang
        assert wrong(world, host.machine) == []


@pytest.mark.skipif(bool(slow_cable.missing()), reason=slow_cable.missing())
def test_a_link_with_a_delay_of_100_ms_and_losses_of_1_percent_only_takes_longer(tmp_path: Path):
    with joined_host(tmp_path, slow=(0.05, 0.01), stop_after_s=20.0, lost_after_s=40.0) as (world, host):
        host.join()
        loop = start(world, "worker=big", "reviewer=big")
        assert loop.wait() == 0, loop.output
        assert DONE in loop.output
        assert set(incarnations(world).values()) == {1}, loop.output
        assert wrong(world, host.machine) == []
