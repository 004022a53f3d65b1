"""Starting actor processes and ending them with all that they have started. Lives in the root process.

Two ways behind one Protocol. `NurseryLauncher` (Linux): a nursery process forks the actors. `PortableLauncher`
(everywhere): each actor is started by exec and watched by a thread that waits for it. LOOP_PORTABLE=1 in the
environment, `portable=True`, or a system without child subreapers chooses the second.

A launcher never decides: it restarts nothing, and asks nobody to stop. Its events come from its own threads, one
at a time. However an actor, the nursery or the root ends, what was started below goes with it:

    the actor is killed    the launcher kills what it left behind, then reports the exit
    the nursery is killed  each actor sees the end of its lifeline and ends its tree; the root kills the rest
    the root is killed     the nursery kills everything; each actor sees that end, too, and ends its tree by itself if
                           the nursery is stopped or if there is none
    several at once        the next root kills what the records name (reaper.py)

The root is no child subreaper, on purpose: it would adopt daemons that are the user's (a tmux server, git's
housekeeping), and could not tell them from what an actor left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from actors.edges import processes
from actors.errors import ProtocolError
from supervisor import reaper
from supervisor.nursery import RUNNING, WHEN_IDLE
from supervisor.orders import (
    Event,
    Exited,
    Frames,
    KillOrder,
    Started,
    StartFailed,
    StartOrder,
    ended,
    failed,
    frame,
    lost,
)

__all__ = ["Event", "Exited", "Launcher", "StartFailed", "StartOrder", "Started", "make_launcher"]

# Closing takes at most 3 s: a Procfile manager gives the whole stop 5 s, and the actors have had theirs before.
CLOSE_TIMEOUT_S = 3.0
_NURSERY_TIMEOUT_S = 1.0  # it kills everything in milliseconds; later it is stopped or stuck, and is killed from here

# Actors whose nursery has died end by themselves, and are given this time for it: to kill a tree is to stop it first,
# and a root that is killed in between would leave it stopped, deaf to all lifelines.
_OWN_END_S = 2.0

# A spare process is made this long after the last start: until then the actors that were started have the processors.
SPARE_AFTER_S = 1.0

_READ_BYTES = 65_536
_BACKLOG = 128  # calls that wait while the child that serves them is restarted

# The child must see the modules that we see, whatever directory it is started in: the user's project may well have
# a package "actors" of its own. PYTHONPATH would reach the agents, and their programs, too.
_PATH_VARIABLE = "LOOP_PYTHON_PATH"
_BOOT = (
    f"import os, sys; sys.path[:] = os.environ.pop({_PATH_VARIABLE!r}).split(os.pathsep); "
    "from supervisor.nursery import main; main()"
)

OnEvent = Callable[[Event], None]


class Launcher(Protocol):
    """Starts and ends processes. All methods may be called from any thread but the one that delivers events."""

    def start(self, order: StartOrder) -> None:
        """Starts a process. What becomes of it is reported: `StartFailed`, or `Started` and later `Exited`.

        Returns before the process runs, and raises for no circumstance. One incarnation of a child at a time.
        """
        ...

    def kill(self, child: str, incarnation: int, number: int = signal.SIGKILL) -> None:
        """Sends a signal to an actor's process. Nothing happens when it has ended. SIGKILL ends its tree, too."""
        ...

    def listening_port(self, child: str) -> int:
        """The loopback port of a child that wants a socket; known, and open, before the child is started."""
        ...

    def forget(self, child: str) -> None:
        """Closes the listening socket of a child that will not be started again. May be called twice."""
        ...

    def close(self) -> None:
        """Kills everything that was started, within 3 s; returns when it is gone. No event comes after that.

        May be called twice. Actors that are to end in order are asked to before.
        """
        ...


def make_launcher(
    on_event: OnEvent, *, runtime_dir: Path, portable: bool = False, preload: Sequence[str] = ("actors.host",)
) -> Launcher:
    """The launcher for this system. `runtime_dir` is this root's alone: its lock is held.

    First ends what a root that was killed has left there. `preload`: the modules that actors need; a nursery
    imports them once for all, those with a `WHEN_IDLE` before their name after the first actors were started; without
    a nursery the spare process imports them. They must not start threads.
    """
    reaper.reap(reaper.records_root(runtime_dir))
    if portable or os.environ.get("LOOP_PORTABLE") == "1" or not processes.HAS_SUBREAPER:
        return PortableLauncher(on_event, runtime_dir=runtime_dir, preload=preload)
    return NurseryLauncher(on_event, runtime_dir=runtime_dir, preload=preload)


