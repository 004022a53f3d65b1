"""What the prompt looks like on a real screen, tmux's: nothing tears it, and the toolbar says how the run stands."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.drawn import Drawn
from tests.end_to_end.conftest import World
from tests.lab.world import PATIENCE_S

SCENARIO = """
[[turn]]
when = "."
[[turn.step]]
say = "at work"
[[turn.step]]
run = "cat GATE"
"""


class Screen:
    """A tmux server of this test alone, with one window."""

    def __init__(self, world: World, folder: Path, command: list[str]) -> None:
        self.environment = world.environment | {"TMUX_TMPDIR": str(folder), "TERM": "screen", "NO_COLOR": "1"}
        place = ("-x", "150", "-y", "20", "-s", "run", "-c", str(world.project))
        self.tmux("new-session", "-d", *place, shlex.join(command))
        self.drawn = Drawn(["tmux"], "run", self.environment)

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", *arguments], env=self.environment, capture_output=True, text=True, check=True, timeout=PATIENCE_S
        )
        return done.stdout

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.tmux("capture-pane", "-p").splitlines()]

    def until(self, met: Callable[[list[str]], object]) -> list[str]:
        seen: list[list[str]] = [[]]

        def fits() -> object:
            seen[0] = self.lines()
            return met(seen[0])

        self.drawn.until(fits, PATIENCE_S, lambda: "\n".join(seen[0]))
        return seen[0]

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)


@pytest.fixture
def screen(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    os.mkfifo(world.base / "gate")
    scenario = world.base / "gated.toml"
    scenario.write_text(SCENARIO.replace("GATE", str(world.base / "gate")))
    world.play_embedded(scenario)
    (world.project / "TASK.md").write_text("Greet people politely.\n")
    command = [sys.executable, "-m", "shell.cli", "--agent", "embedded", "-p", "TASK.md"]
    made = Screen(world, tmp_path_factory.mktemp("tmux"), command)
    yield made
    subprocess.run(["tmux", "kill-server"], env=made.environment, capture_output=True, check=False)
    made.drawn.close()


def test_output_scrolls_above_what_is_being_typed(world: World, screen: Screen):
    # All of it in one look: what the run says and what the toolbar shows come one after the other.
    stands = re.compile(r" run 1 \| working: iteration 1 of 20: waits for embedded.*")
    actors = re.compile(
        r" reviewer running \| worker busy \d+ (s|ms) \| run running \| bridge running \| persistence running"
        r" \| 0 tokens \$0\.00"
    )
    screen.until(
        lambda lines: (
            stands.fullmatch(lines[-2]) and actors.fullmatch(lines[-1]) and any("at work" in line for line in lines)
        )
    )
    screen.keys("say embedded half a sen")
    screen.until(lambda lines: any(line == "loop> say embedded half a sen" for line in lines))
    for number in range(6):
        world.run("say", "embedded-reviewer", f"line {number} for the reviewer")
        # A look may come between the output and the prompt that is drawn again below it.
        screen.until(
            lambda lines, n=number: (
                any(line.endswith(f"line {n} for the reviewer") for line in lines)
                and [line for line in lines if "loop>" in line][-1:] == ["loop> say embedded half a sen"]
            )
        )
        if number == 3:
            screen.tmux("resize-window", "-x", "110", "-y", "14")
    screen.keys("C-c")
    screen.until(lambda lines: [line for line in lines if line.startswith("loop>")][-1:] == ["loop>"])
    screen.keys("paus", "Tab")
    screen.until(lambda lines: any(line == "loop> pause" for line in lines))
    screen.keys(" now", "Enter")
    screen.until(lambda lines: "paused, iteration 1" in lines[-2] and "worker running" in lines[-1])
    screen.keys("Up")
    screen.until(lambda lines: any(line == "loop> pause now" for line in lines))
