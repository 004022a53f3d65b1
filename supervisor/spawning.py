"""Orders to a launcher and its events. The same structs travel between root and forkserver. Pure.

Each `SpawnRequest` has one outcome: either `StartFailed`, or `Started` and later `Exited`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from actors.wire.unpack import Unpacker

_LENGTH_BYTES = 4


class SpawnRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Start a process and call `entry(arguments: bytes, lifelines: tuple[int, ...], listen_fd: int | None)` in it.

    The process has a session of its own, reads nothing from stdin, and inherits no other descriptors than these. A
    lifeline never has anything to read. Its end says that the other side is gone, and that the process and everything
    below it must end. The first lifeline leads to the process that started this one, a second one to the root. When
    only the second ends, the starter may be stopped, so it is sent SIGCONT, too. The process ends with 0 when `entry`
    returns.
    """

    child: str
    incarnation: int
    entry: str  # "module:function"
    arguments: bytes
    listens: bool = False  # a listening loopback TCP socket: the same one for every incarnation of the child
    log_path: Path | None = None  # stdout and stderr are appended to it; None: they are the root's
    # What a forkserver imports before it forks this actor, for all that need it later as well. Requests wait meanwhile.
    imports: tuple[str, ...] = ()
    runtime_dir: Path | None = None  # where its processes are recorded (stale_processes); None: the launcher's


class SignalRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Send a signal to one incarnation, if it still runs."""

    child: str
    incarnation: int
    signal: int


class Started(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The entry was imported and is being called. The actor itself reports that it is ready."""

    child: str
    incarnation: int
    pid: int
    started: str  # processes.start_time: with the pid, the identity of the process


class Exited(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The process has ended, and everything that it started is gone. Neither code nor signal: how is unknown."""

    child: str
    incarnation: int
    code: int | None
    signal: int | None


class StartFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The process could not be created, or ended before the entry was called. Nothing of it is left."""

    child: str
    incarnation: int
    reason: str
    permanent: bool = False  # no further start can succeed


Request = SpawnRequest | SignalRequest
Event = Started | Exited | StartFailed


def frame(message: msgspec.Struct) -> bytes:
    """Encodes the message for a stream: its length, then msgpack."""
    body = msgspec.msgpack.encode(message, enc_hook=str)  # the only foreign type is Path
    return len(body).to_bytes(_LENGTH_BYTES) + body


class Frames:
    """Cuts a stream of bytes into messages. Keeps the bytes of an unfinished one for the next call."""

    def __init__(self, kind: Any) -> None:
        self._messages: Unpacker[Any] = Unpacker(kind, lambda cls, value: cls(value))
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yields each message that `data` completes. Raises `ProtocolError` for bytes that are no message."""
        self._rest += data
        while len(self._rest) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._rest[:_LENGTH_BYTES])
            if len(self._rest) < end:
                return
            body, self._rest = self._rest[_LENGTH_BYTES:end], self._rest[end:]
            yield self._messages.unpack(body, "message between root and forkserver")


def ended(request: SpawnRequest, status: int) -> Exited:
    """`status` as of os.waitstatus_to_exitcode: a code, or a negative signal."""
    return Exited(
        child=request.child,
        incarnation=request.incarnation,
        code=status if status >= 0 else None,
        signal=-status if status < 0 else None,
    )


def describe(event: Exited) -> str:
    """How a process ended, for the user."""
    if event.signal is not None:
        return f"signal {event.signal}"
    return "gone without a status" if event.code is None else f"exit code {event.code}"


def lost(request: SpawnRequest) -> Exited:
    """The event of a process that is gone, for unknown reasons."""
    return Exited(child=request.child, incarnation=request.incarnation, code=None, signal=None)


def failed(request: SpawnRequest, reason: str) -> StartFailed:
    """The event of a process that never ran."""
    return StartFailed(child=request.child, incarnation=request.incarnation, reason=reason)
