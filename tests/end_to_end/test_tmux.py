"""`--tmux`: a detached session in a real tmux on a private socket, which survives the terminal that started it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from actors.edges import processes
from tests.drawn import Drawn
from tests.end_to_end.conftest import TASK, World
from tests.lab.world import PATIENCE_S


class Tmux:
    """A tmux server of this test alone: TMUX_TMPDIR gives it a socket of its own."""

    def __init__(self, world: World, folder: Path) -> None:
        self.environment = world.environment | {"TMUX_TMPDIR": str(folder)}

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", *arguments], env=self.environment, capture_output=True, text=True, check=True, timeout=PATIENCE_S
        )
        return done.stdout


@pytest.fixture
def tmux(embedded: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tmux]:
    server = Tmux(embedded, tmp_path_factory.mktemp("tmux"))
    embedded.environment = server.environment
    yield server
    subprocess.run(["tmux", "kill-server"], env=server.environment, capture_output=True, check=False)


def wait_for_the_process(tmux: Tmux) -> None:
    """Waits for the process in the pane; remain-on-exit keeps the pane itself."""
    pid = int(tmux("display-message", "-p", "-t", "project-loop-1", "#{pane_pid}"))
    assert processes.wait_ended(pid, PATIENCE_S)  # where nobody waits for orphans, a zombie stays, so not psutil's wait


def screen(tmux: Tmux) -> str:
    return tmux("capture-pane", "-p", "-S", "-", "-t", "project-loop-1")


def wait_for_the_screen(tmux: Tmux, text: str) -> None:
    with closing(Drawn(["tmux"], "project-loop-1", tmux.environment)) as drawn:
        drawn.until(
            lambda: text in screen(tmux), PATIENCE_S, lambda: "\n".join(filter(str.strip, screen(tmux).splitlines()))
        )


def test_a_run_goes_on_in_a_session_of_its_name(embedded: World, tmux: Tmux):
    loop = embedded.run("--agent", "embedded", "--tmux", TASK)
    assert loop.process.returncode == 0
    assert loop.lines == ["[loop] tmux attach -t project-loop-1"]
    wait_for_the_process(tmux)
    wait_for_the_screen(tmux, "run 1 completed: review approved")
    assert embedded.manifest()["state"] == "completed"
    assert embedded.manifest()["tmuxSession"] == "project-loop-1"
    assert not (embedded.run_directory() / "tmux.json").exists()


def test_the_session_of_another_run_is_left_alone(embedded: World, tmux: Tmux):
    tmux("new-session", "-d", "-s", "project-loop-1")
    loop = embedded.run("--agent", "embedded", "--tmux", TASK)
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert "the tmux session project-loop-1 is not loop's" in loop.lines[0]
    assert list((embedded.home / ".loop" / "runs").glob("*/*")) == []


def test_inside_tmux_it_says_so_instead_of_nesting(embedded: World, tmux: Tmux):
    loop = embedded.run("--agent", "embedded", "--tmux", TASK, TMUX="/tmp/x,1,0")
    assert loop.process.returncode == 2
    assert "a tmux session already" in loop.lines[0]
    assert not (embedded.home / ".loop").exists()


def test_without_tmux_it_names_the_package(embedded: World, tmp_path: Path):
    (tmp_path / "few").mkdir()
    for name in ("git", "sh"):
        (tmp_path / "few" / name).symlink_to(next(p for d in os.defpath.split(":") if (p := Path(d) / name).exists()))
    loop = embedded.run("--agent", "embedded", "--tmux", TASK, PATH=str(tmp_path / "few"))
    assert loop.process.returncode == 2
    assert "apt-get install tmux" in loop.lines[0]
    assert sys.executable not in loop.output


def test_without_a_task_it_waits_for_one_and_then_for_the_next(embedded: World, tmux: Tmux):
    assert embedded.run("--agent", "embedded", "--tmux").process.returncode == 0
    wait_for_the_screen(tmux, "task>")
    assert embedded.manifest()["state"] == "input-required"
    tmux("send-keys", "-t", "project-loop-1", TASK, "Enter")
    wait_for_the_screen(tmux, "1 task completed: waits for the user's answer")
    assert embedded.manifest()["state"] == "input-required"
    tmux("send-keys", "-t", "project-loop-1", "/stop", "Enter")
    wait_for_the_process(tmux)
    wait_for_the_screen(tmux, "run 1 completed: 1 task completed")
    assert embedded.manifest()["state"] == "completed"
