"""A whole `loop` in a throw-away home and repository, followed line by line: for the end-to-end tests and the chaos.

`World` creates the home and knows every process that was started in it, however it detached itself; `Loop` is one
`loop` process there. Starts programs and reads files; belongs to the thread that created it. It never reads a home,
login or repository of the user.

Every process here may end at any moment, so each access and each signal tolerates that it is gone. A program that
creates worlds runs within `orderly_end`: a signal, or the end of the terminal, then ends the worlds before the program.

A wait ends with its event, however busy the machine is: `PATIENCE_S` is for all of them. Only a test of a time limit
gives another. A child is found by what it is, never as the only one: its parent may be running git beside it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from actors.edges import processes, run_dir
from actors.embedded.scenario_file import load_scenario
from actors.settings import Role
from tests.lab import reaper, third_party
from tests.lab.demo_repo import put_repository_with_remote
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.lab.stand_in_gh import put_gh

PATIENCE_S = 150.0  # the event comes within seconds; a busy machine may take many times as long
LOOP = (sys.executable, "-m", "shell.cli")
SCENARIOS = Path(__file__).parent / "scenarios"  # bench.toml and chaos.toml; the demo's ships with the embedded agent
MARK = "LOOP_TEST_MARK"  # in the environment of everything that is started in a world
FOREIGN = ("ANTHROPIC_", "OPENAI_", "CODEX_", "CLAUDE", *third_party.FOREIGN, "LOOP_", "XDG_")
_PEERS = {"codex": "claude", "claude": "codex"}
CHECK = "python3 -m unittest"
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
END_PATIENCE_S = 10.0


class Interrupted(SystemExit):
    """A signal asks the program to end. Its code is the exit status that shells expect: 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@contextmanager
def orderly_end() -> Iterator[None]:
    """Inside the block the first of `ENDING_SIGNALS` raises `Interrupted` in the main thread, so that each `finally`
    runs.

    Later ones are ignored: they would interrupt the ending. A signal that is ignored already, as SIGHUP under `nohup`,
    stays ignored. What a SIGKILL leaves, the reaper ends. Main thread only.
    """

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        for each in ENDING_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    reaper.watch()
    heard = [number for number in ENDING_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class World:
    """A home, a repository with a remote, `gh` on PATH, and the loops that were started in them.

    As a context manager it ends all of them.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.home = base / "home"
        self.project = base / "project"
        self.mark = uuid.uuid4().hex
        self.loops: list[Loop] = []
        self.home.mkdir()
        put_repository_with_remote(base)
        self._third_party = third_party.cache_folder(os.environ)
        self._gh_calls = put_gh(base / "bin")
        put_python(base / "bin")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.environment = kept | {
            "HOME": str(self.home),
            "PATH": f"{base / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "LOOP_COOLDOWN_MS": "0",
            "LOOP_RETRY_MS": "100",  # of a scripted provider, whose outages are counted and not timed
            "TMPDIR": "/tmp",
            MARK: self.mark,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()

    def play_embedded(self, scenario: Path) -> None:
        """Embedded agents play the scenario from now on."""
        self.environment["LOOP_EMBEDDED_SCENARIO"] = str(scenario)

    @contextmanager
    def play_real(
        self,
        scenario: Path,
        codex_model: str = "",
        worker: str = "codex",
        reviewer: str = "",
        address: str = "127.0.0.1",
    ) -> Iterator[ModelServer]:
        """Inside the block the real agents talk to a model that plays the scenario, as `worker` and `reviewer`.

        The reviewer is the worker's usual peer unless another is given. Codex has its own default model unless another
        is given: see `prepare_home`. Installed third-party agents are available as well. `address`: of the model.
        """
        with ModelServer(load_scenario(scenario), address=address) as server:
            roles = roles_of(worker, reviewer)
            prepare_home(self.home, server.url, roles.get("codex", "worker"), codex_model=codex_model)
            third_party.prepare_home(self.home)
            base = agent_environment(self.home, server.url, roles.get("claude", "reviewer"), self.environment)
            if third_party.is_installed(self._third_party):
                base = third_party.environment(self.home, self._third_party, server.url, roles, base)
            self.environment = base
            self.environment["IS_SANDBOX"] = "1"  # Claude Code refuses to work unattended as root without it
            yield server

    def start(self, *words: str, **changes: str) -> Loop:
        """Starts `loop words…`; `changes` are variables of its environment, and `cwd`."""
        return self.start_program(*LOOP, *words, **changes)

    def start_program(self, *command: str, **changes: str) -> Loop:
        """Starts another program, which may start `loop`."""
        loop = Loop(self, command, changes)
        self.loops.append(loop)
        return loop

    def run(self, *words: str, **changes: str) -> Loop:
        """Starts `loop words…` and waits for its end."""
        loop = self.start(*words, **changes)
        loop.wait()
        return loop

    def run_directory(self, run_id: str = "1") -> Path:
        """The directory of the run, of any repository."""
        found = list((self.home / ".loop" / "runs").glob(f"*/{run_id}"))
        assert len(found) == 1, found
        return found[0]

    def manifest(self, run_id: str = "1") -> dict[str, Any]:
        """The run's manifest, which must be there."""
        manifest = run_dir.read_manifest(self.run_directory(run_id))
        assert manifest is not None
        return manifest

    def transcript(self, run_id: str = "1") -> list[dict[str, Any]]:
        """The lines of the run's transcript.jsonl."""
        return run_dir.read_transcript(self.run_directory(run_id))

    def pid_of(self, actor: str, run_id: str = "1") -> int:
        """The pid of the actor's newest incarnation, from the run's log."""
        log = (self.run_directory(run_id) / "log").read_text()
        found = re.findall(rf"{actor}#\d+ is ready: pid (\d+)", log)
        assert found, log
        return int(found[-1])

    def survivors(self) -> list[psutil.Process]:
        """Every process that carries this world's mark; see `marked`."""
        return marked(self.mark)

    def wait_until_empty(self, timeout_s: float = PATIENCE_S) -> None:
        """Waits for the end of each survivor; fails when some remain."""
        deadline = time.monotonic() + timeout_s
        while survivors := self.survivors():
            for process in survivors:
                if not processes.wait_ended(process.pid, deadline - time.monotonic()):
                    raise AssertionError([described(each) for each in survivors])

    def end(self) -> None:
        """Kills all processes that remain. May be called again."""
        for loop in self.loops:
            if loop.process.poll() is None:
                loop.process.kill()
        end_marked(self.mark)  # first: they may hold the output open, which is then read to its end
        for loop in self.loops:
            loop.end()

    def gh_calls(self) -> list[str]:
        """The calls of `gh`."""
        return self._gh_calls.read_text().splitlines() if self._gh_calls.exists() else []


def put_python(folder: Path) -> None:
    """Puts `python3` into the folder: the interpreter itself. What PATH has may be a version manager's script, which
    starts a dozen programs at each call, and follows settings of the user.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "python3").symlink_to(getattr(sys, "_base_executable", sys.executable))


def roles_of(worker: str, reviewer: str = "") -> dict[str, Role | None]:
    """The role of each agent. The reviewer is the worker's usual peer unless another is given; None: one plays both
    roles.
    """
    other = reviewer or _PEERS.get(worker, worker)
    return {worker: None} if other == worker else {worker: "worker", other: "reviewer"}


def marked(mark: str) -> list[psutil.Process]:
    """Every process with this `MARK`, other than this one. Each may be gone by the time it is used."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone meanwhile, or not accessible
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def end_marked(mark: str) -> None:
    """Kills every process with this `MARK`, by pid, until there is none: a single pass misses a fork under way."""
    deadline = time.monotonic() + END_PATIENCE_S
    while (left := marked(mark)) and time.monotonic() < deadline:
        kill(left)
        for process in left:
            processes.wait_ended(process.pid, deadline - time.monotonic())


def kill(victims: Iterable[psutil.Process]) -> None:
    """Kills each of them. One may have ended meanwhile, by itself or by the end of another."""
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()


def described(process: psutil.Process) -> str:
    """The process in words, also when it is gone."""
    with suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())}"
    return f"{process.pid} (gone)"


