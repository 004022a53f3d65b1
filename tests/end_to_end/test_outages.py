"""A provider that is away in every phase costs time and nothing else; who cannot work is not asked for ever."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.end_to_end.conftest import play_brief
from tests.lab.world import PATIENCE_S, World

FAULTS = "fault = { status = 529 }", "fault = { drop = true }", "fault = { status = 503 }"

SCENARIO = """
[[turn]]
when = "^Plan review"
FAULTS
[[turn.step]]
say = "The plan is good."

[[turn]]
when = "^Plan\\\\b"
FAULTS
[[turn.step]]
run = "echo 'Make x.' > PLAN.md"
[[turn.step]]
say = "It is written."

[[turn]]
when = "^Iteration"
FAULTS
[[turn.step]]
run = "echo x > x"
FAULTS
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
role = "worker"
when = "^Review round"
FAULTS
[[turn.step]]
say = "<review>PASS</review>"

[[turn]]
role = "reviewer"
when = "^Review round"
FAULTS
[[turn.step]]
send = { target = "worker", message = "it is fine" }
[[turn.step]] # until it is read: a prompt right behind it would replace its faults
run = "timeout 250 cat GATE"
[[turn.step]]
say = "<review>PASS</review>"

[[turn]]
when = "^Message from"
aside = true
FAULTS
[[turn.step]] # the message is repeated with each retry, and so is its answer
run = "test -p GATE && timeout 250 sh -c 'echo it is read > GATE' && rm GATE"
[[turn.step]]
say = "Understood."

[[turn]]
when = "^Draft"
FAULTS
[[turn.step]]
say = "none"
"""


def outages(world: World, *faults: str) -> Path:
    """The scenario's file."""
    gate = world.base / "gate"
    os.mkfifo(gate)
    steps = "\n".join(f"[[turn.step]]\n{fault}" for fault in faults)
    scenario = world.base / "outages.toml"
    scenario.write_text(SCENARIO.replace("FAULTS", steps).replace("GATE", str(gate)))
    return scenario


def check(world: World, output: str) -> None:
    """One iteration, one review round, each verdict given."""
    assert "iteration 2" not in output
    assert "review round 2" not in output
    assert "provider unavailable" in output
    assert re.search(r"retry 1 in \d+ s", output)
    reviews = [(line["reviewer"], line["status"]) for line in world.transcript() if line.get("kind") == "review"]
    assert sorted(status for _, status in reviews) == ["pass", "pass"]
    assert world.manifest()["state"] == "completed"


@pytest.mark.real_agents
@pytest.mark.parametrize("worker", ["codex", "claude"])
def test_an_outage_in_every_phase_costs_no_iteration_with_the_real_agents(world: World, worker: str):
    with world.play_real(outages(world, *FAULTS), worker=worker) as server:
        loop = world.run("--agent", worker, "Make x.")
        assert loop.process.returncode == 0, loop.output
        faults = [seen.fault for seen in server.requests if seen.fault]
    assert len(faults) == len(set(faults)) == SCENARIO.count("FAULTS") * len(FAULTS)
    check(world, loop.output)


FULL = """
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "echo x > x"
[[turn.step]]
fault = { refuses = "context" }
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]] # Claude Code asks for a summary, so as to go on in the same session
when = "^CRITICAL: Respond with TEXT ONLY"
[[turn.step]]
fault = { refuses = "context", times = 9 }
[[turn.step]]
say = "nothing"
"""


def play_full(world: World) -> None:
    """The worker's session is full in the middle of its work, and cannot be compacted."""
    play_brief(world, "true")
    scenario = world.base / "brief.toml"
    scenario.write_text(FULL + scenario.read_text())


def check_moved(world: World, output: str) -> None:
    assert "a new one takes the turn over" in output
    assert "iteration 2" not in output
    assert world.manifest()["state"] == "completed"


