"""An agent that is away is watched and steered as one at home, from a real terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.end_to_end.terminal import Terminal
from tests.end_to_end.test_console import SCENARIO, Gate
from tests.lab.host_worlds import configure
from tests.lab.ssh_hosts import missing, ssh_host
from tests.lab.world import World

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def test_an_agent_that_is_away_is_watched_and_steered_as_one_at_home(tmp_path: Path):
    """The hooks and the checks say in which directory they ran: the host's."""
    with World(tmp_path) as world:
        gate = Gate(world.base / "gate")
        scenario = world.base / "gated.toml"
        scenario.write_text(SCENARIO.replace("GATE", str(gate.path)))
        world.play_embedded(scenario)
        (world.project / "TASK.md").write_text("Greet people politely.\n")
        there = {name: value for name, value in world.environment.items() if name.startswith("LOOP_")}
        with ssh_host(tmp_path / "big", environment=there) as host:
            configure(world, host)
            config = world.home / ".loop" / "config.toml"
            config.write_text(f"{config.read_text()}\n[hooks]\nbefore_done = 'pwd >> {world.base}/hooks'\n")
            checks = ("--check", f"pwd >> {world.base}/checks")
            own = Terminal(world, "--agent", "embedded", "--place", "worker=big", *checks, "-m", "3", "-p", "TASK.md")
            try:
                own.expect("at work")
                assert "host   big: worker, connected" in own.ask("status", "total .*")
                own.ask("hosts", r"big +connected[\s\S]*worker +embedded +busy, pid \d+[\s\S]*home +reviewer")
                own.ask("mailbox worker", r"waiting: nothing[\s\S]*dead letters: none")
                own.ask("inspect worker actor.context.start.place", "'big'")
                own.ask("trace on SayToAgent", "trace on")
                own.ask("steer look at the tests", "console#1 -> worker SayToAgent")
                own.expect("embedded gets it later: it waits for the end of the work turn")
                own.ask("interrupt", "interrupting embedded's work turn")
                own.expect("I hear you")
                own.expect("at work")
                own.ask("pause now", "pausing")
                own.expect("paused, iteration 2 of 3")
                own.ask("resume", "iteration 2 of 3")
                own.expect("at work")
                own.ask("inspect worker __import__('loguru').logger.warning('slow today')", "None")
                # Its log comes on a way of its own.
                own.ask_until("log worker", r"worker#1 +WARNING slow today", r"worker#1 +INFO")
                own.ask("review", "iteration 2 of 3")
                gate.open()
                own.expect("review round 1: waits for")
                own.ask("approve", "review round 1")
                own.expect("draft pull request")
                assert own.wait() == 0
            finally:
                own.end()
            trees = os.fspath(Path(host.host.root) / "trees")
            for name in ("hooks", "checks"):
                assert {line.startswith(trees) for line in (world.base / name).read_text().splitlines()} == {True}
            assert host.left_at_last() == []
