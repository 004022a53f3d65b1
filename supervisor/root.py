"""The root process of one run: takes the run's lock, makes router, launcher and supervisor, waits for the end.

Its main thread waits and takes signals; the router, the launcher, the supervisor and the desk have threads of their
own. It never drives the run. Its own console is given to it as a callback, so it knows nothing of terminals; all others
come to the desk, whose address stands in the run's lock.
"""

from __future__ import annotations

import hashlib
import os
import queue
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from actors import logs
from actors.edges import run_dir
from actors.host import Sender, wall_ms
from actors.logs import LogSettings
from actors.messages import AskHuman, Message, Progress
from supervisor.actor import FromActor, RunResult, SupervisorActor, SupervisorOptions, stop_run
from supervisor.clerk import RunClerk
from supervisor.console_wire import Ended, Shown
from supervisor.desk import Desk
from supervisor.launchers import make_launcher
from supervisor.router import Router
from supervisor.run_tree import PRELOAD, RunOrder, RunTree


class Console(Protocol):
    """The root's own console. `show` and `opened` must pass on and return."""

    def opened(self, endpoint: str) -> None:
        """Main thread: consoles may come to this address from now on. Called once, before the run starts."""

    def show(self, progress: Progress) -> None:
        """Desk's thread: something happened."""


@dataclass(frozen=True)
class Ending:
    """How the root ended. `interrupted`: a signal asked for it."""

    result: RunResult
    interrupted: bool


def run_root(order: RunOrder, console: Console) -> Ending:
    """Runs one run to its end. Raises `UserError` when another root holds it. Leaves no process behind."""
    lock = run_dir.lock_run(order.directory, lambda generation: f"ipc://{_desk_path(order.directory, generation)}")
    runtime = _runtime_directory(order.directory, lock.generation)
    try:
        return _Root(order, console, lock.generation, runtime).run()
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
        lock.release()


class _Root:
    def __init__(self, order: RunOrder, console: Console, generation: int, runtime: Path) -> None:
        self._order = order
        self._ended: queue.SimpleQueue[RunResult] = queue.SimpleQueue()
        self._signals = 0
        log = LogSettings(stderr=False, file=str(order.directory / "log"))
        logs.set_up(log, run=order.key, actor="root")
        self._router = Router(runtime)
        self._launcher = make_launcher(self._from_launcher, runtime_dir=order.directory, preload=PRELOAD)
        mail = self._router.open_local(order.key, "supervisor", self._to_supervisor)
        desk_mail = self._router.open_local(order.key, "console", self._to_console)
        self._clerk = RunClerk(order, self._router, ref=desk_mail.ref, stop=self._stop, show=self._show)
        self._desk = Desk(_desk_path(order.directory, generation), self._clerk, console.show)
        console.opened(self._desk.endpoint)
        self._supervisor = SupervisorActor.start(
            SupervisorOptions(
                key=order.key,
                tree=RunTree(order, generation, first_manifest(order), self._launcher.listening_port),
                router=self._router,
                launcher=self._launcher,
                tell=lambda name, message: mail.ref(name).tell(message),
                announce=self._announce,
                done=self._ended.put,
                log=log,
                publish=self._clerk.children,
            )
        )
        self._clerk.supervised_by(self._supervisor)

    def run(self) -> Ending:
        """Blocks until every process of the run is gone."""
        on_hangup = self._on_hangup if self._order.headless else self._on_signal
        handlers = {signal.SIGINT: self._on_signal, signal.SIGTERM: self._on_signal, signal.SIGHUP: on_hangup}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        result = None
        try:
            result = self._ended.get()
            return Ending(result=result, interrupted=self._signals > 0)
        finally:
            self._supervisor.stop(block=False)
            self._desk.close(Ended(state=result.state, detail=result.detail) if result else None)
            self._launcher.close()
            self._router.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        name = signal.Signals(number).name
        if self._signals == 1:
            self._announce("note", f"{name}: stopping after the agents were interrupted; once more: at once")
        self._stop(f"stopped by {name}", self._signals > 1)

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        """A log that was moved away is opened anew with the next line, in each process by itself: here it is."""
        self._announce("note", "SIGHUP: the log is open again")

    def _stop(self, reason: str, now: bool) -> None:
        if self._supervisor.is_alive():
            stop_run(self._supervisor, reason, now=now)

    def _from_launcher(self, event: object) -> None:
        if self._supervisor.is_alive():
            self._supervisor.tell(event)

    def _to_supervisor(self, message: Message, sender: Sender) -> None:
        if self._supervisor.is_alive():
            self._supervisor.tell(FromActor(message, sender))

    def _to_console(self, message: Message, _sender: Sender) -> None:
        match message:
            case Progress():
                self._show(message)
            case AskHuman():
                hint = "" if self._order.has_prompt else f" Answer in: loop shell {self._order.run_id}"
                self._announce("question", message.question + hint)
            case _:
                self._clerk.note(message)

    def _show(self, progress: Progress) -> None:
        self._desk.publish(Shown(progress=progress))

    def _announce(self, kind: str, text: str) -> None:
        self._show(Progress(at_ms=wall_ms(), source="supervisor", agent="", kind=kind, text=text))


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


def _runtime_path(run: Path, generation: int) -> Path:
    """A directory of this root alone: an actor of a killed predecessor must not find our socket under its old name."""
    stem = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:10]
    return _runtime_base() / f"{stem}-{generation}"


def _desk_path(run: Path, generation: int) -> Path:
    return _runtime_path(run, generation) / "console.sock"


def _runtime_directory(run: Path, generation: int) -> Path:
    path = _runtime_path(run, generation)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for stale in path.parent.glob(f"{path.name.rpartition('-')[0]}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    path.mkdir(mode=0o700)
    return path
