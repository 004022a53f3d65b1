"""`loop` alone where there is no tmux: on a terminal a prompt that waits for the task, elsewhere how to give one.

With tmux it is the workspace: test_workspace.py.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.conftest import World
from tests.end_to_end.terminal import Terminal


@pytest.fixture
def without_tmux(world: World) -> str:
    """A PATH on which there is all that a run needs, and no tmux."""
    few = world.base / "few"
    few.mkdir()
    for name in ("git", "sh", "bash", "cat"):
        found = shutil.which(name)
        assert found is not None
        (few / name).symlink_to(found)
    return f"{world.base / 'bin'}{os.pathsep}{few}"


@pytest.mark.real_agents
def test_on_a_terminal_it_says_how_to_get_tmux_and_waits_for_the_first_task(real: World, without_tmux: str):
    real.environment["PATH"] = without_tmux
    terminal = Terminal(real)
    assert "apt-get install tmux" in terminal.expect("no workspace: .*tmux.*")
    terminal.expect_all(r"question: What is to be done\?", "are ready")
    assert real.manifest()["state"] == "input-required"
    terminal.type("/stop")
    assert terminal.wait() == 1
    assert real.manifest()["state"] == "stopped"


def test_agents_that_are_not_logged_in_are_named_before_anything_is_started(embedded: World):
    loop = embedded.run()
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert "codex is not logged in" in loop.lines[0]
    assert not (embedded.home / ".loop" / "runs").exists()


def test_without_a_terminal_and_without_tmux_it_says_how_to_give_a_task(embedded: World, without_tmux: str):
    loop = embedded.run(PATH=without_tmux)
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert 'loop "fix the failing test"' in loop.lines[0]
    assert not Path(embedded.home, ".loop").exists()
