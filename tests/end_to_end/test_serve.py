"""`loop submit`, `loop serve`, and the Procfile: many runs under one root, whatever happens to it."""

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from shell.control_client import ControlClient, control_endpoint
from supervisor.control.protocol import Control
from supervisor.submissions import FILE
from tests.end_to_end.conftest import CHECK, DEMO, TASK, Loop, World
from tests.end_to_end.test_kills import prompts_in_transcripts
from tests.lab.turns import held
from tests.lab.world import PATIENCE_S

ROOT = Path(__file__).parents[2]


def submit(world: World, *words: str, task: str = TASK) -> Loop:
    loop = world.run("submit", "--agent", "embedded", *words, task)
    assert loop.process.returncode == 0, loop.output
    return loop


def wait_for_line(loop: Loop, run: str, text: str) -> None:
    loop.wait_for(rf"/{run} loop +{text}")


def stop(loop: Loop, within_s: float = PATIENCE_S) -> None:
    """Asks it to stop, which takes it a second or two."""
    loop.signal(signal.SIGTERM)
    assert loop.wait(within_s) == 0, loop.output


def index(loop: Loop, pattern: str) -> int:
    return next(number for number, line in enumerate(loop.lines) if re.search(pattern, line))


def states(world: World, *runs: str) -> list[str]:
    return [world.manifest(run)["state"] for run in runs]


def play_hanging(world: World) -> None:
    scenario = world.base / "hang.toml"
    scenario.write_text('[[turn]]\nwhen = "."\n[[turn.step]]\nfault = { hang = true, times = 1000 }\n')
    world.play_embedded(scenario)


def test_what_was_submitted_before_is_done_in_order_and_not_more_at_once_than_allowed(embedded: World):
    for _ in range(3):
        assert "nothing is serving the queue" in submit(embedded).output
    assert states(embedded, "1", "2", "3") == ["submitted"] * 3
    listed = embedded.run("runs").output
    assert [line.split()[:2] for line in listed.splitlines()] == [[run, "submitted"] for run in ("3", "2", "1")]
    serve = embedded.start("serve", "--max-runs", "2")
    for run in ("1", "2", "3"):
        wait_for_line(serve, run, "over: completed")
    assert "ready: pid" in serve.lines[0]
    starts = [index(serve, rf"/{run} loop +starts in") for run in ("1", "2", "3")]
    assert starts == sorted(starts)
    assert starts[2] > min(index(serve, rf"/{run} loop +over: ") for run in ("1", "2"))
    assert states(embedded, "1", "2", "3") == ["completed"] * 3
    for run in ("1", "2", "3"):
        place = embedded.project.parent / f"project-loop-{run}"
        assert embedded.manifest(run)["cwd"] == str(place)
        assert "Hello, {name.strip()" in (place / "greeting.py").read_text()
        log = (embedded.run_directory(run) / "log").read_text()
        assert {line.split()[4].rpartition("/")[0] for line in log.splitlines() if line.startswith("20")} == {
            f"{embedded.manifest(run)['repoId']}/{run}"
        }
        assert "worker#1 is ready" in log
    assert "Hello {name}" in (embedded.project / "greeting.py").read_text()
    stop(serve)
    assert embedded.survivors() == []


def test_a_killed_serve_is_taken_up_by_the_next_and_nothing_happens_twice(embedded: World):
    go, scenario = embedded.base / "go", embedded.base / "held.toml"
    scenario.write_text(held(DEMO.read_text(), "Draft pull request", "git checkout", go))
    embedded.play_embedded(scenario)
    serve = embedded.start("serve")
    serve.wait_for("ready: pid")
    for _ in range(2):
        assert "nothing is serving" not in submit(embedded, "--check", CHECK).output
    wait_for_line(serve, "1", "iteration 1 of 20")
    wait_for_line(serve, "2", "plan")
    serve.signal(signal.SIGKILL)
    serve.process.wait()
    embedded.wait_until_empty()
    go.touch()
    again = embedded.start("serve", "--log-format", "json")
    again.wait_for('"run":"[^"]*/1".*over: completed')
    again.wait_for('"run":"[^"]*/2".*over: completed')
    assert "2 in the queue" in json.loads(again.lines[0])["text"]
    stop(again)
    assert all(json.loads(line)["at"] for line in again.lines)
    assert states(embedded, "1", "2") == ["completed"] * 2
    assert max(prompts_in_transcripts(embedded.home).values()) <= 2  # one of each run
    assert embedded.survivors() == []


