"""A cable that is cut for a few seconds, under the lease that a host has by default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.end_to_end.test_joined_hosts import incarnations
from tests.lab import slow_cable
from tests.lab.host_worlds import SCENARIO, start, world_with_hosts, wrong
from tests.lab.ssh_hosts import missing
from tests.lab.world import World

pytestmark = pytest.mark.skipif(
    bool(missing() or slow_cable.missing()), reason=missing() or slow_cable.missing() or "it can be made"
)

MAIL = "chaos mail 1: what was written while the cable was cut"


def working_in_a_cut(base: Path) -> Path:
    """The demo, whose worker continues in iteration 1 when it is let go, and then writes to the reviewer."""
    text = SCENARIO.read_text()
    at = text.index("^Iteration 1")
    step = f"until test -e {base}/go; do sleep 0.1; done; touch {base}/continued"
    mail = (
        f'[[turn.step]]\nsend = {{ target = "reviewer", message = "{MAIL}" }}\n[[turn.step]]\nsay = \'\'\'\ngreet() now'
    )
    rest = (
        text[at:].replace("python3 -m unittest 2>&1", step, 1).replace("[[turn.step]]\nsay = '''\ngreet() now", mail, 1)
    )
    scenario = base / "cut.toml"
    scenario.write_text(text[:at] + rest)
    return scenario


def silent_s(world: World) -> int:
    """For how long nothing has been heard of the worker, as `status` says."""
    found = re.search(r"worker .*no sign of life for (\d+) s", world.run("status").output)
    return int(found[1]) if found else 0


def test_a_cut_of_five_seconds_costs_no_actor_and_nothing_is_sent_twice(tmp_path: Path):
    with world_with_hosts(tmp_path, "big", slow=(0.01, 0.0)) as (world, [host]):
        host.start_sshd(LOOP_EMBEDDED_SCENARIO=str(working_in_a_cut(tmp_path)))
        loop = start(world, "worker=big")
        loop.wait_for("until test -e")
        host.cut()
        (tmp_path / "go").touch()
        while silent_s(world) < 5:  # each look takes a moment
            assert not loop.ended, loop.output
        assert (tmp_path / "continued").exists()  # the agent has continued meanwhile
        host.mend()
        loop.wait_for_approval()
        assert loop.output.count(f"embedded -> embedded-reviewer: {MAIL}") == 1
        assert set(incarnations(world).values()) == {1}, loop.output
        assert "given up" not in loop.output
        assert wrong(world, host) == []
        assert host.left_at_last() == []
