"""The real agents move while their run is running: to a host in the middle of a turn, and home again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.settings import Role
from tests.end_to_end.test_moves import finished, place, placed
from tests.end_to_end.test_workspace import Workspace, started
from tests.lab.host_worlds import SCENARIO, TASK, configure
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.lab.ssh_hosts import SshHost, missing, ssh_host
from tests.lab.turns import held
from tests.lab.world import CHECK, MARK, World, roles_of

pytestmark = [
    pytest.mark.real_agents,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

LONG_CHECK = ": the long check; test -e ONCE || { touch ONCE; sleep 600; }; python3 -m unittest 2>&1"


@contextmanager
def real_world(base: Path, scenario: str, worker: str = "codex") -> Iterator[tuple[World, SshHost, ModelServer]]:
    """The real agents, at home and on `big`, and their model."""
    with World(base) as world, ssh_host(base / "big") as host:
        configure(world, host)
        path = base / "scenario.toml"
        path.write_text(scenario)
        with world.play_real(path, address=host.near, worker=worker) as server:
            roles = roles_of(worker)
            prepare_home(host.home, server.url, roles["codex"], codex_model="")
            there = agent_environment(host.home, server.url, roles["claude"], {"IS_SANDBOX": "1", MARK: world.mark})
            host.start_sshd(**there)
            yield world, host, server


def told(server: ModelServer, role: Role) -> list[str]:
    """The first lines of the prompts that the role's model was given, in their order. None is there twice."""
    begun = [each.prompt for each in server.requests if each.role == role and not each.results and each.prompt]
    assert [prompt for prompt, count in Counter(begun).items() if count > 1] == []
    return [prompt.strip().partition("\n")[0] for prompt in begun]


def remembered(server: ModelServer, role: Role) -> list[str]:
    """The same, as the last request of the session has them."""
    last = [each for each in server.requests if each.role == role][-1]
    return [*(line.strip() for line in last.earlier), last.prompt.strip().partition("\n")[0]]


@pytest.mark.parametrize("worker", ["codex", "claude"])
def test_a_turn_that_is_broken_off_continues_on_the_host_in_its_session_which_comes_home(tmp_path: Path, worker: str):
    long_check = LONG_CHECK.replace("ONCE", str(tmp_path / "once"))
    at = SCENARIO.read_text().index("^Iteration 1")
    scenario = SCENARIO.read_text()[:at] + SCENARIO.read_text()[at:].replace("python3 -m unittest 2>&1", long_check, 1)
    go = tmp_path / "go"
    scenario = held(scenario, "Iteration 2", "python3 -m unittest", go)
    with real_world(tmp_path, scenario, worker) as (world, host, server):
        loop = world.start("--agent", worker, "--check", CHECK, TASK)
        loop.wait_for("the long check")
        place(world, "worker", "big", "--now")
        loop.wait_for("worker moves from home to big")
        loop.wait_for("iteration 2 of 20: waits for")
        place(world, "worker", "home")
        go.touch()
        loop.wait_for("worker moves from big to home")
        finished(world, host, loop)
        assert placed(world) == {}
        assert remembered(server, "worker") == told(server, "worker")
        assert told(server, "worker")[:3] == ["Plan", "Iteration 1", "Iteration 1 (continued)"]
        assert len({line.split()[-1] for line in loop.lines if f" {worker} " in line and " session " in line}) == 1


def test_an_agent_with_a_window_of_its_own_leaves_it_for_a_host_and_has_it_again_at_home(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    scenario = Path(__file__).with_name("workspace.toml").read_text().replace("GATE", str(gate))
    with real_world(tmp_path, scenario) as (world, host, server):
        (world.project / "TASK.md").write_text(f"{TASK}\n")
        workspace = Workspace(world, tmp_path_factory.mktemp("tmux"))
        try:
            started(workspace, "--exit")
            workspace.shows("right", "The empty name is greeted with a hole.")
            place(world, "worker", "big")
            workspace.shows("right", "codex was ended")
            place(world, "reviewer", "big", "--now")
            workspace.shows("left", "claude was ended")
            workspace.shows("console", "reviewer moves from home to big")
            place(world, "worker", "home")
            workspace.shows("console", "worker moves from big to home")
            workspace.until(lambda: workspace.tui("right"), workspace.whole)
            place(world, "reviewer", "home")
            workspace.open_gate()
            workspace.wait_for_the_end()
            assert world.manifest()["state"] == "completed", workspace.whole()
            assert "The empty name is greeted as well." in workspace.screen("right")
            for role in ("worker", "reviewer"):
                assert remembered(server, role) == told(server, role)
            assert "Review round 1 (continued)" in told(server, "reviewer")
            assert host.left_at_last() == []
        finally:
            workspace.tmux("kill-server")
            workspace.drawn.close()
            world.wait_until_empty()
