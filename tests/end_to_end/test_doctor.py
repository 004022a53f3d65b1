"""`loop doctor` as a process: agents that are there, missing, not logged in; leftovers of a run that was killed."""

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from actors.edges import processes
from tests.end_to_end.conftest import DEMO, TASK, Loop, World
from tests.end_to_end.terminal import Terminal
from tests.lab.offline_home import TOKEN
from tests.lab.world import PATIENCE_S, kill


@pytest.fixture(autouse=True)
def runtime(world: World) -> Iterator[Path]:
    """A place for sockets that no other test uses; short, as a socket's path must be."""
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        world.environment |= {"XDG_RUNTIME_DIR": base, "IS_SANDBOX": "1"}
        yield Path(base)


PLAIN_AGENT = Path(__file__).parents[1] / "actors" / "adapters" / "plain_acp_agent.py"


def line(loop: Loop, subject: str) -> str:
    """What is said of it, blanks counted once."""
    found = [" ".join(each.split()) for each in loop.lines if each[11:26].strip() == subject]
    assert len(found) == 1, loop.output
    return found[0]


def set_gh(world: World, script: str) -> None:
    (world.base / "bin" / "gh").write_text(f"#!/bin/sh\n{script}\n")


# --- agents and tools -----------------------------------------------------------------------------------------------


@pytest.mark.real_agents
def test_with_both_agents_logged_in_a_run_can_start(real: World, runtime: Path):
    real.environment["XDG_RUNTIME_DIR"] = str(runtime)
    set_gh(real, 'case "$1" in --version) echo "gh version 2.40.1 (2026)";; auth) echo "Token: gho_secret";; esac')
    loop = real.run("doctor")
    assert loop.process.returncode == 0, loop.output
    assert loop.lines[-1] == "a run can start here: loop TASK"
    for agent in ("codex", "claude"):
        assert line(loop, agent).startswith(f"ok {agent} ")
        assert "logged in" in line(loop, agent)
    assert "ok gh 2.40.1, logged in" in line(loop, "gh")
    assert not any(secret in loop.output for secret in (TOKEN, "gho_secret"))
    assert not (real.home / ".loop").exists()


def test_agents_that_are_not_logged_in_are_named_with_the_next_step(world: World):
    loop = world.run("doctor")
    assert loop.process.returncode == 1
    assert "PROBLEM codex codex is not logged in: run codex login (0." in line(loop, "codex")
    assert "PROBLEM claude claude is not logged in: run `" in line(loop, "claude")
    assert "auth login" in line(loop, "claude")
    assert loop.lines[-1] == "no run can start here: no agent is ready, here or on a host"


def test_one_agent_is_enough_and_the_way_to_use_it_is_named(world: World):
    loop = world.run("doctor", "--json", ANTHROPIC_API_KEY="sk-ant-no-such-key")
    assert loop.process.returncode == 0, loop.output
    found = json.loads(loop.lines[-1])
    assert (found["can_start"], found["starts"]) == (True, ["claude-loop TASK"])
    facts = {each["subject"]: each["facts"] for each in found["findings"] if each["area"] == "agents"}
    assert (facts["claude"]["login"], facts["codex"]["login"]) == (True, False)
    assert Path(facts["claude"]["path"]).is_file()
    assert facts["codex"]["version"]
    assert "sk-ant-no-such-key" not in loop.output


def test_an_agent_whose_sdk_is_missing_is_named_with_the_extra(world: World):
    program = "import sys; sys.modules['openai_codex'] = None; from shell.cli import main; sys.exit(main(['doctor']))"
    loop = world.start_program(sys.executable, "-c", program)
    assert loop.wait() == 1
    assert line(loop, "codex") == "PROBLEM codex the Codex SDK is not installed: pip install 'pairloop[codex]'"


def test_agents_of_the_configuration_are_looked_at_as_well(world: World):
    (world.home / ".loop").mkdir()
    (world.home / ".loop" / "config.toml").write_text(
        f'[agents.mine]\ncommand = ["{sys.executable}", "{PLAIN_AGENT}"]\n'
        '[agents.other]\ncommand = ["no-such-program-here"]\n'
        '[agents.bare]\ncommand = ["sh", "-c", "echo Welcome to Bare; read line; exit 0"]\n'
    )
    loop = world.run("doctor")
    assert loop.process.returncode == 0, loop.output
    assert line(loop, "mine") == f"ok mine speaks ACP 1, {sys.executable}"
    assert "agent 'bare': it exited with status 0: Welcome to Bare" in line(loop, "bare")
    assert "program 'no-such-program-here' was not found: install it" in line(loop, "other")
    assert loop.lines[-1] == "a run can start here, but not with codex and claude: loop --agent mine TASK"


