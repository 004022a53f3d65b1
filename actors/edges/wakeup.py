"""Lets any thread, or a signal, end the wait of an I/O thread that polls sockets."""

from __future__ import annotations

import socket
from contextlib import suppress


class Wakeup:
    """One socket pair. `wake` is for any thread; everything else for the thread that polls `fd`."""

    def __init__(self) -> None:
        self._in, self._out = socket.socketpair()
        self._in.setblocking(False)
        self._out.setblocking(False)
        self._awake = False
        self.fd = self._in.fileno()
        self.signal_fd = self._out.fileno()  # for signal.set_wakeup_fd

    def wake(self) -> None:
        """Makes `fd` readable, unless it is already."""
        # `clear` resets the flag before the thread checks its queues, so a wake-up skipped here is never missed.
        if not self._awake:
            self._awake = True
            with suppress(OSError):  # full: it is readable; closed: no thread polls any more
                self._out.send(b"\0")

    def clear(self) -> None:
        """Call it when `fd` was readable, then check all queues."""
        with suppress(BlockingIOError):
            self._in.recv(4096)
        self._awake = False

    def close(self) -> None:
        """A later `wake` does nothing."""
        self._in.close()
        self._out.close()
