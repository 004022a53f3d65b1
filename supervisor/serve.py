"""`loop serve`: one root for many runs from the queue (submissions.py), in order, at most `max_runs` at a time.

Its main thread starts runs, takes signals, and waits. A run that fails, or whose actors crash, does not affect the
others. A stop ends the trees of all runs in parallel, within the 5 s that a Procfile manager gives. It journals
nothing, so those runs resume next time exactly as after `kill -9`.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from loguru import logger

from actors import logs
from actors.clock import wall_ms
from actors.edges import files, run_lock
from actors.errors import LoopError, UserError
from actors.messages import Progress, ProgressKind
from actors.starts import LogSettings
from supervisor import submissions
from supervisor.leases import Lease, lease_run
from supervisor.root import handled
from supervisor.run_instance import RootServices, RunInstance, run_log
from supervisor.run_manifest import write_end, write_state
from supervisor.run_tree import RunSpec
from supervisor.runtime_dirs import make_runtime, runtime_path
from supervisor.tree_protocol import RunResult

# A Procfile manager kills after 5 s. We kill the rest before that; a resume then only has to read a transcript.
STOP_S = 3.5
LAST_WORDS_S = 1.0  # of that time, for the last notifications
# A submitter wakes the server. Polling notices one that was killed at that moment, and a run that another root holds.
LOOK_S = 5.0
SUSPENDED = RunResult("stopped", "loop serve is stopping: the next loop serve resumes this run")


class ServeConsole(Protocol):
    """Where the lines go. `show` must return immediately."""

    def show(self, run: str, progress: Progress) -> None:
        """Any thread. `run` is "<repo id>/<run id>"; "" for `loop serve` itself."""


def serve(home: Path, environment: dict[str, str], max_runs: int, console: ServeConsole, *, on_terminal: bool) -> None:
    """Serves until a signal. Raises `UserError` when another one serves this home. Leaves no process behind.

    `on_terminal`: the end of the terminal asks for a stop.
    """
    directory = submissions.serve_directory(home)
    files.make_private(directory)
    lock = run_lock.lock_directory(
        directory,
        lambda generation: str(_notify_socket_path(runtime_path(directory, generation))),
        lambda holder: f"loop serve is already active in process {holder} for {home}: submit to it, or end it first",
    )
    lease = Lease(lock=lock, runtime=make_runtime(directory, lock.generation))
    try:
        logs.set_up(LogSettings(stderr=False, file=str(directory / "log")), run="serve", actor="root", only=True)
        _Server(home, environment, max_runs, console, lease).run(on_terminal=on_terminal)
    finally:
        lease.release()


@dataclass(kw_only=True)
class _Active:
    """A run that this server runs."""

    spec: RunSpec
    lease: Lease
    run: RunInstance
    is_suspended: bool = False  # until the user decides: it takes no slot
    close_log: Callable[[], None]


@dataclass(frozen=True)
class _Look:
    """Event: the queue may have changed."""


@dataclass(frozen=True)
class _Begun:
    directory: Path


@dataclass(frozen=True)
class _Over:
    directory: Path
    result: RunResult


@dataclass(frozen=True)
class _Suspended:
    directory: Path
    is_suspended: bool


@dataclass(frozen=True)
class _Signal:
    name: str
    stops: bool


class _Server:
    """Belongs to the main thread; other threads and signal handlers only put events into its queue."""

    def __init__(
        self, home: Path, environment: dict[str, str], max_runs: int, console: ServeConsole, lease: Lease
    ) -> None:
        self._home = home
        self._environment = environment
        self._max_runs = max_runs
        self._console = console
        self._events: queue.SimpleQueue[_Look | _Begun | _Suspended | _Over | _Signal] = queue.SimpleQueue()
        self._active: dict[Path, _Active] = {}
        self._elsewhere: set[Path] = set()  # held by another root: reported once
        self._withdrawn: set[Path] = set()  # those whose withdrawal could not be written
        self._submissions = threading.Lock()  # `begun` must not write what `withdraw` has just removed
        self._stop_at: float | None = None
        self._notify_socket = _NotifySocket(_notify_socket_path(lease.runtime), lambda: self._events.put(_Look()))
        self._services = RootServices(lease.runtime, submissions.serve_directory(home))

    def run(self, *, on_terminal: bool) -> None:
        """Blocks until a stop is asked for and every process is gone."""
        on_hangup = self._on_signal if on_terminal else self._on_hangup
        with handled({signal.SIGINT: self._on_signal, signal.SIGTERM: self._on_signal, signal.SIGHUP: on_hangup}):
            try:
                waiting = len(submissions.queued(self._home))
                self._say("ready", f"pid {os.getpid()}, at most {self._max_runs} runs at once, {waiting} in the queue")
                self._serve()
            finally:
                self._notify_socket.close()
                self._services.launcher.close()
                for directory in list(self._active):
                    self._settle(directory, SUSPENDED)
                self._services.close(last_words_s=LAST_WORDS_S)
                self._say("note", "stopped")

    def _serve(self) -> None:
        while self._stop_at is None or self._active:
            if self._stop_at is None:
                self._start_what_may()
                patience_s = LOOK_S
            else:
                patience_s = self._stop_at - time.monotonic()
            if patience_s <= 0:
                return
            try:
                event = self._events.get(timeout=patience_s)
            except queue.Empty:
                continue
            match event:
                case _Look():
                    pass
                case _Begun():
                    with self._submissions, suppress(OSError):  # a full disk: the next start gets them again
                        submissions.begun(event.directory)
                case _Suspended():
                    self._active[event.directory].is_suspended = event.is_suspended
                case _Over():
                    self._settle(event.directory, event.result)
                case _Signal(stops=False):
                    self._say("note", f"{event.name}: log file reopened")
                case _Signal() if self._stop_at is None:
                    self._stop(event.name)
                case _Signal():
                    pass  # a terminal and a Procfile manager both send one

    # --- runs -------------------------------------------------------------------------------------------------------

    def _start_what_may(self) -> None:
        for directory in submissions.queued(self._home):
            if sum(not active.is_suspended for active in self._active.values()) >= self._max_runs:
                return
            if directory not in self._active and directory not in self._withdrawn:
                self._start(directory)

    def _start(self, directory: Path) -> None:
        key = f"{directory.parent.name}/{directory.name}"
        try:
            lease = lease_run(directory)
        except (LoopError, OSError) as error:
            if directory not in self._elsewhere:
                self._elsewhere.add(directory)
                self._say("note", f"waits: {error}", run=key)
            return
        self._elsewhere.discard(directory)
        try:
            self._active[directory] = self._start_run(directory, lease)
        except Exception as error:  # the others must not suffer
            logger.opt(exception=error).error("{} cannot be started", key)
            self._say("error", f"over: failed: cannot start: {error}", run=key)
            self._withdraw(directory)
            write_state(directory, "failed")
            self._services.remove(key)
            lease.release()

    def _start_run(self, directory: Path, lease: Lease) -> _Active:
        submission = submissions.read(directory)
        if submission is None:
            raise UserError("submission withdrawn")
        spec = submissions.spec_of(directory, submission, self._environment, self._home)
        self._say("note", f"starts in {spec.cwd}", run=spec.key)
        close_log = logs.add_file(run_log(spec), run=spec.key)
        try:
            run = RunInstance(
                self._services,
                spec,
                lease,
                _RunConsole(self._console, spec.key),
                ended=lambda result: self._events.put(_Over(directory, result)),
                on_purpose=lambda: self._withdraw(directory),
                waits_for_user=True,
                suspended=lambda is_suspended: self._events.put(_Suspended(directory, is_suspended)),
                begun=lambda: self._events.put(_Begun(directory)),
            )
        except BaseException:
            close_log()
            raise
        return _Active(spec=spec, lease=lease, run=run, close_log=close_log)

    def _settle(self, directory: Path, result: RunResult) -> None:
        """Ends a run that is over. One that stopped with the server stays in the queue."""
        active = self._active.pop(directory)
        active.run.close(result)
        if result == SUSPENDED and submissions.read(directory) is not None:
            write_state(directory, "submitted")
            self._say("note", SUSPENDED.detail, run=active.spec.key)
        else:
            self._withdraw(directory)
            write_end(active.spec.directory, result)
            detail = f": {result.detail}" if result.detail else ""
            kind: ProgressKind = "error" if result.state == "failed" else "note"
            self._say(kind, f"over: {result.state}{detail}", run=active.spec.key)
        active.close_log()
        active.lease.release()

    def _withdraw(self, directory: Path) -> None:
        """Any thread. Removes the run from the queue. If that fails, this server does not start it again."""
        with self._submissions:
            try:
                submissions.withdraw(directory)
            except OSError as error:
                self._withdrawn.add(directory)
                logger.error("{} stays in the queue: {}", directory, error)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _stop(self, why: str) -> None:
        self._stop_at = time.monotonic() + STOP_S
        self._say("note", f"{why}: stopping; {len(self._active)} active runs resume with the next loop serve")
        for active in self._active.values():
            active.run.stop(SUSPENDED.detail, now=True)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._events.put(_Signal(signal.Signals(number).name, stops=True))

    def _on_hangup(self, number: int, _frame: FrameType | None) -> None:
        """SIGHUP: log file reopened. Each process reopens a log that was moved away at its next line."""
        self._events.put(_Signal(signal.Signals(number).name, stops=False))

    def _say(self, kind: ProgressKind, text: str, *, run: str = "") -> None:
        logger.info("{}: {}", run or "serve", text)
        self._console.show(run, Progress(at_ms=wall_ms(), source="supervisor", agent="", kind=kind, text=text))


class _RunConsole:
    """The console of one run: adds the run's name to what it shows."""

    def __init__(self, console: ServeConsole, key: str) -> None:
        self._console = console
        self._key = key

    def opened(self, endpoint: str) -> None:
        """No-op: `show` brings everything."""

    def show(self, progress: Progress) -> None:
        self._console.show(self._key, progress)


class _NotifySocket:
    """A datagram socket that submitters write to, and the thread that reads it."""

    def __init__(self, path: Path, rung: Callable[[], None]) -> None:
        self._rung = rung
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, name="notify socket", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the thread. Call it once."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.sendto(b"", self._socket.getsockname())  # closing a socket does not wake its reader
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while self._socket.recv(64):
            self._rung()


def _notify_socket_path(runtime: Path) -> Path:
    return runtime / "notify.sock"
