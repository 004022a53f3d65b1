"""The link to a host that has dialled in. See `Link`. What differs from ssh: home waits for the host, and cannot call
it.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from actors.errors import LoopError
from actors.hosts import Host
from actors.machines.durations import span
from actors.text import valid
from supervisor.hosts.far_sockets import far_socket
from supervisor.hosts.join_listener import JoinListener
from supervisor.hosts.join_session import Session
from supervisor.hosts.link import READ_BYTES, HostAwaitedError, HostUnreachableError, Says

_LONGEST_LINE = 10_000
LOCAL_S = 1.0  # home's own sockets accept at once
END_S = 2.0  # the shim there ends in milliseconds when its lifeline does


class JoinLink:
    """`listener`: of the root, made when the first link needs it. `log`: what programs there print."""

    def __init__(self, host: Host, listener: Callable[[], JoinListener], log: Says, waits: Says) -> None:
        self.host = host
        self._make_listener = listener
        self._log = log
        self._waits = waits
        self._writing = threading.Lock()
        self._is_closed = threading.Event()
        self._listener: JoinListener | None = None
        self._session: Session | None = None
        self._shim = self._port = 0
        self.far_bus = far_socket()
        self.begun_s = time.monotonic()
        self._local: socket.socket | None = None

    def open(self, begin: bytes, bus: Path, bridge_port: int, wait_s: float) -> None:
        """See `Link.open`. Raises `HostAwaitedError` when the host does not join within `wait_s`."""
        host = self.host
        listener = self._listener = self._make_listener()
        session = listener.wait(host.name, 0.0, self._is_closed.is_set, self._waits)
        if session is None and wait_s > 0 and not self._is_closed.is_set():
            self._waits(
                f"waits for {host.name} to join: run loop join HOME:{host.listen.rpartition(':')[2]} "
                f"--key {host.name}.key there; gives up in {span(round(wait_s * 1_000))}"
            )
            session = listener.wait(host.name, wait_s, self._is_closed.is_set, self._waits)
        if session is None:
            raise HostAwaitedError(f"host {host.name} has not joined: run loop join there")
        self._session = session
        self._local, theirs = socket.socketpair()
        words, their_words = socket.socketpair()
        threading.Thread(target=self._hear, args=(words,), name=f"words of {host.name}", daemon=True).start()
        self._shim = listener.open_shim(session, theirs, their_words)
        try:
            listener.listen(session, self._shim, self.far_bus, _to_socket(bus))
            self._port = listener.listen(session, self._shim, "", _to_port(bridge_port)) if bridge_port else 0
            self.send(begin)
        except LoopError:
            self.close()
            raise
        except OSError as error:
            raise HostUnreachableError(self.ended()) from error
        if self._is_closed.is_set():
            self.close()

    def read(self, most: int = READ_BYTES) -> bytes:
        """See `Link.read`."""
        assert self._local is not None, "the link is not open"
        try:
            return self._local.recv(most)
        except OSError:
            return b""

    def send(self, data: bytes) -> None:
        """See `Link.send`."""
        assert self._local is not None, "the link is not open"
        with self._writing:
            self._local.sendall(data)

    def is_heard(self, timeout_s: float) -> bool:
        """See `Link.is_heard`."""
        assert self._local is not None, "the link is not open"
        return bool(select.select([self._local], [], [], timeout_s)[0])

    def far_port(self) -> int:
        """See `Link.far_port`."""
        return self._port

    def refused(self) -> HostUnreachableError:
        """See `Link.refused`."""
        return HostUnreachableError(f"host {self.host.name}: no socket can be made in /tmp there: look at its rights")

    def end(self) -> None:
        """See `Link.end`."""
        if self._local is None:
            self.close()
            return
        with suppress(OSError):
            self._local.shutdown(socket.SHUT_WR)
        if self._listener is not None and self._session is not None:
            self._listener.wait_ended(self._session, self._shim, END_S)
        self.close()

    def close(self) -> None:
        """See `Link.close`."""
        self._is_closed.set()
        if self._listener is not None:
            self._listener.notify()
        if self._local is not None:
            with suppress(OSError):
                self._local.shutdown(socket.SHUT_RDWR)
        if self._listener is not None and self._session is not None and self._shim:
            self._listener.end_shim(self._session, self._shim)

    def failed(self) -> HostUnreachableError:
        """See `Link.failed`."""
        return HostUnreachableError(self.ended())

    def ended(self) -> str:
        """See `Link.ended`."""
        self.close()
        why = self._session.why if self._session is not None else ""
        return f"host {self.host.name}: {why or 'the program there has ended'}"

    def has_left(self) -> bool:
        """See `Link.has_left`."""
        return self._session is not None and self._session.has_left

    def tell(self, text: str) -> None:
        """See `Link.tell`."""
        if self._listener is not None and self._session is not None:
            self._listener.note(self._session, text)

    def _hear(self, words: socket.socket) -> None:
        with words, words.makefile("rb") as stream:
            while line := stream.readline(_LONGEST_LINE):
                self._log(valid(line.decode(errors="replace")).rstrip("\n"))


def _to_socket(path: Path) -> Callable[[], socket.socket]:
    """Connects to a socket of home."""

    def connect() -> socket.socket:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            found.settimeout(LOCAL_S)
            found.connect(str(path))
        except BaseException:
            found.close()
            raise
        return found

    return connect


def _to_port(port: int) -> Callable[[], socket.socket]:
    """Connects to a loopback port of home."""
    return lambda: socket.create_connection(("127.0.0.1", port), LOCAL_S)