def test_a_configuration_that_is_wrong_blocks_and_the_rest_is_looked_at_all_the_same(world: World):
    (world.project / ".loop.toml").write_text("[agents.x]\ncommand = 7\n")
    loop = world.run("doctor", LOOP_RUN_ID="../x", LOOP_COOLDOWN_MS="soon")
    assert loop.process.returncode == 1
    assert "agents.x.command = 7" in line(loop, "configuration")
    assert "bad run id '../x'" in line(loop, "LOOP_RUN_ID")
    assert "'soon' is not a number" in loop.output
    assert line(loop, "git").startswith("ok git ")
    assert loop.lines[-1] == "no run can start here: see configuration, LOOP_RUN_ID"


@pytest.mark.skipif(os.getuid() != 0, reason="only root is refused")
def test_root_without_the_word_that_this_is_a_container_is_told(world: World):
    loop = world.run("doctor", IS_SANDBOX="")
    assert "set IS_SANDBOX=1" in line(loop, "user")
    assert "PROBLEM claude claude refuses to run unattended as root" in line(loop, "claude")


def test_a_program_that_hangs_holds_up_nobody_and_is_ended(world: World):
    set_gh(world, "sleep 1000 & sleep 1000")
    loop = world.start("doctor")
    loop.wait_for(r"waiting for .*gh")
    loop.wait_for(r"ok +tmux")
    assert loop.wait() == 1
    assert "cannot tell whether it is logged in: no answer in 10 s" in line(loop, "gh")
    assert line(loop, "ports").startswith("ok ports ")
    world.wait_until_empty()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('echo "To get started with GitHub CLI, please run:  gh auth login"; exit 1', "not logged in"),
        ("exit 4", "cannot tell whether it is logged in: it ended with status 4"),
    ],
)
def test_a_gh_that_is_of_no_use_costs_the_pull_request_and_nothing_else(world: World, script: str, said: str):
    set_gh(world, script)
    assert said in line(world.run("doctor"), "gh")


def test_tools_that_are_missing_are_named_with_the_way_to_get_them(world: World, tmp_path: Path):
    (tmp_path / "none").mkdir()
    loop = world.run("doctor", PATH=str(tmp_path / "none"))
    for tool in ("git", "tmux", "gh"):
        assert f"apt-get install {tool}" in line(loop, tool)


def test_a_foreign_package_of_the_name_supervisor_is_named_and_nothing_crashes(world: World, tmp_path: Path):
    (tmp_path / "foreign" / "supervisor").mkdir(parents=True)
    (tmp_path / "foreign" / "supervisor" / "__init__.py").write_text("")
    loop = world.run("doctor", PYTHONPATH=str(tmp_path / "foreign"))
    assert loop.process.returncode == 1
    assert str(tmp_path / "foreign" / "supervisor") in line(loop, "supervisor")
    assert "environment of its own" in line(loop, "supervisor")
    assert loop.lines[-1] == "no run can start here: see supervisor"
    assert "Traceback" not in loop.output


# --- places ---------------------------------------------------------------------------------------------------------


def test_a_home_that_cannot_be_written_blocks(world: World):
    (world.home / ".loop").write_text("")
    loop = world.run("doctor", ANTHROPIC_API_KEY="x")
    assert loop.process.returncode == 1
    assert f"PROBLEM files {world.home}/.loop: not a directory" in line(loop, "files")


def test_a_place_for_sockets_that_others_can_write_to_blocks(world: World, runtime: Path):
    shared = runtime / f"loop-{os.getuid()}"
    shared.mkdir()
    shared.chmod(0o777)
    loop = world.run("doctor", ANTHROPIC_API_KEY="x")
    assert loop.process.returncode == 1
    assert "must be yours, and not writable by others" in line(loop, "sockets")


# --- leftovers ------------------------------------------------------------------------------------------------------


def kill_so_that_something_is_left(world: World, loop: Loop) -> list[int]:
    """kill -9 of the root and its forkserver, while the worker and its agent stand still and notice nothing.

    The forkserver goes first, while its root is suspended: each of them ends everything when it sees the other's end.
    """
    loop.wait_for("are ready")
    loop.wait_for("embedded +session ")
    kept = [psutil.Process(loop.pid_of("worker", "dead")), loop.agent_of("worker", "dead")]
    root = psutil.Process(loop.process.pid)
    others = [each for each in root.children(recursive=True) if each not in kept]
    for process in (*kept, root):
        process.send_signal(signal.SIGSTOP)
    kill((*root.children(), root))
    loop.process.wait()
    kill(others)  # they see the end of the two by themselves
    assert all(processes.wait_ended(each.pid, PATIENCE_S) for each in others)
    return [each.pid for each in kept]


def make_old(path: Path) -> None:
    os.utime(path, (time.time() - 3600,) * 2)


