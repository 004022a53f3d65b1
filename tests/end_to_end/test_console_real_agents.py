"""What a person does to a run, with both real CLIs: each at work once, while the other one reviews."""

import re
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import World
from tests.end_to_end.terminal import Terminal

pytestmark = pytest.mark.real_agents

# Turns wait for files. Codex does not end a command with the turn that it interrupts, so a pipe, which lets one reader
# go on, would open to the wrong one.
SCENARIO = '''
[[turn]]
when = "^Iteration 1"
[[turn.step]]
run = "until [ -e first ]; do sleep 0.1; done"
[[turn.step]]
say = "half of it"

[[turn]]
when = "^Iteration"
[[turn.step]]
run = "until [ -e later ]; do sleep 0.1; done"
[[turn.step]]
say = "more of it"

[[turn]]
when = "^Review round"
[[turn.step]]
run = "until [ -e never ]; do sleep 0.1; done"
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


PEERS = {"codex": "claude", "claude": "codex"}


@pytest.fixture(params=PEERS)
def worker(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def own(world: World, worker: str) -> Iterator[Terminal]:
    scenario = world.base / "gated.toml"
    scenario.write_text(SCENARIO)
    (world.project / "TASK.md").write_text("Greet people politely.\n")
    with world.play_real(scenario):
        terminal = Terminal(world, "--agent", worker, "-p", "TASK.md", "-m", "3")
        yield terminal
        terminal.end()


def said_to(world: World, agent: str) -> list[str]:
    """Of the agent's own transcripts, the entries that are a user's words, of their own turn or in one that ran."""
    place, marks = {
        "codex": (".codex/sessions", ('"role":"user"',)),
        "claude": (".claude/projects", ('"type":"user"', '"type":"queued_command"')),
    }[agent]
    entries = [entry for path in (world.home / place).rglob("*.jsonl") for entry in path.read_text().splitlines()]
    return [entry for entry in entries if any(mark in entry for mark in marks)]


def test_a_person_talks_to_both_agents_pauses_interrupts_and_approves(own: Terminal, world: World, worker: str):
    peer = PEERS[worker]
    own.expect("-e first")

    # into the turn that runs, and as a turn of its own
    own.ask("steer please use tabs", f"{worker} gets it in the turn that runs")
    # its program may be starting
    own.ask(f"say {peer} please be strict", f"{peer} (begins a turn with it|has not taken it yet)")
    own.expect(f"{peer} +I hear you")
    (world.project / "first").touch()
    own.expect(f"{worker} +half of it")  # and it has heard: at once, or when the command was over

    # a turn that is interrupted spends its iteration; one that a pause interrupts is continued
    own.expect("-e later")
    own.ask("interrupt", f"interrupting {worker}'s work turn")
    own.expect("iteration 3 of 3")
    own.expect("-e later")
    own.ask("pause now", "pausing|paused")
    own.expect("paused, iteration 3 of 3: waits for the user to resume it")
    own.ask("resume", f"iteration 3 of 3: waits for {worker}")

    # a review before the agent says that it is done, and a person who decides
    own.ask("review", "iteration 3 of 3")
    (world.project / "later").touch()
    own.expect("review round 1: waits for")
    own.ask("approve", "review round 1")
    own.expect("draft pull request")
    assert own.wait() == 0, own.text
    assert re.search(f"{worker} +I hear you", own.text)
    assert sum("please use tabs" in entry for entry in said_to(world, worker)) == 1
    assert sum("please be strict" in entry for entry in said_to(world, peer)) == 1
    assert world.survivors() == []
