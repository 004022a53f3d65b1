"""A whole `loop` in a throw-away home and repository, followed line by line; nothing of it survives its test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.embedded.scenario_file import SHIPPED
from tests.lab.demo_repo import DEMO_TASK
from tests.lab.turns import held
from tests.lab.world import CHECK, Loop, World

__all__ = ["APPROVED", "CHECK", "TASK", "UNPUBLISHED", "Loop", "World", "play_brief", "play_task"]

TASK = DEMO_TASK
DEMO = SHIPPED / "demo.toml"

# The rest of a scenario whose approved work is not published.
UNPUBLISHED = """
[[turn]]
when = "^Draft"
[[turn.step]]
say = "none"
"""

# The rest of a scenario whose work is approved, and not published.
APPROVED = (
    """
[[turn]]
when = "^Review round"
[[turn.step]]
say = "<review>PASS</review>"
"""
    + UNPUBLISHED
)

BRIEF = """
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "%s"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Review"
[[turn.step]]
say = "<review>PASS</review>"

[[turn]]
when = "^Draft pull request"
[[turn.step]]
run = "%s"
[[turn.step]]
say = "%s"
"""


def play_task(world: World, scenario: str, task: str) -> None:
    """From now on embedded agents play the scenario, which `scenario.toml` has, and TASK.md has the task."""
    (world.base / "scenario.toml").write_text(scenario)
    (world.project / "TASK.md").write_text(task)
    world.play_embedded(world.base / "scenario.toml")


def play_brief(world: World, publish: str, answer: str = "It is published.", work: str = "true") -> None:
    """From now on embedded agents run one command, say that the task of TASK.md is done, and run another to publish."""
    (world.base / "brief.toml").write_text(BRIEF % (work, publish, answer))
    world.play_embedded(world.base / "brief.toml")
    (world.project / "TASK.md").write_text("Make x.")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for loop in made.loops:
        loop.end()
    try:
        made.wait_until_empty()
    finally:
        made.end()


@pytest.fixture
def embedded(world: World) -> World:
    """The world with embedded agents that play the demo scenario."""
    world.play_embedded(DEMO)
    return world


@pytest.fixture
def hanging(world: World) -> World:
    """The world with embedded agents whose model never answers."""
    scenario = world.base / "hang.toml"
    scenario.write_text('[[turn]]\nwhen = "."\n[[turn.step]]\nfault = { hang = true, times = 1000 }\n')
    world.play_embedded(scenario)
    return world


@pytest.fixture
def real(world: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """The world with the real codex (worker) and claude (reviewer), and the demo scenario for their model. The reviewer
    writes to the worker when that one's own review is over: its message begins a turn of its own.

    Codex has its own default model, unless the test gives another as this fixture's parameter.
    """
    verdict = """grep -q '"reviewer": "codex"' "$HOME"/.loop/runs/*/*/transcript.jsonl"""
    scenario = world.base / "real.toml"
    scenario.write_text(held(DEMO.read_text(), "Review round 1", "python3 -m unittest", verdict))
    with world.play_real(scenario, getattr(request, "param", "")):
        yield world
