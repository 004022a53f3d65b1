"""What a person does to a run, with both real CLIs: each at work once, while the other one reviews."""

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


PEERS = {"codex": "claude", "claude": "codex"}


@pytest.fixture(params=PEERS)
def worker(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def own(world: World, gate: Path, worker: str) -> Iterator[Terminal]:
    scenario = world.base / "gated.toml"
    scenario.write_text(SCENARIO.replace("GATE", str(gate)))
    with world.play_real(scenario):
        terminal = Terminal(world, "--agent", worker, "-p", "TASK.md", "-m", "3")
        yield terminal
        terminal.end()


def said_to(world: World, agent: str) -> list[str]:
    """Of the agent's own transcripts, the entries that are a user's words."""
    place, marks = {"codex": (".codex/sessions", '"role":"user"'), "claude": (".claude/projects", '"type":"user"')}[
        agent
    ]
    files = (world.home / place).rglob("*.jsonl")
    return [entry for path in files for entry in path.read_text().splitlines() if marks in entry]


def test_a_person_talks_to_both_agents_pauses_interrupts_and_approves(
    own: Terminal, world: World, gate: Path, worker: str
):
    peer = PEERS[worker]
    own.expect("cat .*gate")

    # into the turn that runs, and as a turn of its own
    own.ask("steer please use tabs", f"{worker} gets it in the turn that runs")
    own.ask(f"say {peer} please be strict", f"{peer} begins a turn with it")
    own.expect(f"{peer} +I hear you")
    gate.write_text("open")
    own.expect(f"{worker} +I hear you")

    # a turn that is interrupted spends its iteration; one that a pause interrupts goes on
    own.expect("cat .*gate")
    own.ask("interrupt", f"interrupting {worker}'s work turn")
    own.expect("iteration 3 of 3")
    own.expect("cat .*gate")
    own.ask("pause now", "pausing|paused")
    own.expect("paused, iteration 3 of 3: waits for a person to resume it")
    own.ask("resume", f"iteration 3 of 3: waits for {worker}")

    # a review before the agent says that it is done, and a person who decides
    own.ask("review", "iteration 3 of 3")
    gate.write_text("open")
    own.expect("review round 1: waits for")
    own.ask("approve", "review round 1")
    own.expect("draft pull request")
    assert own.wait() == 0, own.text
    assert sum("please use tabs" in entry for entry in said_to(world, worker)) == 1
    assert sum("please be strict" in entry for entry in said_to(world, peer)) == 1
    assert world.survivors() == []
