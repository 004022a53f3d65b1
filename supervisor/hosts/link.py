"""What a link to a host can do: one that home has made by ssh, or one that the host has dialled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from actors.errors import OperationalError, PermanentError
from actors.hosts import Host

READ_BYTES = 65_536
NAME = "loop-shim"  # how the program there is known in a list of processes


class HostUnreachableError(OperationalError):
    """The host cannot be used now. The text is one line: what is wrong, and what to do."""


class HostUnusableError(HostUnreachableError, PermanentError):
    """The host cannot be used before the user has changed something."""


class HostAwaitedError(HostUnreachableError):
    """The host has not dialled in within the time that it had."""


class Link(Protocol):
    """One connection. `open` once; `read` in one thread, `send` in any; `close` and `end` any number of times.

    It carries the shim's stdin and stdout, and connections of the host to sockets of home. When it ends, the shim's
    stdin ends, too. `far_bus` is the path on the host that leads to the bus. `begun_s`: when it began to connect, on
    time.monotonic's clock.
    """

    far_bus: str
    begun_s: float

    def open(self, begin: bytes, bus: Path, bridge_port: int, wait_s: float) -> None:
        """Connects, and starts the shim with these first words. Connections to `far_bus` arrive at `bus`.

        `wait_s`: for a host that dials in. Raises `HostUnreachableError`.
        """

    def read(self, most: int = READ_BYTES) -> bytes:
        """What comes next from the shim; b"" = the link has ended."""

    def is_heard(self, timeout_s: float) -> bool:
        """Waits until `read` does not block. False: it still does."""

    def send(self, data: bytes) -> None:
        """To the shim. Raises OSError when the link has ended."""

    def far_port(self) -> int:
        """The loopback port of the host that leads to the bridge. Raises `HostUnreachableError`."""

    def refused(self) -> HostUnreachableError:
        """The error for a way back that the host does not give."""

    def end(self) -> None:
        """Ends the shim, and waits until nothing of it is left there, as long as the link lives."""

    def close(self) -> None:
        """Ends the connection, and with it the shim's lifeline."""

    def has_left(self) -> bool:
        """Whether the host has said that nothing lives there any more, and that it starts nothing more."""

    def tell(self, text: str) -> None:
        """Shows a line to the user there, if one may look at it."""

    def failed(self) -> HostUnreachableError:
        """Why the link, or the program behind it, could not begin. Closes it."""

    def ended(self) -> str:
        """Why the link has ended, in one line. Closes it."""


Says = Callable[[str], None]
# Of the host, what programs there print, and what the link waits for.
MakeLink = Callable[[Host, Says, Says], Link]
