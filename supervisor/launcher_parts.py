"""The parts of both launchers: listening sockets of children, delivery of events to the root, and the start of a
process that runs supervisor.forkserver. Lives in the root process; decides nothing.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from actors.edges import environments, processes
from actors.errors import ProtocolError
from supervisor import stale_processes
from supervisor.spawning import Event, SpawnRequest, Started

# Closing takes at most 3 s: a Procfile manager gives the whole stop 5 s, and the actors use their share before.
CLOSE_TIMEOUT_S = 3.0

READ_BYTES = 65_536
# Connections that wait while the child that serves them is restarted. Unknown clients take room as well.
_BACKLOG = 2_048

# The child must import the modules of this installation, in whatever directory it starts: the user's project may have a
# package "actors" of its own. PYTHONPATH would reach the agents and their programs, too.
_PATH_VARIABLE = "LOOP_PYTHON_PATH"
_BOOT = (
    f"import os, sys; sys.path[:] = os.environ.pop({_PATH_VARIABLE!r}).split(os.pathsep); "
    "from supervisor.forkserver import main; main()"
)

OnEvent = Callable[[Event], None]


class Reporter:
    """Delivers events to the root, one at a time, until `silence`."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event: OnEvent | None = on_event
        self._lock = threading.Lock()

    def report(self, event: Event) -> None:
        """Any thread."""
        with self._lock:
            if self._on_event:
                self._on_event(event)

    def silence(self) -> None:
        """Stops delivery. No event comes after this has returned."""
        with self._lock:
            self._on_event = None


class ListeningSockets:
    """Listening sockets by child. Held here, so that calls made while a child is restarted wait for it."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}

    def of(self, request: SpawnRequest) -> socket.socket | None:
        """The child's socket, created at the first call; None for a child that wants none."""
        return self._made(request.child) if request.listens else None

    def port(self, child: str) -> int:
        """See `Launcher.listening_port`."""
        return int(self._made(child).getsockname()[1])

    def _made(self, child: str) -> socket.socket:
        if child not in self._sockets:
            self._sockets[child] = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        return self._sockets[child]

    def forget(self, child: str) -> None:
        """Closes the child's socket. May be called twice."""
        if child in self._sockets:
            self._sockets.pop(child).close()

    def close(self) -> None:
        """Closes all sockets."""
        for child in list(self._sockets):
            self.forget(child)


class LauncherParts:
    """What both launchers have: a reporter, the listening sockets, and a lock for all of it."""

    def __init__(self, on_event: OnEvent, runtime_dir: Path, sockets: ListeningSockets | None) -> None:
        self._reporter = Reporter(on_event)
        self._runtime_dir = runtime_dir
        self._sockets = sockets or ListeningSockets()
        self._lock = threading.Lock()
        self._closed = False

    def _listening(self, request: SpawnRequest) -> socket.socket | None:
        """The socket of the child that is to start. Raises when the launcher is closed. Under the lock."""
        if self._closed:
            raise ProtocolError(f"{request.child}#{request.incarnation} requested from a closed launcher")
        return self._sockets.of(request)

    def listening_port(self, child: str) -> int:
        """See `Launcher.listening_port`."""
        with self._lock:
            return self._sockets.port(child)

    def forget(self, child: str) -> None:
        """See `Launcher.forget`."""
        with self._lock:
            self._sockets.forget(child)


def send(link: socket.socket, data: bytes, listening: socket.socket | None) -> None:
    """Sends a request, with its listening socket if it has one."""
    if listening:
        data = data[socket.send_fds(link, [data], [listening.fileno()]) :]
    link.sendall(data)


def start_program(
    arguments: Sequence[str], fds: Sequence[int], *, start_new_session: bool = False, process_group: int | None = None
) -> subprocess.Popen[bytes]:
    """Starts this Python with supervisor.forkserver as its program, out of reach of the terminal's Ctrl-C."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _BOOT, *arguments],
        stdin=subprocess.DEVNULL,
        env=environments.handed_on() | {_PATH_VARIABLE: path},
        pass_fds=fds,
        start_new_session=start_new_session,
        process_group=process_group,
    )


def records_of(request: SpawnRequest, runtime_dir: Path) -> Path:
    """The directory with the records of the child's processes."""
    return stale_processes.records_directory(request.runtime_dir or runtime_dir, request.child)


def end_what_is_left(started: Started | None, records: Path) -> None:
    """Kills what an actor left behind: what is known of its tree, then what its records name. Call it after the end of
    the actor's process, or of its launcher.
    """
    # No process under that pid: members of its session may still be there, and keep the pid from being used again.
    if started and processes.start_time(started.pid) in (started.started, None):
        processes.kill_tree(started.pid)
    stale_processes.kill(records)