class NurseryLauncher:
    """Has a nursery fork the actors. A nursery that dies is replaced at the next start. One thread for each nursery."""

    def __init__(self, on_event: OnEvent, *, runtime_dir: Path, preload: Sequence[str]) -> None:
        self._reporter = _Reporter(on_event)
        self._runtime_dir = runtime_dir
        self._preload = preload
        self._sockets = _ListeningSockets()
        self._lock = threading.Lock()
        self._closed = False
        # Nothing is ever written into it; its end says that this process is gone, to whoever has the other end.
        self._root_end, self._held_end = socket.socketpair()
        self._nursery = self._make_nursery()  # at once: it imports while the root starts

    def _make_nursery(self) -> _Nursery:
        return _Nursery(self._reporter, self._runtime_dir, self._preload, self._root_end)

    def start(self, order: StartOrder) -> None:
        with self._lock:
            if self._closed:
                raise ProtocolError(f"{order.child}#{order.incarnation} ordered from a launcher that is closed")
            listening = self._sockets.of(order)
            if not self._nursery.start(order, listening):
                self._nursery = self._make_nursery()
                self._nursery.start(order, listening)

    def kill(self, child: str, incarnation: int, number: int = signal.SIGKILL) -> None:
        with self._lock:
            self._nursery.kill(child, incarnation, number)

    def listening_port(self, child: str) -> int:
        with self._lock:
            return self._sockets.port(child)

    def forget(self, child: str) -> None:
        with self._lock:
            self._sockets.forget(child)

    def close(self) -> None:
        self._closed = True
        self._reporter.silence()
        self._nursery.hang_up()  # before the lock: it frees a start() whose order nobody reads
        with self._lock:
            self._sockets.close()
            self._nursery.hang_up()  # start() may just have made a new one
            self._nursery.wait()
            self._root_end.close()
            self._held_end.close()


class _Nursery:
    """One nursery process, seen from the root, and the thread that reads its reports until it is gone."""

    def __init__(self, reporter: _Reporter, runtime_dir: Path, preload: Sequence[str], root_end: socket.socket) -> None:
        self._reporter = reporter
        self._runtime_dir = runtime_dir
        self._root_end = root_end
        self._children: dict[tuple[str, int], tuple[StartOrder, Started | None]] = {}  # what lives or is to live there
        self._lock = threading.Lock()  # of the children; never held while an order is sent
        self._gone = False
        self._pid: int | None = None
        # Orders wait in the socket until the process reads them, so nobody waits for it to start.
        self._link, theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._tend, args=(theirs, preload), name="nursery", daemon=True)
        self._thread.start()

    def start(self, order: StartOrder, listening: socket.socket | None) -> bool:
        """False: this nursery is gone."""
        with self._lock:
            if self._gone:
                return False
            self._children[order.child, order.incarnation] = (order, None)
        self._send(frame(order), listening)
        return True

    def kill(self, child: str, incarnation: int, number: int) -> None:
        self._send(frame(KillOrder(child=child, incarnation=incarnation, signal=number)))

    def hang_up(self) -> None:
        """The nursery kills everything and ends. May be called twice."""
        with contextlib.suppress(OSError):  # it is gone already
            self._link.shutdown(socket.SHUT_RDWR)

    def wait(self) -> None:
        """Waits until it is gone, and all that it had; helps if need be."""
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        self._thread.join(_NURSERY_TIMEOUT_S)
        if (pid := self._pid) is not None:  # it is stopped or stuck
            processes.kill_tree(pid, timeout_s=deadline - time.monotonic())
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _send(self, data: bytes, listening: socket.socket | None = None) -> None:
        if (pid := self._pid) is not None:
            processes.send(pid, signal.SIGCONT)  # one that somebody has stopped would never take the order
        with contextlib.suppress(OSError):  # it has died: our thread reports that for all its children
            _send(self._link, data, listening)

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
        for order, started in children:
            _end_what_is_left(started, _records(order, self._runtime_dir))
        for order, started in children:
            self._reporter.report(lost(order) if started else failed(order, why))

    def _watch(self, theirs: socket.socket, preload: Sequence[str]) -> str:
        """Runs the nursery until it is gone; says how it ended."""
        with theirs:
            try:
                fds = [theirs.fileno(), self._root_end.fileno()]
                # A group of its own in the root's session, not a session: when the root dies, the system itself sends
                # SIGHUP and SIGCONT to a stopped group that nobody is left to continue (POSIX, orphaned groups), so
                # that a nursery which was stopped sees the end of its root as well.
                process = _exec(["nursery", *map(str, fds), *preload], fds, process_group=0)
            except (OSError, ValueError) as error:  # ValueError: everything was closed meanwhile
                return f"cannot start the nursery: {error}"
        self._pid = process.pid
        record = processes.record(reaper.records_root(self._runtime_dir) / reaper.NURSERY, process.pid)
        frames = Frames(Event)
        while data := self._receive():
            for event in frames.feed(data):
                self._take(event)
        processes.wait_ended(process.pid)
        self._pid = None  # before it may become another's
        status = process.wait()
        if record:
            record.unlink(missing_ok=True)
        return f"the nursery ended: exit status {status}"

    def _receive(self) -> bytes:
        try:
            return self._link.recv(_READ_BYTES)
        except OSError:  # it was killed with an order unread
            return b""

    def _take(self, event: Event) -> None:
        key = (event.child, event.incarnation)
        with self._lock:
            order, _ = self._children[key]
            if isinstance(event, Started):
                self._children[key] = (order, event)
            else:
                del self._children[key]
        records = _records(order, self._runtime_dir)
        if isinstance(event, Started):
            processes.record(records, event.pid)
        else:
            reaper.reap(records)
        self._reporter.report(event)


