"""What a person does to a run, with both real CLIs: codex at work, claude reviewing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import World
from tests.end_to_end.terminal import Terminal

pytestmark = pytest.mark.real_agents

SCENARIO = '''
[[turn]]
when = "^Iteration"
[[turn.step]]
say = "at work"
[[turn.step]]
run = "cat GATE"
[[turn.step]]
say = "half of it"

[[turn]]
when = "^Review round"
[[turn.step]]
run = "cat GATE"
[[turn.step]]
say = """
good

<review>PASS</review>"""

[[turn]]
when = "^please"
aside = true
[[turn.step]]
say = "I hear you"

[[turn]]
when = "."
[[turn.step]]
say = "as you say"
'''


@pytest.fixture
def gate(world: World) -> Path:
    gate = world.base / "gate"
    os.mkfifo(gate)
    (world.project / "TASK.md").write_text("Greet people politely.\n")
    return gate


@pytest.fixture
def own(world: World, gate: Path) -> Iterator[Terminal]:
    scenario = world.base / "gated.toml"
    scenario.write_text(SCENARIO.replace("GATE", str(gate)))
    with world.play_real(scenario):
        terminal = Terminal(world, "-p", "TASK.md", "-m", "3")
        yield terminal
        terminal.end()


def said_to_codex(world: World) -> str:
    return "".join(path.read_text() for path in (world.home / ".codex" / "sessions").rglob("*.jsonl"))


def test_a_person_talks_to_both_agents_pauses_interrupts_and_approves(own: Terminal, world: World, gate: Path):
    own.expect("cat .*gate")

    # into the turn that runs, and as a turn of its own
    own.ask("steer please use tabs", "codex gets it in the turn that runs")
    own.ask("say claude please be strict", "claude begins a turn with it")
    own.expect("claude +I hear you")
    gate.write_text("open")
    own.expect("codex +I hear you")

    # a turn that is interrupted spends its iteration; one that a pause interrupts goes on
    own.expect("cat .*gate")
    own.ask("interrupt", "interrupting codex's work turn")
    own.expect("iteration 3 of 3")
    own.expect("cat .*gate")
    own.ask("pause now", "pausing|paused")
    own.expect("paused, iteration 3 of 3: waits for a person to resume it")
    own.ask("resume", "iteration 3 of 3: waits for codex")

    # a review before the agent says that it is done, and a person who decides
    own.ask("review", "iteration 3 of 3")
    gate.write_text("open")
    own.expect("review round 1: waits for")
    own.ask("approve", "review round 1")
    own.expect("draft pull request")
    assert own.wait() == 0, own.text
    inputs = [entry for entry in said_to_codex(world).splitlines() if '"role":"user"' in entry]
    assert sum("please use tabs" in entry for entry in inputs) == 1
    assert world.survivors() == []
