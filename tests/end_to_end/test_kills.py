"""kill -9 of any process at any point of a run: the run still completes, and nothing happens twice."""

import json
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from tests.end_to_end.conftest import CHECK, DEMO, TASK, Loop, World
from tests.lab.turns import held
from tests.lab.world import PATIENCE_S

# Ten points of the run, by the line that is shown when it is reached.
POINTS = [
    r"planning: waits for embedded",
    r"plan review: waits for embedded",
    r"iteration 1 of 20: waits for",
    r"I put comma and exclamation mark",
    r"checks of iteration 1",
    r"review round 1: waits for",
    r"send_message",
    r"iteration 2 of 20: waits for",
    r"review round 2: waits for",
    r"draft pull request: waits for embedded",
]
ACTORS = ["run", "worker", "reviewer", "bridge", "persistence"]


@pytest.fixture
def go(world: World) -> Path:
    """The run ends once there is this file: it is killed as often as a test wants, however late that is."""
    made = world.base / "go"
    scenario = world.base / "held.toml"
    scenario.write_text(held(DEMO.read_text(), "Draft pull request", "git checkout", made))
    world.play_embedded(scenario)
    return made


def prompts_in_transcripts(home: Path) -> Counter[str]:
    """How often each user message stands in the embedded agents' own transcripts."""
    found: Counter[str] = Counter()
    for path in (home / ".loop-embedded").glob("*.jsonl"):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if entry["kind"] == "prompt":
                found[entry["text"].strip()] += 1
    return found


def assert_nothing_lost_or_repeated(world: World) -> None:
    assert world.manifest()["state"] == "completed"
    prompts = prompts_in_transcripts(world.home)
    assert len(prompts) >= 9
    assert {text: count for text, count in prompts.items() if count > 1} == {}
    mails = [line for line in world.transcript() if "from" in line]
    assert len(mails) == 1
    assert sum("Message from" in text for text in prompts) == 1
    for line in (world.run_directory() / "transcript.jsonl").read_text().splitlines():
        json.loads(line)
    db = sqlite3.connect(world.run_directory() / "journal.sqlite")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def wait_for_point(loop: Loop, number: int) -> None:
    """Until the run has come this far. What was said while nobody listened is not shown, so a later point will do."""
    loop.wait_for("|".join(POINTS[number:]))


@pytest.mark.parametrize("first", range(len(ACTORS)), ids=ACTORS)
def test_actors_that_are_killed_one_after_another_cost_the_run_nothing(world: World, go: Path, first: int):
    """Over all parameters, each actor at each point."""
    loop = world.start("--agent", "embedded", "--check", CHECK, TASK)
    loop.wait_for("are ready")  # actors start side by side: the first lines may come before the last of them is up
    for number in range(len(POINTS)):
        actor = ACTORS[(first + number) % len(ACTORS)]
        wait_for_point(loop, number)
        loop.kill(actor)
        times = number // len(ACTORS) + 1
        ended = lambda actor=actor: sum(f"{actor} ended: crash (signal 9" in line for line in loop.lines)  # noqa: E731
        assert loop.wait_until(lambda ended=ended, times=times: ended() >= times, PATIENCE_S), loop.output
    go.touch()
    assert loop.wait() == 0, loop.output
    assert_nothing_lost_or_repeated(world)


@pytest.mark.parametrize("points", [range(0, 10, 2), range(1, 10, 2)], ids=["even", "odd"])
def test_a_root_that_is_killed_again_and_again_takes_everything_with_it_and_the_run_goes_on(
    world: World, go: Path, points: range
):
    loop = world.start("--agent", "embedded", "--check", CHECK, TASK)
    for number in points:
        wait_for_point(loop, number)
        loop.signal(signal.SIGKILL)
        loop.process.wait()
        world.wait_until_empty()
        loop = world.start("--agent", "embedded", "--run-id", "1")
    go.touch()
    assert loop.wait() == 0, loop.output
    assert_nothing_lost_or_repeated(world)


@pytest.mark.skipif("sys.platform != 'linux'", reason="the forkserver is Linux only; elsewhere there is none to kill")
def test_a_killed_forkserver_takes_all_actors_with_it_and_the_run_goes_on(world: World, go: Path):
    loop = world.start("--agent", "embedded", "--check", CHECK, TASK)
    loop.wait_for(POINTS[3])
    loop.forkserver().kill()
    go.touch()
    assert loop.wait() == 0, loop.output
    assert_nothing_lost_or_repeated(world)


@pytest.mark.skipif("sys.platform != 'linux'", reason="the forkserver is Linux only; elsewhere there is none to stop")
def test_nothing_outlives_a_killed_root_though_its_forkserver_is_stopped(hanging: World):
    loop = hanging.start("--agent", "embedded", TASK)
    loop.wait_for("are ready")
    loop.wait_for(r"embedded +session ")
    loop.forkserver().suspend()
    loop.signal(signal.SIGKILL)
    loop.process.wait()
    hanging.wait_until_empty()


def test_killed_agents_are_resumed_in_their_sessions(world: World, go: Path):
    loop = world.start("--agent", "embedded", "--check", CHECK, TASK)
    for actor, point in (("worker", POINTS[0]), ("worker", POINTS[3]), ("reviewer", POINTS[6])):
        loop.wait_for(point)
        loop.wait_for(r"embedded +session " if actor == "worker" else r"embedded-reviewer session ")
        loop.agent_of(actor).kill()
    go.touch()
    assert loop.wait() == 0, loop.output
    assert_nothing_lost_or_repeated(world)


@pytest.mark.real_agents
def test_killed_actors_cost_a_run_of_the_real_agents_nothing(real: World):
    loop = real.start("--check", CHECK, TASK)
    for actor, point in (("worker", r"I put comma and exclamation mark"), ("reviewer", r"I run the tests myself")):
        loop.wait_for(point)
        loop.kill(actor)
    assert loop.wait() == 0, loop.output
    assert real.manifest()["state"] == "completed"
    assert len([line for line in real.transcript() if "from" in line]) == 1


def test_the_portable_launcher_survives_the_same(world: World, go: Path):
    loop = world.start("--agent", "embedded", "--check", CHECK, TASK, LOOP_PORTABLE="1")
    loop.wait_for(POINTS[3])
    loop.kill("worker")
    loop.wait_for(POINTS[8])
    loop.signal(signal.SIGKILL)
    loop.process.wait()
    world.wait_until_empty()
    go.touch()
    resumed = world.run("--agent", "embedded", "--run-id", "1", LOOP_PORTABLE="1")
    assert resumed.process.returncode == 0, resumed.output
    assert_nothing_lost_or_repeated(world)
