"""The launcher of every system: each actor is started by exec, with a spare process ready. Lives in the root process;
see supervisor.launchers.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from actors.edges import processes
from supervisor import stale_processes
from supervisor.forked import RUNNING
from supervisor.forkserver import WHEN_IDLE
from supervisor.launcher_parts import (
    CLOSE_TIMEOUT_S,
    READ_BYTES,
    LauncherParts,
    ListeningSockets,
    OnEvent,
    end_what_is_left,
    records_of,
    send,
    start_program,
)
from supervisor.spawning import Event, Exited, SpawnRequest, Started, StartFailed, ended, failed, frame

# A spare process is made this long after the last start, so that it does not compete with starting actors for CPU.
SPARE_AFTER_S = 1.0


class PortableLauncher(LauncherParts):
    """Starts each actor by exec, with a thread that waits for it.

    A spare process has the imports done and waits for its request, so a crashed actor is back quickly.
    """

    def __init__(
        self,
        on_event: OnEvent,
        *,
        runtime_dir: Path,
        preload: Sequence[str] = (),
        sockets: ListeningSockets | None = None,
    ) -> None:
        super().__init__(on_event, runtime_dir, sockets)
        self._preload = [module.removeprefix(WHEN_IDLE) for module in preload]
        self._threads: dict[tuple[str, int], threading.Thread] = {}
        self._pids: dict[tuple[str, int], int] = {}
        self._spare: _Fresh | None = None
        self._spare_timer: threading.Timer | None = None

    def start(self, request: SpawnRequest) -> None:
        """See `Launcher.start`."""
        with self._lock:
            listening = self._listening(request)
            key = (request.child, request.incarnation)
            fresh: _Fresh | OSError
            try:
                fresh = self._take_spare() or _Fresh.make()
                self._pids[key] = fresh.process.pid
            except OSError as error:
                fresh = error
            self._threads[key] = threading.Thread(
                target=self._tend, args=(request, fresh, listening), name=f"waits for {request.child}", daemon=True
            )
            self._threads[key].start()
            self._want_spare()

    # --- the spare process, under the lock ---

    def _take_spare(self) -> _Fresh | None:
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        if spare.record:
            spare.record.unlink(missing_ok=True)
        if spare.process.poll() is not None:  # it was killed
            spare.link.close()
            return None
        return spare

    def _want_spare(self) -> None:
        if self._spare_timer:
            self._spare_timer.cancel()
        self._spare_timer = threading.Timer(SPARE_AFTER_S, self._make_spare)
        self._spare_timer.daemon = True
        self._spare_timer.start()

    def _make_spare(self) -> None:
        with self._lock:
            if self._closed or self._spare or not self._preload:
                return
            with contextlib.suppress(OSError):  # cannot create a process; the next start reports it
                spare = _Fresh.make(self._preload)
                records = stale_processes.records_root(self._runtime_dir) / stale_processes.SPARE
                self._spare = spare._replace(record=processes.record(records, spare.process.pid))

    def kill(self, child: str, incarnation: int, number: int = signal.SIGKILL) -> None:
        """See `Launcher.kill`."""
        with self._lock:
            pid = self._pids.get((child, incarnation))
            if pid is None:
                return
            if number == signal.SIGKILL:
                processes.kill_tree(pid)  # while the actor lives, its tree is known
            else:
                processes.send(pid, number)

    def close(self) -> None:
        """See `Launcher.close`."""
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        with self._lock:
            self._closed = True
            self._sockets.close()
            threads = list(self._threads.values())
            pids = list(self._pids.values())
            if self._spare_timer:
                self._spare_timer.cancel()
            if spare := self._take_spare():
                spare.process.kill()
                spare.process.wait()
                spare.link.close()
        self._reporter.silence()
        for pid in pids:
            processes.kill_tree(pid, timeout_s=deadline - time.monotonic())
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    # --- in the thread of one child -----------------------------------------------------------------------------

    def _tend(self, request: SpawnRequest, fresh: _Fresh | OSError, listening: socket.socket | None) -> None:
        if isinstance(fresh, OSError):
            event: Event = failed(request, f"cannot start a process: {fresh}")
        else:
            with fresh.link:
                event = self._run(request, fresh, listening)
        with self._lock:
            del self._threads[request.child, request.incarnation]
        self._reporter.report(event)

    def _run(self, request: SpawnRequest, fresh: _Fresh, listening: socket.socket | None) -> Exited | StartFailed:
        """Watches the process until it, and everything that it left behind, is gone."""
        pid = fresh.process.pid
        started, reason = self._see_start(request, fresh, listening)
        processes.wait_ended(pid)
        with self._lock:  # only now may its pid be reused
            del self._pids[request.child, request.incarnation]
            exited = ended(request, fresh.process.wait())
        end_what_is_left(started, records_of(request, self._runtime_dir))
        if started:
            return exited
        return failed(request, reason or f"ended before it ran: code {exited.code}, signal {exited.signal}")

    def _see_start(
        self, request: SpawnRequest, fresh: _Fresh, listening: socket.socket | None
    ) -> tuple[Started | None, str]:
        link, pid = fresh.link, fresh.process.pid
        born = processes.start_time(pid) or ""
        said = b""
        try:
            send(link, frame(request), listening)
            while said != RUNNING and (data := link.recv(READ_BYTES)):
                said += data
        except OSError:  # it has ended without reading its request
            return None, ""
        if said != RUNNING:
            return None, said.decode(errors="replace")
        started = Started(child=request.child, incarnation=request.incarnation, pid=pid, started=born)
        processes.record(records_of(request, self._runtime_dir), pid)
        self._reporter.report(started)
        return started, ""


class _Fresh(NamedTuple):
    """A process that waits for its request."""

    process: subprocess.Popen[bytes]
    link: socket.socket  # carries the request, then is the lifeline
    record: Path | None = None

    @classmethod
    def make(cls, preload: Sequence[str] = ()) -> _Fresh:
        link, theirs = socket.socketpair()
        try:
            with theirs:
                return cls(
                    start_program(["actor", str(theirs.fileno()), *preload], [theirs.fileno()], start_new_session=True),
                    link,
                )
        except OSError:
            link.close()
            raise