class Loop:
    """One `loop` process. A thread reads its output as it comes; `wait_for` returns when a line matches."""

    def __init__(self, world: World, command: tuple[str, ...], changes: dict[str, str]) -> None:
        self.world = world
        self.lines: list[str] = []
        self.times: list[float] = []  # Unix time of each line's arrival
        self._news = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            command,
            cwd=changes.pop("cwd", None) or world.project,
            env=world.environment | changes,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """All lines so far."""
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self.times.append(time.time())
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, pattern: str, timeout_s: float = PATIENCE_S, *, after: str = "") -> str:
        """The first line that matches; fails with the whole output when the loop ends without one. `after`: it comes
        after the first line that matches this.
        """
        compiled, before = re.compile(pattern), re.compile(after)

        def hit() -> str | None:
            start = next((number for number, line in enumerate(self.lines, 1) if before.search(line)), None)
            lines = self.lines if not after else [] if start is None else self.lines[start:]
            return next((line for line in lines if compiled.search(line)), None)

        self.wait_until(lambda: hit() is not None, timeout_s)
        found = hit()
        assert found is not None, f"no line matches {pattern!r} in:\n{self.output}"
        return found

    def wait_until(self, met: Callable[[], bool], timeout_s: float) -> bool:
        """Waits until `met` holds, which is checked at each new line, or until the end of the output. Returns the last
        result of `met`.
        """
        with self._news:
            self._news.wait_for(lambda: met() or self._ended, timeout_s)
            return met()

    @property
    def ended(self) -> bool:
        """Whether the output is over."""
        return self._ended

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """The exit status, once all output is read."""
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def wait_for_approval(self) -> None:
        """Waits for the end of the run; fails when its work is not approved."""
        assert self.wait() == 0, self.output
        assert "completed: review approved" in self.output, self.output

    def pid_of(self, actor: str, run_id: str = "1") -> int:
        """See `World.pid_of`."""
        return self.world.pid_of(actor, run_id)

    def agent_of(self, actor: str, run_id: str = "1") -> psutil.Process:
        """The embedded agent of the actor's newest incarnation, whose session has begun."""
        children = psutil.Process(self.pid_of(actor, run_id)).children()
        return next(child for child in children if "actors.embedded.agent" in described(child))

    def forkserver(self) -> psutil.Process:
        """What has started the actors; Linux only. The root may have other children, such as git."""
        found = psutil.Process(self.pid_of("persistence")).parent()
        assert found is not None
        return found

    def kill(self, actor: str, run_id: str = "1") -> None:
        """SIGKILL to the actor's newest incarnation. The log may name one that has just ended, since the actor moves or
        restarts by itself: then the next one is killed, once the log has it.
        """
        pid = self.pid_of(actor, run_id)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            assert self.wait_until(lambda: self.pid_of(actor, run_id) != pid, PATIENCE_S), self.output
            self.kill(actor, run_id)

    def signal(self, number: int) -> None:
        """Sends the signal to the root process, unless it has ended."""
        self.process.send_signal(number)

    def end(self) -> None:
        """Kills the root process if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
