"""`loop dashboard` beside real runs: printed, as JSON, and live on a real screen, tmux's."""

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.drawn import Drawn
from tests.end_to_end.conftest import TASK, Loop, World
from tests.lab.world import PATIENCE_S


def printed(world: World, *words: str, columns: int = 100) -> str:
    done = world.run("dashboard", *words, COLUMNS=str(columns))
    assert done.process.returncode == 0, done.output
    return done.output


def as_json(world: World) -> dict[str, Any]:
    return json.loads(printed(world, "--json"))


def begin(world: World) -> Loop:
    """A run that hangs in its first turn."""
    (world.project / "TASK.md").write_text("Greet people politely.\n")
    run = world.start("--agent", "embedded", "-p", "TASK.md")
    run.wait_for("embedded +session")  # the worker's
    run.wait_for("embedded-reviewer +session")
    run.wait_for("are ready")
    return run


def test_a_live_run_is_printed_for_people_and_for_programs(hanging: World):
    run = begin(hanging)
    found = as_json(hanging)
    (shown,) = found["runs"]
    assert (shown["run_id"], shown["repository"], shown["running"], shown["mode"]) == ("1", "project", True, "paired")
    assert (shown["state"], shown["cwd"], shown["root_pid"]) == ("working", str(hanging.project), run.process.pid)
    actors = {actor["name"]: (actor["state"], actor["mailbox"]) for actor in shown["report"]["actors"]}
    assert actors.keys() == {"persistence", "bridge", "run", "worker", "reviewer"}
    assert actors["reviewer"] == ("running", 0)
    assert shown["sessions"]["worker"]
    for columns in (60, 100, 200):
        lines = printed(hanging, columns=columns).splitlines()  # without a terminal it prints
        assert max(map(len, lines)) <= columns
        text = " ".join(" ".join(lines).split())
        assert "loop dashboard: 1 running, 0 ended, 0 tokens $0.00" in text
        assert "run 1 working iteration 1 of 20: waits for embedded" in text
        assert "worker busy pid" in text
        assert f"loop shell {shown['key']}" in text


def test_a_root_that_stands_still_is_said_to_and_one_that_was_killed_is_down(hanging: World):
    run = begin(hanging)
    run.signal(signal.SIGSTOP)
    try:
        (shown,) = as_json(hanging)["runs"]
        assert (shown["running"], shown["report"]) == (True, None)
        assert "its root has not answered for" in printed(hanging, "--once")
    finally:
        run.signal(signal.SIGCONT)
    run.signal(signal.SIGKILL)
    run.wait()
    hanging.wait_until_empty()
    (shown,) = as_json(hanging)["runs"]
    assert (shown["running"], shown["state"], shown["report"]["root_pid"]) == (False, "working", 0)
    lines = printed(hanging, "--once").splitlines()
    assert lines[0].startswith("loop dashboard: 0 running, 1 ended")
    assert lines[3].split()[:2] == ["1", "down"]


class Screen:
    """`loop dashboard` in a tmux server of this test alone."""

    def __init__(self, world: World, folder: Path, columns: int, lines: int) -> None:
        self.environment = world.environment | {"TMUX_TMPDIR": str(folder), "TERM": "screen-256color"}
        for name in ("COLUMNS", "LINES"):  # pytest-xdist sets them, and they would be believed rather than the terminal
            self.environment.pop(name, None)
        command = [sys.executable, "-m", "shell.cli", "dashboard"]
        size = ("-x", str(columns), "-y", str(lines))
        done = f"{shlex.join(command)}; echo left with $?; read line"
        self.tmux("new-session", "-d", *size, "-s", "d", "-c", str(world.project), done)
        self.drawn = Drawn(["tmux"], "=d", self.environment)

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", *arguments], env=self.environment, capture_output=True, text=True, check=True, timeout=PATIENCE_S
        )
        return done.stdout

    def until(self, met: Callable[[str], bool]) -> str:
        seen = [""]

        def fits() -> bool:
            seen[0] = self.tmux("capture-pane", "-p", "-t", "=d:")
            return met(seen[0])

        self.drawn.until(fits, PATIENCE_S, lambda: seen[0])
        return seen[0]

    def shows(self, *texts: str) -> str:
        return self.until(lambda shown: all(text in shown for text in texts))

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", "-t", "=d:", *keys)

    def click(self, column: int, line: int) -> None:
        """As the terminal tells it, counted from 1."""
        place = f"{column};{line}"
        self.tmux("send-keys", "-t", "=d:", "-l", f"\x1b[<0;{place}M\x1b[<0;{place}m")


