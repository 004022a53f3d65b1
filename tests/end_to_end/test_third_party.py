"""Real third-party agents of the Agent Client Protocol, as worker and as reviewer, with each other and with claude."""

import os
import re
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.end_to_end.conftest import CHECK, TASK, Loop, World
from tests.end_to_end.terminal import Terminal
from tests.lab import third_party
from tests.lab.inspection import inspect
from tests.lab.world import SCENARIOS

pytestmark = [
    pytest.mark.real_agents,
    pytest.mark.skipif(
        not third_party.is_installed(third_party.cache_folder(os.environ)),
        reason="copilot and gemini are not installed: scripts/third-party says why",
    ),
]

CHAOS = SCENARIOS / "chaos.toml"
MAILS = [f"chaos mail {number}:" for number in range(1, 10)]


def program_of(loop: Loop, actor: str) -> psutil.Process:
    """The agent itself: what is installed is a wrapper that starts it as its child."""
    (wrapper,) = psutil.Process(loop.pid_of(actor)).children()
    return wrapper.children()[0]


def assert_nothing_lost_or_repeated(world: World) -> None:
    assert list(inspect(world.home, world.run_directory(), MAILS)) == []
    assert world.survivors() == []


def test_gemini_works_copilot_reviews_and_a_kill_of_either_and_of_the_root_costs_the_run_nothing(world: World):
    with world.play_real(CHAOS, worker="gemini", reviewer="copilot"):
        words = ("--agent", "gemini", "--peer", "copilot")
        loop = world.start(*words, "--check", CHECK, TASK)
        loop.wait_for("gemini +.*sed -i")
        program_of(loop, "worker").kill()
        loop.wait_for("gemini +the agent was lost: .*its session will be resumed")
        loop.wait_for("copilot +I look at the change")
        program_of(loop, "reviewer").kill()
        loop.wait_for("iteration 2 of")
        loop.signal(signal.SIGKILL)
        loop.process.wait()
        world.wait_until_empty()
        loop = world.start(*words, "--run-id", "1")
        assert loop.wait() == 0, loop.output
    assert_nothing_lost_or_repeated(world)


def test_claude_works_and_gemini_reviews(world: World):
    with world.play_real(CHAOS, worker="claude", reviewer="gemini"):
        loop = world.start("--agent", "claude", "--peer", "gemini", "--check", CHECK, TASK)
        assert loop.wait() == 0, loop.output
    assert_nothing_lost_or_repeated(world)


# Turns wait for files, so that a person is quicker than any agent.
GATED = '''
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "until [ -e first ]; do sleep 0.1; done"
[[turn.step]]
say = """
all of it

<promise>DONE</promise>"""

[[turn]]
when = "^Review round"
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
def own(world: World) -> Iterator[Terminal]:
    (world.base / "gated.toml").write_text(GATED)
    (world.project / "TASK.md").write_text("Greet people politely.\n")
    with world.play_real(world.base / "gated.toml", worker="copilot", reviewer="claude"):
        terminal = Terminal(world, "--agent", "copilot", "--peer", "claude", "-p", "TASK.md")
        yield terminal
        terminal.end()


def test_a_person_talks_to_copilot_and_to_its_reviewer_pauses_and_resumes(own: Terminal, world: World):
    own.expect("copilot +session ")
    own.expect("-e first")
    own.ask("pause now", "paused, iteration 1 of 20: waits for the user to resume it")
    own.ask("say copilot please use tabs", "copilot gets it later: it waits for the run to resume")
    own.ask("resume", "iteration 1 of 20: waits for copilot")
    own.ask("say claude please be strict", "claude +I hear you")
    (world.project / "first").touch()
    own.expect("review round 1: waits for")
    own.expect("draft pull request")
    assert own.wait() == 0, own.text
    assert re.search("copilot +I hear you", own.text)
    stores = (world.home / ".copilot/session-state").glob("*/events.jsonl")
    told = [line for path in stores for line in path.read_text().splitlines() if '"type":"user.message"' in line]
    assert sum("please use tabs" in line for line in told) == 1
    assert world.survivors() == []
