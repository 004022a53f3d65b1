"""The program below the root: forks actors on request, watches over their processes, and ends them with the root.

It is single-threaded, so that it may fork. It is started by exec, preloads the imports of all actors, and has no ZeroMQ
context. A fork shares those imports, which makes an actor's start quick and its memory small. It is the child subreaper
of everything below it: what an actor leaves behind, in whatever session, becomes a child of the forkserver and is
killed before the actor's exit is reported. When the link to the root ends, everything is killed.

It never decides to restart anything, and never polls: it sleeps until the root sends a request, a child ends, or a
forked process speaks.

On a host it is forked off its launcher's process, whose imports it shares, and forks first: no request waits for an
import. What is not imported yet, the actor imports itself, and the forkserver for its successors when it is idle.

The same module is the `main` of one actor started by exec (`PortableLauncher`). There it waits for its request, with
the imports done if it is a spare process, and runs the entry.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import selectors
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NoReturn

from actors.edges import processes
from actors.edges.imports import uncollected
from actors.errors import ProtocolError
from supervisor.forked import RUNNING, Forked, become
from supervisor.spawning import (
    Event,
    Exited,
    Frames,
    Request,
    SignalRequest,
    SpawnRequest,
    Started,
    StartFailed,
    ended,
    failed,
    frame,
)

# A killed process that does not end is in an uninterruptible sleep. It never runs again, so the root need not wait for
# it to learn of the actor's exit.
SWEEP_TIMEOUT_S = 2.0

_READ_BYTES = 65_536
_MOST_FDS = 16


# Prefix of a module that is imported after IDLE_S without an event. By then the first actors are started, and a run of
# half a minute does not pay for a restart that never comes. During an import nothing is reported and the lifeline is
# not read. So an expensive import is split into pieces of less than a quarter of a second, with a check for events
# between two of them.
WHEN_IDLE = "+"
IDLE_S = 30.0
NEXT_PIECE_S = 0.02
IDLE_AFTER_FORK_S = 1.0  # of a forkserver that forks first: the actor has imported the same by then


@dataclass(kw_only=True)
class _Actor:
    request: SpawnRequest
    pid: int
    started: str
    lifeline: socket.socket  # our end; closed when the actor has ended, or when we have
    running: bool = False
    reason: str = ""  # why it could not be started, in its own words


class Forkserver:
    """Serves one root over `link`. Created and used by the main thread of a process of its own.

    `root_end` is for the actors: should the root be killed while this process is stopped, they see it themselves.
    `forks_first`: a request does not wait for imports. `when_idle` is then imported until the first request comes.
    """

    def __init__(
        self, link: socket.socket, root_end: int, when_idle: Sequence[str] = (), *, forks_first: bool = False
    ) -> None:
        self._link = link
        self._root_end = root_end
        self._when_idle = deque(when_idle)  # modules that are expensive to import, and only matter for a restart
        self._forks_first = forks_first
        self._wake, self._wakeup = socket.socketpair()  # readable, and written to by the interpreter, on a signal
        self._selector = selectors.DefaultSelector()
        self._frames = Frames(Request)
        self._received_fds: deque[int] = deque()  # listening sockets, in the order of their requests
        self._actors: dict[int, _Actor] = {}  # by pid
        self._ended: list[Exited | StartFailed] = []  # reported when no orphan is left
        self._sweep_until = 0.0  # on time.monotonic's clock

    def serve(self) -> Forked | None:
        """Returns in each forked process with what it becomes, and in the forkserver, at the end, with None."""
        self._wake.setblocking(False)
        self._wakeup.setblocking(False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # only the wake-up matters
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._link, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        idle_s, next_s = (0.0, 0.0) if self._forks_first else (IDLE_S, NEXT_PIECE_S)
        while True:
            patience_s = self._sweep_until - time.monotonic() if self._ended else idle_s if self._when_idle else None
            ready = self._selector.select(patience_s)
            if ready:
                idle_s, next_s = IDLE_AFTER_FORK_S if self._forks_first else IDLE_S, NEXT_PIECE_S
            elif not self._ended and self._when_idle:
                _preload([self._when_idle.popleft()], collects=not self._forks_first)
                idle_s = next_s
            for key, _ in ready:
                if key.fileobj is self._link:
                    data = self._receive()
                    if not data:
                        self._end_all()
                        return None
                    for request in self._frames.feed(data):
                        forked = self._obey(request)
                        if forked:
                            return forked
                elif key.fileobj is self._wake:
                    numbers = self._wake.recv(_READ_BYTES)
                    if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                        self._end_all()
                        return None
                    self._reap()
                elif key.data.pid in self._actors:  # else it was reaped in this round, and its last words were read
                    self._listen_to(key.data)
            self._report_ended()

    # --- orders -------------------------------------------------------------------------------------------------

    def _receive(self) -> bytes:
        try:
            data, fds, _, _ = socket.recv_fds(self._link, _READ_BYTES, _MOST_FDS)
        except OSError:  # the root was killed before it had read everything
            return b""
        for fd in fds:
            os.set_inheritable(fd, False)
        self._received_fds.extend(fds)
        return data

    def _obey(self, request: Request) -> Forked | None:
        match request:
            case SpawnRequest():
                return self._start(request)
            case SignalRequest():
                for actor in self._actors.values():
                    if (actor.request.child, actor.request.incarnation) == (request.child, request.incarnation):
                        processes.send(actor.pid, request.signal)
                return None

    def _start(self, request: SpawnRequest) -> Forked | None:
        missing = [name for name in request.imports if name not in sys.modules]
        if self._forks_first:
            self._when_idle.extend(missing)
        elif missing:
            _preload(missing)
        listen_fd = self._received_fds.popleft() if request.listens else None
        ours, theirs = socket.socketpair()
        # A signal that came between the fork and the reset of its handlers would wake the wrong process.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            ours.close()
            theirs.close()
            self._close_fd(listen_fd)
            self._report(failed(request, f"cannot fork: {error}"))
            return None
        if pid == 0:
            self._abandon()
            ours.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            return Forked(request=request, lifeline=theirs, root_end=self._root_end, listen_fd=listen_fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()
        self._close_fd(listen_fd)
        ours.setblocking(False)
        actor = _Actor(request=request, pid=pid, started=processes.start_time(pid) or "", lifeline=ours)
        self._actors[pid] = actor
        self._selector.register(ours, selectors.EVENT_READ, actor)
        return None

    def _abandon(self) -> None:
        """In a forked process: closes everything that belongs to the forkserver."""
        os.setsid()  # Ctrl-C at the terminal is for the root; and an agent that signals its group hits one actor
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        for ours in (self._link, self._wake, self._wakeup, *(actor.lifeline for actor in self._actors.values())):
            ours.close()
        for fd in self._received_fds:
            os.close(fd)
        gc.enable()

    # --- children -----------------------------------------------------------------------------------------------

    def _listen_to(self, actor: _Actor) -> None:
        """Reads a forked process's report: it runs, it cannot run and why, or nothing because it has ended."""
        try:
            said = actor.lifeline.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if actor.lifeline in self._selector.get_map():
            self._selector.unregister(actor.lifeline)
        request = actor.request
        if said == RUNNING and not actor.running:
            actor.running = True
            self._report(
                Started(child=request.child, incarnation=request.incarnation, pid=actor.pid, started=actor.started)
            )
        elif said:
            actor.reason = said.decode(errors="replace")

    def _reap(self) -> None:
        """Reaps every child that has ended, adopted ones included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            actor = self._actors.pop(pid, None)
            if actor is None:
                continue  # an orphan
            if not actor.running and not actor.reason:
                self._listen_to(actor)  # its last words may still be unread
            if actor.lifeline in self._selector.get_map():
                self._selector.unregister(actor.lifeline)
            actor.lifeline.close()
            exited = ended(actor.request, os.waitstatus_to_exitcode(status))
            how = f"ended before it ran: code {exited.code}, signal {exited.signal}"
            self._ended.append(exited if actor.running else failed(actor.request, actor.reason or how))
            self._sweep_until = time.monotonic() + SWEEP_TIMEOUT_S

    def _report_ended(self) -> None:
        """Reports ended actors as soon as no orphan of theirs is left. Runs after the end of each orphan."""
        if not self._ended:
            return
        orphans = processes.children() - self._actors.keys()
        if _kill(orphans) and time.monotonic() < self._sweep_until:
            return
        for event in self._ended:
            self._report(event)
        self._ended.clear()

    def _end_all(self) -> None:
        """Kills children until there are none: the children of each become ours when it has ended."""
        while _kill(processes.children()):
            os.waitpid(-1, 0)

    # --- the link -----------------------------------------------------------------------------------------------

    def _report(self, event: Event) -> None:
        try:
            self._link.sendall(frame(event))
        except OSError:  # the root is gone: the link's end is the next thing we read
            return

    @staticmethod
    def _close_fd(fd: int | None) -> None:
        if fd is not None:
            os.close(fd)


def _kill(pids: Collection[int]) -> bool:
    """False: none of them could be killed, so there is nothing to wait for."""
    return True in [processes.send(pid, signal.SIGKILL) for pid in pids]


def main() -> NoReturn:
    """`forkserver LINK_FD ROOT_FD MODULE…` serves a root; `actor LINK_FD MODULE…` runs the one request that comes."""
    match sys.argv[1:]:
        case ["forkserver", link_fd, root_end, *modules]:
            at_once = [name for name in modules if not name.startswith(WHEN_IDLE)]
            when_idle = [name.removeprefix(WHEN_IDLE) for name in modules if name.startswith(WHEN_IDLE)]
            os.set_inheritable(int(root_end), False)
            forked = _forkserver(_inherited(link_fd), int(root_end), at_once, when_idle)
        case ["actor", link_fd, *modules]:
            forked = _single(_inherited(link_fd), modules)
        case other:
            raise ProtocolError(f"forkserver started with {other}: it is a part of loop: run loop instead")
    if forked:
        become(forked)
    sys.exit(0)


def serve_forked(link: socket.socket, root_end: int, modules: Sequence[str]) -> NoReturn:
    """The life of a forkserver that was forked off its launcher's process, with nothing but these descriptors."""
    gc.disable()
    gc.freeze()
    processes.become_subreaper()
    forked = Forkserver(link, root_end, modules, forks_first=True).serve()
    if forked:
        become(forked)
    sys.exit(0)


