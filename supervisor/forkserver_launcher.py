"""The launcher of Linux: a forkserver process forks the actors. Lives in the root process; see supervisor.launchers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.edges import processes
from supervisor import forkserver, stale_processes
from supervisor.launcher_parts import (
    CLOSE_TIMEOUT_S,
    READ_BYTES,
    LauncherParts,
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


@dataclass(frozen=True, kw_only=True)
class EarlyForkserver:
    """A forkserver that was started before its launcher, which alone uses it."""

    pid: int
    link: socket.socket
    root_end: socket.socket
    held_end: socket.socket
    wait: Callable[[], int]  # its exit status, when it has ended

    def close(self) -> None:
        """Ends it, unless its launcher has."""
        with contextlib.suppress(OSError):  # it is closed
            self.link.shutdown(socket.SHUT_RDWR)
        for each in (self.link, self.root_end, self.held_end):
            each.close()
        self.wait()


def fork_early(preload: Sequence[str], unshared: Collection[int]) -> EarlyForkserver | None:
    """Forks a forkserver off this process, which must have no other thread. None: it cannot.

    It starts in no time, since it has our imports. `unshared`: descriptors that it must not have. Its stdout and stderr
    are ours.
    """
    root_end, held_end = socket.socketpair()
    link, theirs = socket.socketpair()
    try:
        pid = os.fork()
    except OSError:  # the launcher says why when it starts one
        for each in (root_end, held_end, link, theirs):
            each.close()
        return None
    if pid == 0:
        os.setpgid(0, 0)
        for each in (link, held_end):
            each.close()
        for fd in unshared:
            os.close(fd)
        forkserver.serve_forked(theirs, root_end.detach(), preload)
    theirs.close()
    return EarlyForkserver(
        pid=pid,
        link=link,
        root_end=root_end,
        held_end=held_end,
        wait=lambda: _status(pid),
    )


def _status(pid: int) -> int:
    """Of a child that has ended; 0 where it is not known, since this program ignores the ends of its children."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:  # as subprocess says it then
        return 0


def start_early(preload: Sequence[str]) -> EarlyForkserver | None:
    """Starts a forkserver, which imports while this process does. None: it cannot; the launcher says why."""
    root_end, held_end = socket.socketpair()
    link, theirs = socket.socketpair()
    try:
        process = _start(theirs, root_end, preload)
    except OSError:
        for each in (root_end, held_end, link):
            each.close()
        return None
    return EarlyForkserver(pid=process.pid, link=link, root_end=root_end, held_end=held_end, wait=process.wait)


def _start(theirs: socket.socket, root_end: socket.socket, preload: Sequence[str]) -> subprocess.Popen[bytes]:
    with theirs:
        fds = [theirs.fileno(), root_end.fileno()]
        # A process group of its own in the root's session, not a session. When the root dies, the system sends
        # SIGHUP and SIGCONT to an orphaned group that is stopped (POSIX). So a stopped forkserver sees the end of
        # its root as well.
        return start_program(["forkserver", *map(str, fds), *preload], fds, process_group=0)


_Running = tuple[int, Callable[[], int]]  # a forkserver's pid, and what waits for its exit status


class ForkserverLauncher(LauncherParts):
    """Starts actors through a forkserver. A forkserver that dies is replaced at the next start. One thread each."""

    def __init__(
        self,
        on_event: OnEvent,
        *,
        runtime_dir: Path,
        preload: Sequence[str],
        early: EarlyForkserver | None = None,
        sockets: ListeningSockets | None = None,
    ) -> None:
        super().__init__(on_event, runtime_dir, sockets)
        self._preload = preload
        # Nothing is ever written into it. Its end tells the process at the other end that this one is gone.
        self._root_end, self._held_end = (early.root_end, early.held_end) if early else socket.socketpair()
        self._forkserver = self._make_forkserver(early)  # now: it imports while the root starts

    def _make_forkserver(self, early: EarlyForkserver | None = None) -> _Forkserver:
        return _Forkserver(self._reporter, self._runtime_dir, self._preload, self._root_end, early)

    def start(self, request: SpawnRequest) -> None:
        """See `Launcher.start`."""
        with self._lock:
            listening = self._listening(request)
            if not self._forkserver.start(request, listening):
                self._forkserver = self._make_forkserver()
                self._forkserver.start(request, listening)

    def kill(self, child: str, incarnation: int, number: int = signal.SIGKILL) -> None:
        """See `Launcher.kill`."""
        with self._lock:
            self._forkserver.kill(child, incarnation, number)

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

    def __init__(
        self,
        reporter: Reporter,
        runtime_dir: Path,
        preload: Sequence[str],
        root_end: socket.socket,
        early: EarlyForkserver | None,
    ) -> None:
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
        if early is None:
            self._link, theirs = socket.socketpair()
            begin = lambda: self._start(theirs, preload)  # noqa: E731
        else:
            self._link = early.link
            begin = lambda: (early.pid, early.wait)  # noqa: E731
        self._thread = threading.Thread(target=self._tend, args=(begin,), name="forkserver", daemon=True)
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

    def _tend(self, begin: Callable[[], _Running]) -> None:
        why = self._watch(begin)
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

    def _start(self, theirs: socket.socket, preload: Sequence[str]) -> _Running:
        process = _start(theirs, self._root_end, preload)
        return process.pid, process.wait

    def _watch(self, begin: Callable[[], _Running]) -> str:
        """Runs the forkserver until it is gone; says how it ended."""
        try:
            pid, wait = begin()
        except (OSError, ValueError) as error:  # ValueError: everything was closed meanwhile
            return f"cannot start the forkserver: {error}"
        self._pid = pid
        record = processes.record(stale_processes.records_root(self._runtime_dir) / stale_processes.FORKSERVER, pid)
        frames = Frames(Event)
        while data := self._receive():
            for event in frames.feed(data):
                self._take(event)
        processes.wait_ended(pid)
        self._pid = None  # before it may become another's
        status = wait()
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
