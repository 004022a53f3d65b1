"""An actor that ends too often: the run asks a person what is to be done, where there is one, and fails elsewhere."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from itertools import cycle, islice

import pytest

from supervisor.run_tree import CHILDREN
from supervisor.spec import Intensity
from tests.end_to_end.conftest import DEMO, TASK, Loop, World
from tests.end_to_end.terminal import Terminal

MOST = Intensity().max_restarts
RUN = ("--agent", "embedded", TASK)


def kill_too_often(kill: Callable[[str], object], wait: Callable[[], object]) -> str:
    """Kills them in turn, so that the back-off stays short, and waits for each but the last. Returns the last one."""
    *before, last = islice(cycle(CHILDREN), MOST + 1)
    for actor in before:
        kill(actor)
        wait()
    kill(last)
    return last


def kill_in(world: World, loop: Loop, run_id: str = "1") -> str:
    """In a run whose output is followed line by line."""

    def count() -> int:
        return sum("reviewer are ready" in line for line in loop.lines)

    loop.wait_for("reviewer are ready")
    seen = count()

    def wait() -> None:
        nonlocal seen
        assert loop.wait_until(lambda: count() > seen, 60), loop.output
        seen = count()

    return kill_too_often(lambda actor: os.kill(loop.pid_of(actor, run_id), signal.SIGKILL), wait)


@pytest.fixture
def own(world: World, hanging: World) -> Iterator[Terminal]:
    terminal = Terminal(world, *RUN)
    yield terminal
    terminal.end()


def stand_still(world: World, own: Terminal) -> str:
    own.expect("are ready")

    def kill(actor: str) -> None:
        os.kill(world.pid_of(actor), signal.SIGKILL)

    return kill_too_often(kill, lambda: own.expect("are ready"))


def test_a_person_restarts_a_run_whose_actor_ended_too_often(world: World, own: Terminal):
    last = stand_still(world, own)
    own.expect(rf"question: restart {last}, or stop\? {last} ended: crash .signal 9.; no more than {MOST} restarts")
    text = own.ask("status", "reviewer +(stopped|dead)")
    assert "run 1  input-required  planning: stands still" in text
    assert re.search(rf"question +restart {last}, or stop\?", text)
    assert re.search(rf"{last} +dead +2 restarts; crash \(signal 9\); not restarted again", text)
    assert world.manifest()["state"] == "input-required"
    own.ask("say embedded hello", "error: worker is (dead|stopped) .*: start worker first")
    own.ask("kill nobody", "error: no actor 'nobody'")
    world.play_embedded(DEMO)
    own.ask(f"restart {last}", f"{last} is being started, and the others with it")
    own.expect("are ready")
    own.expect("loop>")
    own.ask("status", "working")
    assert world.manifest()["state"] == "working"
    own.type("stop")
    assert own.wait() == 1
    assert world.survivors() == []


def test_a_person_ends_a_run_whose_actor_ended_too_often(world: World, own: Terminal):
    stand_still(world, own)
    own.expect("question: restart")
    own.type("stop")
    assert own.wait() == 1
    assert "run 1 stopped: stopped from a console" in own.text
    assert world.manifest()["state"] == "stopped"
    assert world.survivors() == []


def test_a_run_that_nobody_attends_fails_when_an_actor_ends_too_often(hanging: World):
    loop = hanging.start(*RUN)
    kill_in(hanging, loop)
    assert loop.wait() == 1
    assert f"run 1 failed: {CHILDREN[MOST % 4]} ended: crash (signal 9); no more than {MOST} restarts" in loop.output
    assert hanging.manifest()["state"] == "failed"
    assert hanging.survivors() == []


def test_under_serve_a_run_stands_still_and_takes_no_place_until_a_person_restarts_it(hanging: World):
    world = hanging
    for _ in range(2):
        assert world.run("submit", *RUN).process.returncode == 0
    serve = world.start("serve", "--max-runs", "1")
    last = kill_in(world, serve)
    serve.wait_for(rf"/1 loop +question: restart {last}, or stop\? .* Answer in: loop shell project-[0-9a-f]+/1")
    serve.wait_for("/2 loop +starts in")
    report = json.loads(world.run("status", "1", "--json").output)
    assert (report["running"], report["state"]) == (True, "input-required")
    assert report["question"].startswith(f"restart {last}, or stop?")
    assert {actor["name"]: actor["state"] for actor in report["actors"]} == {
        name: "dead" if name == last else "stopped" for name in CHILDREN
    }
    shell = Terminal(world, "shell", "1")
    try:
        shell.ask(f"start {last}", f"{last} is being started")
        shell.expect("are ready")
    finally:
        shell.end()
    assert world.run("stop", "1").process.returncode == 0
    serve.wait_for("/1 loop +over: stopped")
    serve.signal(signal.SIGTERM)
    assert serve.wait(10) == 0
    assert world.survivors() == []