class PortableLauncher:
    """Starts each actor by exec, with a thread that waits for it.

    A spare process has the imports done and waits for its order, so that an actor that crashed is back at once.
    """

    def __init__(self, on_event: OnEvent, *, runtime_dir: Path, preload: Sequence[str] = ()) -> None:
        self._reporter = _Reporter(on_event)
        self._runtime_dir = runtime_dir
        self._preload = [module.removeprefix(WHEN_IDLE) for module in preload]
        self._sockets = _ListeningSockets()
        self._lock = threading.Lock()
        self._closed = False
        self._threads: dict[tuple[str, int], threading.Thread] = {}
        self._pids: dict[tuple[str, int], int] = {}
        self._spare: _Fresh | None = None
        self._spare_timer: threading.Timer | None = None

    def start(self, order: StartOrder) -> None:
        with self._lock:
            if self._closed:
                raise ProtocolError(f"{order.child}#{order.incarnation} ordered from a launcher that is closed")
            key = (order.child, order.incarnation)
            listening = self._sockets.of(order)
            fresh: _Fresh | OSError
            try:
                fresh = self._take_spare() or _Fresh.make()
                self._pids[key] = fresh.process.pid
            except OSError as error:
                fresh = error
            self._threads[key] = threading.Thread(
                target=self._tend, args=(order, fresh, listening), name=f"waits for {order.child}", daemon=True
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
        if spare.process.poll() is not None:  # somebody has killed it
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
            with contextlib.suppress(OSError):  # no process to be had: an actor that is started tells people so
                spare = _Fresh.make(self._preload)
                records = reaper.records_root(self._runtime_dir) / reaper.SPARE
                self._spare = spare._replace(record=processes.record(records, spare.process.pid))

    def kill(self, child: str, incarnation: int, number: int = signal.SIGKILL) -> None:
        with self._lock:
            pid = self._pids.get((child, incarnation))
            if pid is None:
                return
            if number == signal.SIGKILL:
                processes.kill_tree(pid)  # while the actor lives, its tree is known
            else:
                processes.send(pid, number)

    def listening_port(self, child: str) -> int:
        with self._lock:
            return self._sockets.port(child)

    def forget(self, child: str) -> None:
        with self._lock:
            self._sockets.forget(child)

    def close(self) -> None:
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

    def _tend(self, order: StartOrder, fresh: _Fresh | OSError, listening: socket.socket | None) -> None:
        if isinstance(fresh, OSError):
            event: Event = failed(order, f"cannot start a process: {fresh}")
        else:
            with fresh.link:
                event = self._run(order, fresh, listening)
        with self._lock:
            del self._threads[order.child, order.incarnation]
        self._reporter.report(event)

    def _run(self, order: StartOrder, fresh: _Fresh, listening: socket.socket | None) -> Exited | StartFailed:
        """Until the process, and all that it left behind, is gone."""
        pid = fresh.process.pid
        started, reason = self._see_start(order, fresh, listening)
        processes.wait_ended(pid)
        with self._lock:  # only now may its pid become another's
            del self._pids[order.child, order.incarnation]
            exited = ended(order, fresh.process.wait())
        _end_what_is_left(started, _records(order, self._runtime_dir))
        if started:
            return exited
        return failed(order, reason or f"ended before it ran: code {exited.code}, signal {exited.signal}")

    def _see_start(
        self, order: StartOrder, fresh: _Fresh, listening: socket.socket | None
    ) -> tuple[Started | None, str]:
        link, pid = fresh.link, fresh.process.pid
        born = processes.start_time(pid) or ""
        said = b""
        try:
            _send(link, frame(order), listening)
            while said != RUNNING and (data := link.recv(_READ_BYTES)):
                said += data
        except OSError:  # it has ended without reading its order
            return None, ""
        if said != RUNNING:
            return None, said.decode(errors="replace")
        started = Started(child=order.child, incarnation=order.incarnation, pid=pid, started=born)
        processes.record(_records(order, self._runtime_dir), pid)
        self._reporter.report(started)
        return started, ""


class _Fresh(NamedTuple):
    """A process that waits for its order."""

    process: subprocess.Popen[bytes]
    link: socket.socket  # brings the order, then is its lifeline
    record: Path | None = None

    @classmethod
    def make(cls, preload: Sequence[str] = ()) -> _Fresh:
        link, theirs = socket.socketpair()
        try:
            with theirs:
                return cls(
                    _exec(["actor", str(theirs.fileno()), *preload], [theirs.fileno()], start_new_session=True), link
                )
        except OSError:
            link.close()
            raise


class _Reporter:
    """Hands events to the root, one at a time, until it is told to be silent."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event: OnEvent | None = on_event
        self._lock = threading.Lock()

    def report(self, event: Event) -> None:
        with self._lock:
            if self._on_event:
                self._on_event(event)

    def silence(self) -> None:
        with self._lock:
            self._on_event = None


class _ListeningSockets:
    """Listening sockets by child. Held here, so that calls made while a child is restarted wait for it."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}

    def of(self, order: StartOrder) -> socket.socket | None:
        return self._made(order.child) if order.wants_socket else None

    def port(self, child: str) -> int:
        return int(self._made(child).getsockname()[1])

    def _made(self, child: str) -> socket.socket:
        if child not in self._sockets:
            self._sockets[child] = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        return self._sockets[child]

    def forget(self, child: str) -> None:
        if child in self._sockets:
            self._sockets.pop(child).close()

    def close(self) -> None:
        for child in list(self._sockets):
            self.forget(child)


def _send(link: socket.socket, data: bytes, listening: socket.socket | None) -> None:
    """An order, with its listening socket if it has one."""
    if listening:
        data = data[socket.send_fds(link, [data], [listening.fileno()]) :]
    link.sendall(data)


def _exec(
    arguments: Sequence[str], fds: Sequence[int], *, start_new_session: bool = False, process_group: int | None = None
) -> subprocess.Popen[bytes]:
    """Starts this Python with supervisor.nursery as its program, out of reach of the terminal's Ctrl-C."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _BOOT, *arguments],
        stdin=subprocess.DEVNULL,
        env={**os.environ, _PATH_VARIABLE: path},
        pass_fds=fds,
        start_new_session=start_new_session,
        process_group=process_group,
    )


def _records(order: StartOrder, runtime_dir: Path) -> Path:
    return reaper.records_directory(order.runtime_dir or runtime_dir, order.child)


def _end_what_is_left(started: Started | None, records: Path) -> None:
    """After the end of an actor's process, or of its launcher: what is known of its tree, then what is recorded."""
    # No process under that pid: members of its session may still be there, and keep the pid from being used again.
    if started and processes.start_time(started.pid) in (started.started, None):
        processes.kill_tree(started.pid)
    reaper.reap(records)