def _inherited(fd: str) -> socket.socket:
    link = socket.socket(fileno=int(fd))
    link.set_inheritable(False)
    return link


def _forkserver(link: socket.socket, root_end: int, at_once: Sequence[str], when_idle: Sequence[str]) -> Forked | None:
    gc.disable()  # a collection in the forkserver would only touch, and so copy, pages that the actors share
    _preload(at_once)
    processes.become_subreaper()
    return Forkserver(link, root_end, when_idle).serve()


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except Exception:  # the actor that needs it says so in its own words
        traceback.print_exc()


def _preload(modules: Sequence[str], *, collects: bool = True) -> None:
    for module in modules:
        _import(module)
    if processes.thread_count() != 1:
        raise ProtocolError(f"one of {modules} starts a thread when it is imported: such a process cannot fork")
    if collects:  # it takes as long as a small import
        gc.collect()
    gc.freeze()


def _single(link: socket.socket, preload: Sequence[str]) -> Forked | None:
    """For a launcher without a forkserver. The link brings one request, then it is the lifeline.

    The request may come in the middle of the imports, and so may the lifeline's end: the rest is not imported then.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored from the start below `nohup loop &`
    with uncollected():
        for module in preload:
            if select.select([link], [], [], 0)[0]:
                break
            _import(module)
    frames = Frames(SpawnRequest)
    listen_fd: int | None = None
    while True:
        data, fds, _, _ = socket.recv_fds(link, _READ_BYTES, 1)
        if not data:
            return None
        for fd in fds:
            os.set_inheritable(fd, False)
            listen_fd = fd
        for request in frames.feed(data):
            return Forked(request=request, lifeline=link, root_end=None, listen_fd=listen_fd)
