"""Hooks of whole runs: one that stops the run, and one that is killed with its root."""

import json
import os
import signal

import pytest

from tests.end_to_end.conftest import CHECK, DEMO, TASK, play_brief
from tests.lab.world import World


def configure(world: World, text: str) -> None:
    folder = world.home / ".loop"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "config.toml").write_text(f"[hooks]\n{text}\n")


def test_a_hook_stops_a_run_with_its_words_and_the_resumed_run_asks_it_again(world: World):
    play_brief(world, "true")
    configure(
        world, f"before_done = 'cat > {world.base}/facts; echo $LOOP_EVENT >&2; echo no deploy today >&2; exit 2'"
    )
    loop = world.run("--agent", "embedded", "-p", "TASK.md")
    assert loop.process.returncode == 1, loop.output
    assert world.manifest()["state"] == "failed"
    why = "the hook before_done stops the run: before_done; no deploy today"
    assert why in loop.output
    assert world.transcript()[-1]["detail"] == why
    facts = json.loads((world.base / "facts").read_text())
    assert (facts["event"], facts["run"], facts["directory"]) == ("before_done", "1", str(world.project))
    assert facts["tree"]
    configure(world, "before_done = 'exit 3'")
    loop = world.run("--run-id", "1")
    assert loop.process.returncode == 0, loop.output
    assert "hook before_done: exit status 3" in loop.output
    assert "review round 2" not in loop.output


def test_a_hook_that_is_killed_with_its_root_runs_again_and_its_turn_runs_once(world: World):
    play_brief(world, "true")
    began, go = world.base / "began", world.base / "go"
    os.mkfifo(began)
    text = f"before_turn = 'echo >> {world.base}/runs; [ -e {go} ] || {{ echo x > {began}; sleep 1000; }}'"
    configure(world, text)
    loop = world.start("--agent", "embedded", "-p", "TASK.md")
    assert began.read_text() == "x\n"  # returns when the hook has begun
    loop.signal(signal.SIGKILL)
    loop.wait()
    go.touch()
    loop = world.run("--run-id", "1")
    assert loop.process.returncode == 0, loop.output
    turns = ["work", "review", "review", "pull-request"]
    assert (world.base / "runs").read_text() == "\n" * (1 + len(turns))
    assert "iteration 2" not in loop.output


@pytest.mark.real_agents
def test_the_hooks_of_a_run_with_the_real_agents_run_at_their_moments_and_the_last_one_stops_it(world: World):
    seen = world.base / "moments"
    moments = ("before_turn", "after_turn", "before_check", "after_check", "before_review", "after_review")
    lines = [f"{moment} = 'echo $LOOP_EVENT >> {seen}'" for moment in moments]
    configure(
        world, "\n".join([*lines, f"before_done = 'echo $LOOP_EVENT >> {seen}; echo no deploy today >&2; exit 2'"])
    )
    with world.play_real(DEMO, "scripted"):
        loop = world.run("--check", CHECK, TASK)
    assert loop.process.returncode == 1, loop.output
    assert "the hook before_done stops the run: no deploy today" in loop.output
    told = seen.read_text().split()
    assert set(told) == {*moments, "before_done"}
    assert told.count("before_turn") == told.count("after_turn")
    assert told[:2] == ["before_turn", "after_turn"]
    check = told.index("before_check")
    assert told[check : check + 3] == ["before_check", "after_check", "before_review"]
    assert told[-2:] == ["after_review", "before_done"]
