"""Agents' actors on another host: a real sshd in a network namespace of the test's own, and embedded agents."""

import json
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from actors.edges import run_dir
from supervisor.hosts.far_sockets import far_socket
from tests.lab import inspection
from tests.lab.host_worlds import SCENARIO, TASK, configure, held_world, start, world_with_host, world_with_hosts, wrong
from tests.lab.offline_home import agent_environment, prepare_home
from tests.lab.ssh_hosts import SHIM, configured, missing, ssh_host
from tests.lab.stand_in_gh import put_gh
from tests.lab.world import CHECK, MARK, World

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

LEASE = {"stop_after_s": 3.0, "lost_after_s": 8.5}


def test_a_run_completes_with_actors_on_a_host_and_the_work_is_at_home(tmp_path: Path):
    places = ("worker=big", "reviewer=big")
    with world_with_host(tmp_path) as (world, host):
        left = left_socket()
        loop = start(world, *places)
        loop.wait_for("are ready")
        agents = [line for line in host.left() if "actors.embedded.agent" in line]
        (known,) = json.loads(world.run("hosts", "--json").output)["hosts"]
        assert (known["name"], known["actors"], known["state"]) == ("big", ["worker", "reviewer"], "connected")
        loop.wait_for_approval()
        assert "embedded-reviewer -> embedded: greeting.py: greet" in loop.output  # mail, there and back
        assert "Understood: the empty name is mine to handle" in loop.output
        assert 'f"Hello, {name' in (world.project / "greeting.py").read_text()
        assert len(agents) <= len(places)
        assert host.left_at_last() == []
        assert not left.exists()
        manifest = run_dir.read_manifest(world.run_directory())
        assert manifest is not None
        assert manifest["places"] == dict(place.split("=") for place in places)


def left_socket() -> Path:
    """What a link that died long ago has left on the host."""
    path = Path(far_socket())
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(path))
    os.utime(path, (0, 0))
    return path


def test_a_submitted_run_has_its_agents_where_they_were_placed(tmp_path: Path):
    with world_with_host(tmp_path) as (world, host):
        submitted = world.run("submit", "--agent", "embedded", "--place", "worker=big", "--check", CHECK, TASK)
        assert submitted.process.returncode == 0, submitted.output
        serve = world.start("serve")
        serve.wait_for("/1 loop +over: completed")
        (tree,) = (host.folder / "loop" / "trees").glob("*/1/*")
        assert (tree.name, 'f"Hello, {name' in (tree / "greeting.py").read_text()) == ("worker", True)
        assert world.manifest()["places"] == {"worker": "big"}
        serve.signal(signal.SIGTERM)
        assert serve.wait() == 0
        assert host.left_at_last() == []


def test_both_agents_work_on_two_hosts(tmp_path: Path):
    with world_with_hosts(tmp_path, "big", "other") as (world, hosts):
        loop = start(world, "worker=big", "reviewer=other")
        loop.wait_for("are ready")
        assert [sum("actors.embedded.agent" in line for line in host.left()) <= 1 for host in hosts] == [True, True]
        loop.wait_for_approval()
        assert "embedded-reviewer -> embedded: greeting.py: greet" in loop.output  # mail, from host to host
        assert 'f"Hello, {name' in (world.project / "greeting.py").read_text()
        assert [next((host.folder / "loop" / "trees").glob("*/1/*")).name for host in hosts] == [
            "worker",
            "reviewer",
        ]
        assert [(host.folder / "loop" / "trees").stat().st_mode & 0o777 for host in hosts] == [0o700, 0o700]
        assert wrong(world, *hosts) == []
        assert [host.left_at_last() for host in hosts] == [[], []]


@pytest.mark.real_agents
@pytest.mark.parametrize("places", [("reviewer=big",), ("worker=big",), ("worker=big", "reviewer=other")])
def test_the_real_codex_and_claude_finish_a_task_where_they_are_placed(tmp_path: Path, places: tuple[str, ...]):
    names = {"worker": "codex", "reviewer": "claude"}
    agents = {host: names[role] for role, _, host in (place.partition("=") for place in places)}
    with World(tmp_path) as world, ExitStack() as stack:
        hosts = [stack.enter_context(ssh_host(tmp_path / name, name)) for name in agents]
        configure(world, *hosts)
        with world.play_real(SCENARIO, address=hosts[0].near) as server:
            for host in hosts:
                prepare_home(host.home, server.url, "worker", codex_model="")
                there = agent_environment(host.home, server.url, "reviewer", {"IS_SANDBOX": "1", MARK: world.mark})
                host.start_sshd(**there)
            words = [word for place in places for word in ("--place", place)]
            loop = world.start(*words, "--check", CHECK, TASK)
            loop.wait_for_approval()
            assert 'f"Hello, {name' in (world.project / "greeting.py").read_text()
            for host in hosts:
                sessions = {"claude": host.home / ".claude" / "projects", "codex": host.home / ".codex" / "sessions"}
                assert [name for name, folder in sessions.items() if folder.is_dir()] == [agents[host.name]]
            assert wrong(world, *hosts) == []
            assert [host.left_at_last() for host in hosts] == [[] for _ in hosts]


def test_the_pull_request_of_a_worker_that_is_away_is_opened_from_home(tmp_path: Path):
    with world_with_host(tmp_path) as (world, host):
        scenario = tmp_path / "commits.toml"
        publishes = ("git push", "gh pr create")
        lines = SCENARIO.read_text().splitlines(keepends=True)
        scenario.write_text("".join(line for line in lines if not line.startswith(publishes)))
        world.play_embedded(scenario)
        calls_there = put_gh(tmp_path / "bin-there")
        path = f"{calls_there.parent}{os.pathsep}{os.environ['PATH']}"
        host.start_sshd(PATH=path, LOOP_EMBEDDED_SCENARIO=str(scenario))
        loop = start(world, "worker=big")
        assert loop.wait() == 0, loop.output
        assert "draft pull request https://example.invalid/demo/pull/1" in loop.output
        (created,) = [call for call in world.gh_calls() if call.startswith("pr create")]
        assert "--draft --title Greet people politely" in created
        assert not calls_there.exists()