def test_a_signal_stops_within_five_seconds_in_mid_turn_and_the_run_goes_on_by_itself(world: World):
    play_hanging(world)
    submit(world)
    serve = world.start("serve")
    serve.wait_for("/1 .*session")
    stop(serve, within_s=10)  # on a busy machine
    assert world.survivors() == []
    assert states(world, "1") == ["submitted"]
    assert "the next loop serve resumes it" in world.run("status", "1").output
    assert "resume with the next loop serve" in serve.output
    world.play_embedded(DEMO)
    again = world.start("serve")
    wait_for_line(again, "1", "over: completed")
    stop(again)
    assert set(prompts_in_transcripts(world.home).values()) == {1}


def test_a_run_that_was_stopped_stays_stopped_until_it_is_submitted_again(world: World):
    play_hanging(world)
    for _ in range(3):
        submit(world)
    serve = world.start("serve", "--max-runs", "2")
    serve.wait_for("/1 .*session")
    serve.wait_for("/2 .*session")
    assert world.run("stop", "3").process.returncode == 0
    status = json.loads(world.run("status", "1", "--json").output)
    assert (status["running"], status["root_pid"]) == (True, serve.process.pid)
    console = ControlClient(control_endpoint(world.run_directory("1")), alive=lambda: True)
    try:
        console.ask(Control(action="stop"))
    finally:
        console.close()
    assert not (world.run_directory("1") / FILE).exists()  # before it has stopped: a kill now changes nothing
    wait_for_line(serve, "1", "over: stopped")
    assert states(world, "1", "3") == ["stopped", "stopped"]
    serve.signal(signal.SIGKILL)
    serve.process.wait()
    world.wait_until_empty()
    again = world.start("serve", "--max-runs", "2")
    again.wait_for("1 in the queue")
    wait_for_line(again, "2", "starts in")
    stop(again)
    assert [line for line in again.lines if re.search("/[13] ", line)] == []
    world.play_embedded(DEMO)
    assert world.run("submit", "--run-id", "1").process.returncode == 0
    last = world.start("serve", "--max-runs", "2")
    for run in ("1", "2"):
        wait_for_line(last, run, "over: completed")
        assert world.manifest(run)["cwd"] == str(world.project.parent / f"project-loop-{run}")
    stop(last)


def test_there_is_one_serve_for_a_home(embedded: World):
    first = embedded.start("serve")
    first.wait_for("ready: pid")
    second = embedded.run("serve")
    assert second.process.returncode == 2
    assert f"already active in process {first.process.pid}" in second.output
    stop(first)


UNWILLING = """
[[turn]]
role = "worker"
when = '(?s)^Plan.*Write no plan'
[[turn.step]]
say = "I write none."

"""


def test_a_run_that_fails_is_nothing_to_the_others_and_is_not_tried_again(world: World):
    scenario = world.base / "scenario.toml"
    scenario.write_text(UNWILLING + DEMO.read_text())
    world.play_embedded(scenario)
    submit(world, task="Write no plan")
    submit(world)
    submit(world)
    shutil.rmtree(world.project.parent / "project-loop-3")
    serve = world.start("serve", "--max-runs", "2")
    wait_for_line(serve, "1", "error: over: failed: ")
    wait_for_line(serve, "3", "error: over: failed: cannot start: .*project-loop-3 no longer exists")
    wait_for_line(serve, "2", "over: completed")
    assert states(world, "1", "2", "3") == ["failed", "completed", "failed"]
    stop(serve)
    again = world.start("serve")
    again.wait_for("0 in the queue")
    stop(again)


MANAGERS = [
    pytest.param((sys.executable, "-m", "honcho"), id="honcho"),
    pytest.param(
        ("foreman",),
        id="foreman",
        marks=pytest.mark.skipif(shutil.which("foreman") is None, reason="foreman is not installed (.ci/run does it)"),
    ),
]


@pytest.fixture
def on_path(world: World) -> World:
    """The world with `loop` on its PATH, and our Procfile."""
    program = world.base / "bin" / "loop"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shell.cli "$@"\n')
    program.chmod(0o755)
    shutil.copy(ROOT / "Procfile", world.base / "Procfile")
    return world


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_procfile_manager_starts_it_shows_its_lines_and_stops_everything(on_path: World, manager: tuple[str, ...]):
    world = on_path
    play_hanging(world)
    for _ in range(2):
        submit(world)
    managed = world.start_program(*manager, "start", cwd=str(world.base))
    managed.wait_for(r"loop\.1.* serve loop +ready: pid")
    managed.wait_for(r"loop\.1.*/1 .*session")
    managed.wait_for(r"loop\.1.*/2 .*session")
    managed.kill("worker", "1")
    managed.wait_for(r"/1 loop +worker ended: crash")
    os.killpg(managed.process.pid, signal.SIGINT)  # as a terminal does
    managed.wait()
    assert world.survivors() == []
    assert "SIGKILL" not in managed.output
    assert "serve loop       stopped" in managed.output
    assert states(world, "1", "2") == ["submitted", "submitted"]
