"""The launcher of Linux: a forkserver process forks the actors. Lives in the root process; see supervisor.launchers."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from actors.edges import processes
from actors.errors import ProtocolError
from supervisor import stale_processes
from supervisor.launcher_parts import (
    CLOSE_TIMEOUT_S,
    READ_BYTES,
    ListeningSockets,
    OnEvent,
    Reporter,
    end_what_is_left,
    records_of,
    send,
    start_program,
)
from supervisor.spawning import Event, Frames, SignalRequest, SpawnRequest, Started, failed, frame, lost

# The forkserver kills everything in milliseconds. One that takes longer is stopped or stuck, and is killed from here.
_FORKSERVER_TIMEOUT_S = 1.0

# Actors whose forkserver has died end by themselves within this time. Killing a tree stops it first; a root that is
# killed in between would leave it stopped, without an eye on any lifeline.
_OWN_END_S = 2.0


class ForkserverLauncher:
    """Starts actors through a forkserver. A forkserver that dies is replaced at the next start. One thread each."""

    def __init__(self, on_event: OnEvent, *, runtime_dir: Path, preload: Sequence[str]) -> None:
        self._reporter = Reporter(on_event)
        self._runtime_dir = runtime_dir
        self._preload = preload
        self._sockets = ListeningSockets()
        self._lock = threading.Lock()
        self._closed = False
        # Nothing is ever written into it. Its end tells the process at the other end that this one is gone.
        self._root_end, self._held_end = socket.socketpair()
        self._forkserver = self._make_forkserver()  # now: it imports while the root starts

    def _make_forkserver(self) -> _Forkserver:
        return _Forkserver(self._reporter, self._runtime_dir, self._preload, self._root_end)

    def start(self, request: SpawnRequest) -> None:
        """See `Launcher.start`."""
        with self._lock:
            if self._closed:
                raise ProtocolError(f"{request.child}#{request.incarnation} requested from a closed launcher")
            listening = self._sockets.of(request)
            if not self._forkserver.start(request, listening):
                self._forkserver = self._make_forkserver()
                self._forkserver.start(request, listening)

    def kill(self, child: str, incarnation: int, number: int = signal.SIGKILL) -> None:
        """See `Launcher.kill`."""
        with self._lock:
            self._forkserver.kill(child, incarnation, number)

    def listening_port(self, child: str) -> int:
        """See `Launcher.listening_port`."""
        with self._lock:
            return self._sockets.port(child)

    def forget(self, child: str) -> None:
        """See `Launcher.forget`."""
        with self._lock:
            self._sockets.forget(child)

    def close(self) -> None:
        """See `Launcher.close`."""
        self._closed = True
        self._reporter.silence()
        self._forkserver.hang_up()  # before the lock: it frees a start() whose request is never read
        with self._lock:
            self._sockets.close()
            self._forkserver.hang_up()  # start() may just have made a new one
            self._forkserver.wait()
            self._root_end.close()
            self._held_end.close()


class _Forkserver:
    """One forkserver process, seen from the root, and the thread that reads its reports until it is gone."""

    def __init__(self, reporter: Reporter, runtime_dir: Path, preload: Sequence[str], root_end: socket.socket) -> None:
        self._reporter = reporter
        self._runtime_dir = runtime_dir
        self._root_end = root_end
        self._children: dict[
            tuple[str, int], tuple[SpawnRequest, Started | None]
        ] = {}  # what lives or is to live there
        self._lock = threading.Lock()  # of the children; never held while a request is sent
        self._gone = False
        self._pid: int | None = None
        # Orders wait in the socket until the process reads them, so no caller waits for its start.
        self._link, theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._tend, args=(theirs, preload), name="forkserver", daemon=True)
        self._thread.start()

    def start(self, request: SpawnRequest, listening: socket.socket | None) -> bool:
        """Sends the request. False: this forkserver is gone."""
        with self._lock:
            if self._gone:
                return False
            self._children[request.child, request.incarnation] = (request, None)
        self._send(frame(request), listening)
        return True

    def kill(self, child: str, incarnation: int, number: int) -> None:
        self._send(frame(SignalRequest(child=child, incarnation=incarnation, signal=number)))

    def hang_up(self) -> None:
        """Has the forkserver kill everything and end. May be called twice."""
        with contextlib.suppress(OSError):  # it is gone already
            self._link.shutdown(socket.SHUT_RDWR)

    def wait(self) -> None:
        """Waits until the forkserver and everything below it are gone; kills them if they take too long."""
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        self._thread.join(_FORKSERVER_TIMEOUT_S)
        if (pid := self._pid) is not None:  # it is stopped or stuck
            processes.kill_tree(pid, timeout_s=deadline - time.monotonic())
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _send(self, data: bytes, listening: socket.socket | None = None) -> None:
        if (pid := self._pid) is not None:
            processes.send(pid, signal.SIGCONT)  # a stopped one would never read the request
        with contextlib.suppress(OSError):  # it has died: our thread reports that for all its children
            send(self._link, data, listening)

    # --- in the thread ------------------------------------------------------------------------------------------

    def _tend(self, theirs: socket.socket, preload: Sequence[str]) -> None:
        why = self._watch(theirs, preload)
        with self._lock:
            self._gone = True
            children = list(self._children.values())
            self._link.close()
        deadline = time.monotonic() + _OWN_END_S
        for _, started in children:
            if started and processes.start_time(started.pid) == started.started:
                processes.wait_ended(started.pid, deadline - time.monotonic())
        for request, started in children:
            end_what_is_left(started, records_of(request, self._runtime_dir))
        for request, started in children:
            self._reporter.report(lost(request) if started else failed(request, why))

    def _watch(self, theirs: socket.socket, preload: Sequence[str]) -> str:
        """Runs the forkserver until it is gone; says how it ended."""
        with theirs:
            try:
                fds = [theirs.fileno(), self._root_end.fileno()]
                # A process group of its own in the root's session, not a session. When the root dies, the system sends
                # SIGHUP and SIGCONT to an orphaned group that is stopped (POSIX). So a stopped forkserver sees the end
                # of its root as well.
                process = start_program(["forkserver", *map(str, fds), *preload], fds, process_group=0)
            except (OSError, ValueError) as error:  # ValueError: everything was closed meanwhile
                return f"cannot start the forkserver: {error}"
        self._pid = process.pid
        record = processes.record(
            stale_processes.records_root(self._runtime_dir) / stale_processes.FORKSERVER, process.pid
        )
        frames = Frames(Event)
        while data := self._receive():
            for event in frames.feed(data):
                self._take(event)
        processes.wait_ended(process.pid)
        self._pid = None  # before it may become another's
        status = process.wait()
        if record:
            record.unlink(missing_ok=True)
        return f"the forkserver ended: exit status {status}"

    def _receive(self) -> bytes:
        try:
            return self._link.recv(READ_BYTES)
        except OSError:  # it was killed with a request unread
            return b""

    def _take(self, event: Event) -> None:
        key = (event.child, event.incarnation)
        with self._lock:
            request, _ = self._children[key]
            if isinstance(event, Started):
                self._children[key] = (request, event)
            else:
                del self._children[key]
        records = records_of(request, self._runtime_dir)
        if isinstance(event, Started):
            processes.record(records, event.pid)
        else:
            stale_processes.kill(records)
        self._reporter.report(event)