Open = Callable[..., Screen]


@pytest.fixture
def open_screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    opened: list[Screen] = []

    def open_one(world: World, columns: int = 100, lines: int = 30) -> Screen:
        opened.append(Screen(world, tmp_path_factory.mktemp("tmux"), columns, lines))
        return opened[-1]

    yield open_one
    for each in opened:
        subprocess.run(["tmux", "kill-server"], env=each.environment, capture_output=True, check=False)
        each.drawn.close()


def test_a_run_is_watched_on_the_screen_from_its_beginning_to_its_end(embedded: World, open_screen: Open):
    screen = open_screen(embedded)
    screen.shows("No run yet in", "loop submit")
    run = embedded.start("--agent", "embedded", TASK)
    screen.shows("1 Runs 1/1", "project", "persistence", "worker")
    assert run.wait() == 0
    screen.shows("1 Runs 0/1", "completed", "review approved", "session of")
    screen.keys("t")
    screen.shows("result  done-signal-detected", "review  embedded pass")
    screen.keys("m")
    screen.shows("embedded-reviewer -> embedded", "handled")
    screen.keys("l")
    screen.shows("completed: review approved")
    screen.keys("c")
    screen.shows("run 1 is not running")
    screen.keys("2")
    screen.shows("pid", "session")
    found = as_json(embedded)  # others may work on this machine as well, so it may be below the screen's end
    assert {(each["role"], each["run"].partition("-")[0]) for each in found["finished"]} >= {
        ("worker", "project"), ("reviewer", "project"),
    }  # fmt: skip
    screen.keys("q")
    screen.shows("left with 0")


def test_the_console_of_a_run_is_opened_and_left_again(hanging: World, open_screen: Open):
    run = begin(hanging)
    screen = open_screen(hanging, columns=60, lines=45)
    screen.shows("1 Runs 1/1", "iteration 1")
    screen.keys("c")
    screen.shows("loop>", "worker busy")
    screen.keys("C-c")
    screen.shows("Ctrl-D detaches and the run continues")
    screen.keys("C-d")
    screen.shows("1 Runs 1/1", "q Quit")
    screen.click(20, 2)  # another tab
    screen.shows("pid", "event")
    screen.click(3, 2)
    screen.shows("iteration 1", "loop shell project-")
    run.signal(signal.SIGKILL)
    screen.shows("1 Runs 0/1", "down", "to resume it: loop --run-id 1")
    screen.keys("C-c")
    screen.shows("left with 0")


def test_a_root_that_stands_still_does_not_keep_the_dashboard_from_working(hanging: World, open_screen: Open):
    run = begin(hanging)
    screen = open_screen(hanging)
    screen.shows("iteration 1", "busy")
    run.signal(signal.SIGSTOP)
    try:
        screen.shows("its root has not answered for")
        screen.keys("t")
        screen.shows("status  working iteration 1 of 20")
        screen.keys("2")
        screen.shows("pid", "event")
    finally:
        run.signal(signal.SIGCONT)
    screen.keys("1")
    screen.until(lambda shown: "has not answered" not in shown and "iteration 1" in shown)


def test_its_tmux_sessions_are_shown_with_how_to_attach(hanging: World, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("tmux")
    hanging.environment["TMUX_TMPDIR"] = str(folder)
    try:
        assert hanging.run("--agent", "embedded", "--tmux", TASK).process.returncode == 0
        subprocess.run(["tmux", "new-session", "-d", "-s", "other"], env=hanging.environment, check=True)
        (session,) = as_json(hanging)["tmux"]
        assert (session["name"], session["attach"]) == ("project-loop-1", "tmux attach -t project-loop-1")
        assert session["run"].startswith("project-")
        assert "tmux attach -t project-loop-1" in printed(hanging, "--once", columns=60)
        deadline = time.monotonic() + PATIENCE_S
        while not any(run["report"] for run in as_json(hanging)["runs"]):
            if time.monotonic() > deadline:
                raise TimeoutError
        assert hanging.run("stop", "--now").process.returncode == 0
    finally:
        subprocess.run(["tmux", "kill-server"], env=hanging.environment, capture_output=True, check=False)


def test_sigterm_leaves_the_terminal_as_it_was(hanging: World, open_screen: Open):
    screen = open_screen(hanging)
    screen.shows("No run yet")
    # The child of the pane's shell. What it forks has its command line for a moment.
    (dashboard,) = psutil.Process(int(screen.tmux("display-message", "-p", "-t", "=d:", "#{pane_pid}"))).children()
    dashboard.terminate()
    screen.until(lambda shown: shown.startswith("left with "))
