"""The root process of one run: takes the run's lock, makes router, launcher and supervisor, waits for the end.

Its main thread waits and takes signals; the router, the launcher and the supervisor have threads of their own. It
never drives the run. The console is given to it as callbacks, so it knows nothing of terminals.
"""

from __future__ import annotations

import hashlib
import os
import queue
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from actors import logs
from actors.edges import run_dir
from actors.host import Sender, wall_ms
from actors.logs import LogSettings
from actors.messages import AskHuman, FollowUp, Message, Progress
from supervisor.actor import FromActor, RunResult, SupervisorActor, SupervisorOptions, stop_run
from supervisor.launchers import make_launcher
from supervisor.router import Router
from supervisor.run_tree import RunOrder, RunTree


class Console(Protocol):
    """Who follows the run. Called in the router's thread: must pass on and return."""

    def show(self, progress: Progress) -> None:
        """Something happened."""

    def ask(self, question: str, answer: Callable[[str], None]) -> None:
        """A human is asked; `answer` may be called from any thread, once, or never."""


@dataclass(frozen=True)
class Ending:
    """How the root ended. `interrupted`: a signal asked for it."""

    result: RunResult
    interrupted: bool


# Two of these end the run at once; one lets it stop in order.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_root(order: RunOrder, console: Console) -> Ending:
    """Runs one run to its end. Raises `UserError` when another root holds it. Leaves no process behind."""
    lock = run_dir.lock_run(order.directory, str(_runtime_base()))
    runtime = _runtime_directory(order.directory, lock.generation)
    try:
        return _Root(order, console, lock.generation, runtime).run()
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
        lock.release()


class _Root:
    def __init__(self, order: RunOrder, console: Console, generation: int, runtime: Path) -> None:
        self._order = order
        self._console = console
        self._ended: queue.SimpleQueue[RunResult] = queue.SimpleQueue()
        self._signals = 0
        log = LogSettings(stderr=False, file=str(order.directory / "log"))
        logs.set_up(log, run=order.key, actor="root")
        self._router = Router(runtime)
        self._launcher = make_launcher(self._from_launcher, runtime_dir=order.directory)
        mail = self._router.open_local(order.key, "supervisor", self._to_supervisor)
        self._desk = self._router.open_local(order.key, "console", self._to_console)
        self._supervisor = SupervisorActor.start(
            SupervisorOptions(
                key=order.key,
                tree=RunTree(order, generation, first_manifest(order)),
                router=self._router,
                launcher=self._launcher,
                tell=lambda name, message: mail.ref(name).tell(message),
                announce=self._announce,
                done=self._ended.put,
                log=log,
            )
        )

    def run(self) -> Ending:
        """Blocks until every process of the run is gone."""
        before = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}
        try:
            return Ending(result=self._ended.get(), interrupted=self._signals > 0)
        finally:
            self._supervisor.stop(block=False)
            self._launcher.close()
            self._router.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        name = signal.Signals(number).name
        if self._signals == 1:
            self._announce("note", f"{name}: stopping after the agents were interrupted; once more: at once")
        stop_run(self._supervisor, f"stopped by {name}", now=self._signals > 1)

    def _from_launcher(self, event: object) -> None:
        if self._supervisor.is_alive():
            self._supervisor.tell(event)

    def _to_supervisor(self, message: Message, sender: Sender) -> None:
        if self._supervisor.is_alive():
            self._supervisor.tell(FromActor(message, sender))

    def _to_console(self, message: Message, _sender: Sender) -> None:
        match message:
            case Progress():
                self._console.show(message)
            case AskHuman():
                self._console.ask(message.question, self._answer)
            case _:
                pass

    def _answer(self, text: str) -> None:
        self._desk.ref("worker").tell(FollowUp(text=text))

    def _announce(self, kind: str, text: str) -> None:
        self._console.show(Progress(at_ms=wall_ms(), source="supervisor", agent="", kind=kind, text=text))


def first_manifest(order: RunOrder) -> dict[str, object]:
    """What the root knows of the run's manifest; the persistence actor adds state, times and session ids."""
    known = run_dir.read_manifest(order.directory) or {}
    return {
        "claudeSessionId": known.get("claudeSessionId", ""),
        "codexThreadId": known.get("codexThreadId", ""),
        "createdAt": known.get("createdAt") or run_dir.iso(wall_ms()),
        "cwd": str(order.cwd),
        "mode": "paired" if order.paired else "single",
        "pid": os.getpid(),
        "repoId": order.repo_id,
        "runId": order.run_id,
        **({"tmuxSession": order.tmux_session} if order.tmux_session else {}),
        "agents": {"worker": order.worker, "reviewer": order.reviewer},
    }


def _runtime_base() -> Path:
    """Where sockets live: short, private, gone after a reboot. A socket's path has room for about 100 bytes."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(given) if given and len(given) < 50 and os.access(given, os.W_OK) else Path(tempfile.gettempdir())
    return base / f"loop-{os.getuid()}"


def _runtime_directory(run: Path, generation: int) -> Path:
    """A directory of this root alone: an actor of a killed predecessor must not find our socket under its old name."""
    base = _runtime_base()
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:10]
    for stale in base.glob(f"{stem}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    directory = base / f"{stem}-{generation}"
    directory.mkdir(mode=0o700)
    return directory
