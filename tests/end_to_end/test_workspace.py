"""The workspace: both real TUIs in a real tmux on a private socket, as a person sees it on the screen."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import psutil
import pytest

from actors.edges import processes
from tests.drawn import Drawn
from tests.end_to_end.conftest import CHECK, TASK, World
from tests.lab.world import PATIENCE_S

pytestmark = [pytest.mark.real_agents, pytest.mark.timeout(600)]

SESSION = "project-loop-1"


class Workspace:
    """The session of run 1. `left` is Claude's pane, `right` Codex's, `console` the prompt's."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.environment = world.environment = world.environment | {"TMUX_TMPDIR": str(folder)}
        self.gate = world.base / "gate"

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", *arguments], env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout

    def pane(self, name: str, form: str) -> str:
        rows = self.tmux("list-panes", "-s", "-t", SESSION, "-F", f"#{{@loop_pane}} {form}").splitlines()
        return next((row.partition(" ")[2] for row in rows if row.startswith(f"{name} ")), "")

    def screen(self, name: str) -> str:
        """All that has scrolled by in it as well, with the line breaks of its width taken out."""
        pane = self.pane(name, "#{pane_id}")
        return " ".join(self.tmux("capture-pane", "-p", "-J", "-S", "-", "-t", pane).split()) if pane else ""

    def shows(self, name: str, text: str) -> None:
        self.until(lambda: text in self.screen(name), lambda: f"no {text!r} in {name}:\n{self.whole()}")

    def until(self, met: Callable[[], object], why: Callable[[], str]) -> None:
        self.drawn.until(met, PATIENCE_S, why)

    @cached_property
    def drawn(self) -> Drawn:
        return Drawn(["tmux"], SESSION, self.environment)

    def whole(self) -> str:
        """All three screens as they are, for the reader of a failure."""
        return "\n".join(
            f"--- {name}\n{self.tmux('capture-pane', '-p', '-t', self.pane(name, '#{pane_id}'))}"
            for name in ("left", "right", "console")
        )

    def type(self, name: str, text: str) -> None:
        """As a person does: the text, and Enter when it can be seen."""
        self.tmux("send-keys", "-t", self.pane(name, "#{pane_id}"), "-l", text)
        self.shows(name, text)
        time.sleep(0.3)  # Codex takes keys that come at once for a paste; nothing shows when that is over
        self.tmux("send-keys", "-t", self.pane(name, "#{pane_id}"), "Enter")

    def tui(self, name: str) -> int:
        """The pid of the TUI in the pane; 0 while there is none."""
        wrapper = self.pane(name, "#{pane_pid}")
        try:
            return next((child.pid for child in psutil.Process(int(wrapper or 0)).children()), 0)
        except (psutil.Error, ValueError):
            return 0

    def kill_tui(self, name: str) -> None:
        """Kills it and waits for the next one."""
        killed = self.next_tui(name)
        os.kill(killed, signal.SIGKILL)
        self.next_tui(name, killed)

    def next_tui(self, name: str, before: int = 0) -> int:
        """Waits for a TUI other than `before`."""
        found: list[int] = []
        self.until(lambda: found.append(self.tui(name)) or found[-1] not in (0, before), self.whole)
        return found[-1]

    def root(self) -> int:
        return int(self.pane("console", "#{pane_pid}"))

    def open_gate(self) -> None:
        """Blocks until the first review waits at the gate."""
        self.gate.write_text("go on")

    def wait_for_the_end(self) -> None:
        assert processes.wait_ended(self.root(), PATIENCE_S), self.whole()


@pytest.fixture
def workspace(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    text = Path(__file__).with_name("workspace.toml").read_text()
    os.mkfifo(world.base / "gate")
    scenario = world.base / "workspace.toml"
    scenario.write_text(text.replace("GATE", str(world.base / "gate")))
    (world.project / "TASK.md").write_text(f"{TASK}\n")
    with world.play_real(scenario):
        made = Workspace(world, tmp_path_factory.mktemp("tmux"))
        yield made
        made.tmux("kill-server")
        made.drawn.close()
        world.wait_until_empty()


def started(workspace: Workspace, *words: str) -> Workspace:
    loop = workspace.world.run("--tmux", "-p", "TASK.md", "--check", CHECK, *words)
    assert (loop.process.returncode, loop.lines) == (0, [f"[loop] tmux attach -t {SESSION}"])
    workspace.tmux("resize-window", "-t", SESSION, "-x", "240", "-y", "240")  # the TUIs show what fits in, no more
    return workspace


def test_two_tuis_talk_survive_and_finish_a_task_and_stay_for_the_next_until_ctrl_d(workspace: Workspace):
    started(workspace)
    workspace.shows("left", "I am ready to review.")
    workspace.shows("right", "Iteration 1")
    assert workspace.pane("right", "#{pane_active}") == "1"
    workspace.shows("left", "I begin with greeting.py; keep the empty name in mind.")
    workspace.shows("right", "The empty name is greeted with a hole.")
    workspace.type("right", "what do you make of it?")
    workspace.shows("right", "As you say, person.")
    workspace.kill_tui("right")
    workspace.shows("right", "As you say, person.")
    workspace.kill_tui("left")
    workspace.shows("left", "Review round 1 (continued)")
    workspace.open_gate()
    world = workspace.world
    workspace.shows("console", "1 task completed: waits for the user's answer")
    workspace.shows("console", "task>")
    assert world.manifest()["state"] == "input-required"
    workspace.type("right", "is it open?")
    workspace.shows("right", "is it open? • As you say, person.")
    workspace.tmux("send-keys", "-t", workspace.pane("console", "#{pane_id}"), "C-d")
    workspace.wait_for_the_end()
    assert world.manifest()["state"] == "completed", workspace.whole()
    workspace.shows("console", "completed")
    assert world.manifest()["claudeSessionId"]
    assert world.manifest()["codexThreadId"]
    lines = world.transcript()
    assert {"from": "human", "to": "codex", "message": "what do you make of it?"}.items() <= next(
        line for line in lines if line.get("from") == "human"
    ).items()
    assert {(line["from"], line["to"]) for line in lines if "from" in line} >= {
        ("codex", "claude"),
        ("claude", "codex"),
    }


def test_a_killed_root_is_told_in_the_panes_and_the_same_sessions_come_back(workspace: Workspace):
    started(workspace, "--exit")
    workspace.shows("right", "The empty name is greeted with a hole.")
    tuis = [workspace.next_tui("left"), workspace.next_tui("right")]
    before = workspace.world.manifest()
    os.kill(workspace.root(), signal.SIGKILL)
    for tui in tuis:
        assert processes.wait_ended(tui, PATIENCE_S)
    for name in ("left", "right"):
        workspace.shows(name, "to resume: cd ")
    loop = workspace.world.run("--run-id", "1")
    assert (loop.process.returncode, loop.lines[-1]) == (0, f"[loop] tmux attach -t {SESSION}")
    workspace.until(lambda: workspace.tui("left") and workspace.tui("right"), workspace.whole)
    workspace.tmux("resize-window", "-t", SESSION, "-x", "240", "-y", "240")
    workspace.shows("left", "I begin with greeting.py")
    running = workspace.root()
    again = workspace.world.run("--run-id", "1")
    assert (again.process.returncode, again.lines[-1], workspace.root()) == (0, loop.lines[-1], running)
    workspace.open_gate()
    workspace.wait_for_the_end()
    after = workspace.world.manifest()
    assert after["state"] == "completed", workspace.whole()
    for session in ("claudeSessionId", "codexThreadId"):
        assert after[session] == before[session] != ""