@pytest.mark.skipif(
    "sys.platform != 'linux'", reason="elsewhere no forkserver has to be stopped for something to be left"
)
def test_leftovers_of_a_killed_run_are_found_and_cleaned_up_and_the_run_goes_on(hanging: World, runtime: Path):
    live = hanging.start("--agent", "embedded", TASK, LOOP_RUN_ID="live")
    live.wait_for("are ready")
    dead = hanging.start("--agent", "embedded", TASK, LOOP_RUN_ID="dead")
    pids = kill_so_that_something_is_left(hanging, dead)
    sockets = runtime / f"loop-{os.getuid()}"
    assert len(list(sockets.iterdir())) == 2

    report = hanging.run("doctor")
    (said,) = [each for each in report.lines if "root process is gone" in each]
    assert "2 processes still running" in said
    assert all(str(pid) in said for pid in pids)
    assert "loop doctor --fix" in said
    assert "/live" not in report.output
    assert all(map(processes.is_running, pids))
    assert hanging.manifest("dead")["state"] == "working"

    fixed = hanging.run("doctor", "--fix", "--json")
    (cleaned,) = json.loads(fixed.lines[-1])["cleaned"]
    assert cleaned["cleaned"] is True
    assert cleaned["text"] == "ended 2 processes; it is stopped; to resume it: loop --run-id dead"
    assert not any(map(processes.is_running, pids))
    assert hanging.manifest("dead")["state"] == "stopped"
    assert len(list(sockets.iterdir())) == 1
    assert "nothing was left behind" in hanging.run("doctor").output

    status = hanging.run("status", "live", "--json")
    assert json.loads(status.output)["running"] is True
    hanging.play_embedded(DEMO)
    resumed = hanging.run("--agent", "embedded", "--run-id", "dead")
    assert resumed.process.returncode == 0, resumed.output


@pytest.mark.parametrize(("answer", "state"), [("", "working"), ("y", "stopped")])
def test_on_a_terminal_it_asks_before_it_cleans_up(hanging: World, answer: str, state: str):
    loop = hanging.start("--agent", "embedded", TASK)
    loop.wait_for("iteration|planning: waits for")
    loop.signal(signal.SIGKILL)
    loop.process.wait()
    hanging.wait_until_empty()
    terminal = Terminal(hanging, "doctor")
    try:
        assert "its root process is gone" in terminal.expect(r"clean up 1 of these leftovers\? \[y/N\]")
        terminal.type(answer)
        assert terminal.wait() == 1
    finally:
        terminal.end()
    assert hanging.manifest()["state"] == state


def test_what_waits_for_loop_serve_is_no_leftover(embedded: World):
    embedded.run("submit", "--agent", "embedded", TASK)
    loop = embedded.run("doctor", "--fix")
    assert "nothing was left behind" in loop.output
    assert embedded.manifest()["state"] == "submitted"


def test_a_run_of_the_original_whose_process_lives_is_left_alone(world: World):
    directory = world.home / ".loop" / "runs" / "project-1" / "4"
    directory.mkdir(parents=True)
    manifest = {"runId": "4", "state": "working", "status": "running", "pid": os.getpid()}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    loop = world.run("doctor", "--fix")
    assert f"says working, and may still run in process {os.getpid()}: not touched" in loop.output
    assert json.loads((directory / "manifest.json").read_text())["state"] == "working"
    assert not (directory / "root.lock").exists()


def test_sockets_of_no_run_are_removed_unless_somebody_listens_or_they_are_new(world: World, runtime: Path):
    base = runtime / f"loop-{os.getuid()}"
    base.mkdir(mode=0o700)
    dead, called, rung, new = (base / name for name in ("0000000001-1", "0000000002-1", "0000000003-1", "0000000004-1"))
    for path in (dead, called, rung, new):
        path.mkdir()
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(dead / "bus.sock"))
    with socket.socket(socket.AF_UNIX) as call, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        call.bind(str(called / "console.sock"))
        call.listen()
        bell.bind(str(rung / "notify.sock"))
        for path in (dead, called, rung):
            make_old(path)
        loop = world.run("doctor", "--fix")
    assert "1 directory that belongs to no run" in loop.output
    assert "removed 1 directory" in loop.output
    assert sorted(base.iterdir()) == [called, rung, new]


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not there")
def test_a_tmux_session_in_which_nothing_runs_any_more_is_ended_and_others_are_not(
    embedded: World, tmp_path_factory: pytest.TempPathFactory
):
    embedded.environment["TMUX_TMPDIR"] = str(tmp_path_factory.mktemp("tmux"))

    def tmux(*words: str) -> Loop:
        return embedded.start_program("tmux", *words)

    try:
        embedded.run("--agent", "embedded", "--tmux", TASK)
        tmux("new-session", "-d", "-s", "mine", "sleep 1000").wait()
        pane = tmux("display-message", "-p", "-t", "project-loop-1", "#{pane_pid}")
        pane.wait()
        assert processes.wait_ended(int(pane.lines[0]), PATIENCE_S)
        report = embedded.run("doctor")
        assert "project-loop-1 shows how run 1 ended, and nothing runs in it; loop doctor --fix" in report.output
        fixed = embedded.run("doctor", "--fix")
        assert "ended project-loop-1" in fixed.output
        sessions = tmux("list-sessions", "-F", "#{session_name}")
        sessions.wait()
        assert sessions.lines == ["mine"]
    finally:
        tmux("kill-server").wait()