def test_a_reviewer_that_is_logged_out_ends_the_run_with_that_word_and_no_iteration_more(world: World):
    play_brief(world, "true")
    scenario = world.base / "brief.toml"
    fault = "[[turn]]\nrole = 'reviewer'\nwhen = '^Review'\n[[turn.step]]\nfault = { status = 401, times = 2 }\n"
    scenario.write_text(f"{fault}[[turn.step]]\nsay = '<review>PASS</review>'\n{scenario.read_text()}")
    loop = world.run("--agent", "embedded", "-p", "TASK.md")
    assert loop.process.returncode == 1, loop.output
    assert "iteration 2" not in loop.output
    assert re.search(r"run 1 failed: review round 1: embedded-reviewer's turn failed: .*401", loop.output), loop.output
    loop = world.run("--run-id", "1")
    assert loop.process.returncode == 0, loop.output
    assert "iteration 2" not in loop.output


@pytest.mark.real_agents
@pytest.mark.parametrize(("worker", "reviewer"), [("codex", "claude"), ("claude", "codex")])
def test_a_full_session_hands_its_turn_over_and_a_reviewer_without_credit_ends_the_run_with_that_word(
    world: World, worker: str, reviewer: str
):
    play_full(world)
    scenario = world.base / "brief.toml"
    fault = "[[turn]]\nrole='reviewer'\nwhen='^Review'\n[[turn.step]]\nfault = { refuses = 'billing', times = 2 }\n"
    scenario.write_text(f"{fault}[[turn.step]]\nsay = '<review>PASS</review>'\n{scenario.read_text()}")
    with world.play_real(scenario, worker=worker):
        loop = world.run("--agent", worker, "-p", "TASK.md")
        assert loop.process.returncode == 1, loop.output
        words = rf"run 1 failed: review round 1: {reviewer}'s turn failed: .*(credit balance|quota)"
        assert re.search(words, loop.output, re.IGNORECASE), loop.output
        resumed = world.run("--run-id", "1")
        assert resumed.process.returncode == 0, resumed.output
    check_moved(world, loop.output + resumed.output)


@pytest.mark.real_agents
def test_a_codex_without_a_server_that_it_requires_is_asked_twice(world: World):
    play_brief(world, "true")
    with world.play_real(world.base / "brief.toml"):
        configuration = world.home / ".codex" / "config.toml"
        missing = '\n[mcp_servers.tickets]\ncommand = "no-such-program"\nrequired = true\n'
        configuration.write_text(configuration.read_text() + missing)
        loop = world.run("-p", "TASK.md")
    assert loop.process.returncode == 1, loop.output
    assert re.search(r"run 1 failed: iteration 1 of 20: codex's turn failed: .*tickets", loop.output), loop.output
    assert loop.output.count("; retry 1 in ") == 1
    assert "retry 2" not in loop.output
    assert "iteration 2" not in loop.output


LOST = """
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "echo x > x"
[[turn.step]]
fault = { hang = true }
[[turn.step]]
say = "<promise>DONE</promise>"
"""


@pytest.mark.real_agents
@pytest.mark.parametrize(("worker", "sessions"), [("codex", ".codex/sessions"), ("claude", ".claude/projects")])
def test_a_real_session_that_is_gone_hands_its_turn_to_a_new_one(world: World, worker: str, sessions: str):
    play_brief(world, "true")
    scenario = world.base / "brief.toml"
    scenario.write_text(LOST + scenario.read_text())
    with world.play_real(scenario, worker=worker) as server:
        loop = world.start("--agent", worker, "-p", "TASK.md")
        server.wait_for(lambda seen: bool(seen.fault), PATIENCE_S)
        loop.signal(signal.SIGKILL)
        loop.wait()
        world.wait_until_empty()
        shutil.rmtree(world.home / sessions)
        loop = world.run("--run-id", "1")
        assert loop.process.returncode == 0, loop.output
        prompts = [seen.prompt for seen in server.requests if seen.role == "worker"]
    assert re.search(r"session \S+ is gone \(.*\); a new one is begun", loop.output), loop.output
    handed_over = next(prompt for prompt in prompts if prompt.startswith("Iteration 1 (continued)"))
    for words in ("Your session does not exist any more.", "Make x.", "not committed: TASK.md, x"):
        assert words in handed_over
    assert "iteration 2" not in loop.output