@pytest.mark.real_agents
@pytest.mark.parametrize(
    ("place", "when", "first", "later"),
    [
        ("worker=big", "review round 1: waits for", "Iteration 1", "Iteration 2"),
        ("reviewer=big", "iteration 2 of 20: waits for", "Review", "Review"),
    ],
)
def test_an_agent_whose_host_dies_continues_at_home_in_the_same_session(
    tmp_path: Path, place: str, when: str, first: str, later: str
):
    with World(tmp_path) as world, ssh_host(tmp_path / "big") as host:
        configure(world, host, **LEASE)
        with world.play_real(SCENARIO, address=host.near) as server:
            prepare_home(host.home, server.url, "worker", codex_model="")
            there = agent_environment(host.home, server.url, "reviewer", {"IS_SANDBOX": "1", MARK: world.mark})
            host.start_sshd(**there)
            loop = world.start("--place", place, "--check", CHECK, TASK)
            loop.wait_for(when)
            host.end_all()
            loop.wait_for("host big is given up")
            loop.wait_for_approval()
            role = place.partition("=")[0]
            last = [each for each in server.requests if each.role == role and each.prompt.startswith(later)][-1]
            assert [line for line in last.earlier if line.startswith(first)], last.earlier
            assert wrong(world, host) == []


def test_a_link_that_comes_back_costs_no_turn(tmp_path: Path):
    with world_with_host(tmp_path, stop_after_s=3.0, lost_after_s=120.0) as (world, host):
        loop = start(world, "reviewer=big")
        loop.wait_for("review round 1: waits for")
        host.end_connections()
        loop.wait_for("host big is back")
        loop.wait_for_approval()
        assert wrong(world, host) == []


def test_a_host_that_does_not_come_back_is_replaced_by_home_and_nobody_works_there_any_more(tmp_path: Path):
    once = tmp_path / "once"
    long_check = f": the long check; test -e {once} || {{ touch {once}; sleep 600; }}"
    with world_with_host(tmp_path, **LEASE) as (world, host):
        scenario = tmp_path / "long.toml"
        at = SCENARIO.read_text().index("^Iteration 1")
        text = SCENARIO.read_text()[at:].replace("python3 -m unittest 2>&1", long_check, 1)
        scenario.write_text(SCENARIO.read_text()[:at] + text)
        world.play_embedded(scenario)
        host.start_sshd(LOOP_EMBEDDED_SCENARIO=str(scenario))
        loop = start(world, "worker=big")
        loop.wait_for("the long check")
        host.cut()
        loop.wait_for("host big is given up: worker continue")
        assert host.left() == []  # its lease ended before
        loop.wait_for_approval()
        assert 'f"Hello, {name' in (world.project / "greeting.py").read_text()
        told = inspection.told_in_run(world.home, world.run_directory())["worker"]
        (unknown,) = [each.text for each in told if "The outcome of your last command there is not known" in each.text]
        assert ": the long check" in unknown
        host.mend()


def test_kills_of_an_actor_a_shim_and_the_root_cost_nothing(tmp_path: Path):
    with held_world(tmp_path, "Draft pull request", "git checkout") as (world, host, go):
        loop = start(world, "worker=big")
        loop.wait_for("iteration 1 of 20: waits for embedded")
        loop.kill("worker")
        loop.wait_for("iteration 2 of 20: waits for embedded")
        assert host.kill(SHIM) == 1
        loop.wait_for("review round 2: waits for")
        loop.signal(signal.SIGKILL)
        loop.wait()
        go.touch()
        loop = world.start("--agent", "embedded", "--run-id", "1")
        loop.wait_for_approval()
        assert host.left_at_last() == []
        assert wrong(world, host) == []


def test_doctor_says_of_each_host_what_an_agent_would_find_there(tmp_path: Path):
    with world_with_host(tmp_path) as (world, host):
        config = world.home / ".loop" / "config.toml"
        away = configured(host).replace("[hosts.big]", "[hosts.fresh]").replace("python =", "ssh = 'big'\nprepare =")
        config.write_text(f"{config.read_text()}\n{away}\n[hosts.gone]\nssh = 'nowhere.invalid'\n")
        found = {each["subject"]: each for each in json.loads(world.run("doctor", "--json").output)["findings"]}
        assert "reachable, this version of loop is there; Python 3." in found["big"]["text"]
        assert "loop will be installed there" in found["fresh"]["text"]
        assert (found["gone"]["level"], "there is no such host" in found["gone"]["text"]) == ("problem", True)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("nowhere.invalid", "--place reviewer=nowhere.invalid: there is no such host"),
        ("-oProxyCommand=x", "is no host's name"),
    ],
)
def test_a_host_that_cannot_be_is_one_line_before_anything_is_made(tmp_path: Path, host: str, words: str):
    with World(tmp_path) as world:
        world.play_embedded(SCENARIO)
        configure(world)
        for command in ([], ["submit"]):
            loop = world.run(*command, "--agent", "embedded", "--place", f"reviewer={host}", TASK)
            assert (loop.process.returncode, len(loop.lines)) == (2, 1), loop.output
            assert words in loop.output
        assert [path.name for path in (world.home / ".loop").iterdir()] == ["config.toml"]  # nothing was made
