"""A whole `loop` in a throw-away home and repository, followed line by line; nothing of it survives its test."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from actors.edges import run_dir
from actors.scripted.scenarios.demo_repo import DEMO_TASK, make_demo_repository

PATIENCE_S = 60.0
MARK = "LOOP_TEST_MARK"  # stands in the environment of everything that a test starts, however it detaches itself
FOREIGN = ("ANTHROPIC_", "OPENAI_", "CODEX_", "CLAUDE", "LOOP_", "XDG_")

GH = """#!/bin/sh
printf '%s\\n' "$*" >> "$(dirname "$0")/gh.calls"
case "$1 $2" in
  "pr create") echo "https://example.invalid/demo/pull/1" ;;
  *) exit 1 ;;
esac
"""


class World:
    """A home, a repository with a remote, `gh` on PATH, and the loops that were started in them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.home = base / "home"
        self.project = base / "project"
        self.mark = uuid.uuid4().hex
        self.loops: list[Loop] = []
        self.home.mkdir()
        make_demo_repository(self.project)
        for arguments in (
            ["init", "-q", "--bare", str(base / "origin.git")],
            ["remote", "add", "origin", str(base / "origin.git")],
            ["push", "-q", "-u", "origin", "main"],
        ):
            subprocess.run(["git", *arguments], cwd=self.project, check=True)
        (base / "bin").mkdir()
        gh = base / "bin" / "gh"
        gh.write_text(GH)
        gh.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.environment = kept | {
            "HOME": str(self.home),
            "PATH": f"{base / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "LOOP_COOLDOWN_MS": "0",
            "TMPDIR": "/tmp",  # sockets need a short path
            MARK: self.mark,
        }

    def start(self, *words: str, **changes: str) -> "Loop":
        loop = Loop(self, words, changes)
        self.loops.append(loop)
        return loop

    def run(self, *words: str, **changes: str) -> "Loop":
        loop = self.start(*words, **changes)
        loop.wait()
        return loop

    def run_directory(self, run_id: str = "1") -> Path:
        found = list((self.home / ".loop" / "runs").glob(f"*/{run_id}"))
        assert len(found) == 1, found
        return found[0]

    def manifest(self, run_id: str = "1") -> dict:
        manifest = run_dir.read_manifest(self.run_directory(run_id))
        assert manifest is not None
        return manifest

    def transcript(self, run_id: str = "1") -> list[dict]:
        return run_dir.read_transcript(self.run_directory(run_id))

    def survivors(self) -> list[psutil.Process]:
        """Every process that carries this world's mark, other than this one."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get(MARK) == self.mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def wait_until_empty(self, timeout_s: float) -> None:
        """Waits for the end of each survivor; fails when some are left."""
        deadline = time.monotonic() + timeout_s
        while survivors := self.survivors():
            left = deadline - time.monotonic()
            assert left > 0, [(process.pid, process.cmdline()) for process in survivors]
            psutil.wait_procs(survivors, timeout=left)

    def gh_calls(self) -> list[str]:
        calls = self.base / "bin" / "gh.calls"
        return calls.read_text().splitlines() if calls.exists() else []


class Loop:
    """One `loop` process. Its output is read as it comes; `wait_for` returns when a line matches."""

    def __init__(self, world: World, words: tuple[str, ...], changes: dict[str, str]) -> None:
        self.world = world
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "shell.cli", *words],
            cwd=changes.pop("cwd", None) or world.project,
            env=world.environment | changes,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, pattern: str, timeout_s: float = PATIENCE_S) -> str:
        """The first line that matches; fails with the whole output when the loop ends without one."""
        compiled = re.compile(pattern)

        def hit() -> str | None:
            return next((line for line in self.lines if compiled.search(line)), None)

        with self._news:
            self._news.wait_for(lambda: hit() is not None or self._ended, timeout_s)
            found = hit()
        assert found is not None, f"no line matches {pattern!r} in:\n{self.output}"
        return found

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def pid_of(self, actor: str, run_id: str = "1") -> int:
        """The pid of the actor's newest incarnation, from the run's log."""
        log = (self.world.run_directory(run_id) / "log").read_text()
        found = re.findall(rf"{actor}#\d+ is ready: pid (\d+)", log)
        assert found, log
        return int(found[-1])

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for loop in made.loops:
        loop.end()
    try:
        made.wait_until_empty(10)
    finally:
        for process in made.survivors():
            process.send_signal(signal.SIGKILL)


@pytest.fixture
def embedded(world: World) -> World:
    """The world with embedded agents that play the demo scenario."""
    import actors.scripted.scenarios.demo_repo as beside

    world.environment["LOOP_EMBEDDED_SCENARIO"] = str(Path(beside.__file__).with_name("demo.toml"))
    return world


@pytest.fixture
def hanging(world: World) -> World:
    """The world with embedded agents whose model never answers."""
    scenario = world.base / "hang.toml"
    scenario.write_text('[[turn]]\nwhen = "."\n[[turn.step]]\nfault = { hang = true, times = 1000 }\n')
    world.environment["LOOP_EMBEDDED_SCENARIO"] = str(scenario)
    return world


@pytest.fixture
def real(world: World) -> Iterator[World]:
    """The world with the real codex (worker) and claude (reviewer), and the demo scenario for their model."""
    import actors.scripted.scenarios.demo_repo as beside
    from actors.scripted.model_server import ModelServer
    from actors.scripted.offline_home import agent_environment, prepare_home
    from actors.scripted.scenario_file import load_scenario

    with ModelServer(load_scenario(Path(beside.__file__).with_name("demo.toml"))) as server:
        prepare_home(world.home, server.url)
        world.environment = agent_environment(world.home, server.url, "reviewer", world.environment)
        world.environment["IS_SANDBOX"] = "1"  # Claude Code refuses to work unattended as root without it
        yield world


TASK = DEMO_TASK
CHECK = "python3 -m unittest"
