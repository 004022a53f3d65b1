"""Guards a server's loopback port: a connection without the secret is closed before it reaches the server.

Any user of the machine can reach the port. So a connection counts as a stranger's until `admits` accepts its whole
request head. Only then does the server's protocol get it, with what was read. Strangers are limited in number
(`MOST_WAITING`; a new one replaces the oldest), time (`HEAD_S`) and bytes (`MAX_HEAD_BYTES`), and logged once per
burst. So they cannot use up the file descriptors, and a request with the secret is served immediately.

Belongs to one asyncio loop. It decides only whether a request is admitted.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from loguru import logger

from actors.machines.bursts import Bursts

MOST_WAITING = 256  # connections without a head that was let in
HEAD_S = 5.0  # for the whole head. A client sends it within milliseconds; on a loaded machine, in a second
MAX_HEAD_BYTES = 16 * 1024
# Accepted in one go. The newest ones are read before as many others have come that they would have to make room.
BATCH = 16
BREATH_S = 0.1  # until the next attempt, when no file descriptor is left
FAREWELL_S = 1.0  # a stranger's body is discarded for this long: closing earlier resets the answer
FAREWELL_BYTES = 1024 * 1024

_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")

# The head, up to and including the empty line -> None, or the answer with which the connection is closed.
Admits = Callable[[bytes], bytes | None]


class Doorkeeper:
    """Listens from `open` until `close`. `what` names the port in the log."""

    def __init__(
        self, listening: socket.socket, admits: Admits, server: Callable[[], asyncio.Protocol], what: str
    ) -> None:
        self._listening = listening
        self._admits = admits
        self._server = server
        self._what = what
        self._turned_away = Bursts()
        self._waiting: dict[asyncio.Task[None], _Stranger] = {}  # in the order in which they came
        self._entering = 0  # connections that are neither here nor the server's

    def open(self) -> None:
        """Accepts from now on. In the loop's thread, like all methods here."""
        self._loop = asyncio.get_running_loop()
        self._listening.setblocking(False)
        self._listen()

    def stop_listening(self) -> None:
        """Stops accepting: new connections wait in the socket's backlog. Accepted ones may still be admitted."""
        self._loop.remove_reader(self._listening.fileno())

    @property
    def is_empty(self) -> bool:
        """Whether no connection may still be admitted, once it has stopped listening."""
        return not self._waiting and not self._entering

    def close(self) -> None:
        """Closes the connections that were not admitted. Call it after `stop_listening`."""
        for task in list(self._waiting):
            task.cancel()

    def _listen(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                link, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                self._count(f"none can be opened ({error.strerror})")
                self._loop.remove_reader(self._listening.fileno())
                self._loop.call_later(BREATH_S, self._listen)
                return
            while len(self._waiting) >= MOST_WAITING:
                oldest = next(iter(self._waiting))
                del self._waiting[oldest]
                oldest.cancel()
            link.setblocking(False)
            stranger = _Stranger(link)
            task = self._loop.create_task(self._meet(stranger))
            self._waiting[task] = stranger
            task.add_done_callback(partial(self._forget, stranger))

    def _forget(self, stranger: _Stranger, task: asyncio.Task[None]) -> None:
        self._waiting.pop(task, None)
        if not stranger.came_in:
            stranger.link.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("the door of {} failed", self._what)

    async def _meet(self, stranger: _Stranger) -> None:
        link = stranger.link
        try:
            async with asyncio.timeout(HEAD_S):
                read, end = await self._head(link)
            if not end:
                self._count("no request came")
            elif (refusal := self._admits(read[:end])) is None:
                stranger.came_in = True
                del self._waiting[asyncio.current_task(self._loop)]  # type: ignore[arg-type]
                self._entering += 1
                try:
                    await self._loop.connect_accepted_socket(lambda: _Welcome(self._server(), read), link)
                finally:
                    self._entering -= 1
            else:
                self._count("it had no valid secret")
                await self._refuse(link, refusal)
        except TimeoutError:
            self._count(f"no whole request came within {HEAD_S:g} s")
        except asyncio.CancelledError:
            self._count("others came after it")
            raise
        except OSError:
            pass  # it is gone

    async def _head(self, stranger: socket.socket) -> tuple[bytes, int]:
        """The data read, and where the head ends in it; 0: there is no whole head."""
        read = b""
        while len(read) < MAX_HEAD_BYTES:
            more = await self._loop.sock_recv(stranger, MAX_HEAD_BYTES)
            if not more:
                break
            searched = max(0, len(read) - 3)
            read += more
            if found := _HEAD_ENDS.search(read, searched):
                return read, found.end()
        return read, 0

    async def _refuse(self, stranger: socket.socket, refusal: bytes) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self._loop.sock_sendall(stranger, refusal)
                stranger.shutdown(socket.SHUT_WR)
                thrown_away = 0
                while thrown_away < FAREWELL_BYTES and (more := await self._loop.sock_recv(stranger, 64 * 1024)):
                    thrown_away += len(more)

    def _count(self, why: str) -> None:
        if count := self._turned_away.happened(self._loop.time()):
            logger.warning("{}: {} connections were closed; of the last one {}", self._what, count, why)


@dataclass
class _Stranger:
    link: socket.socket
    came_in: bool = False  # the connection is the server's now


class _Welcome(asyncio.Protocol):
    """Hands the connection to the server's own protocol, with the data already read."""

    def __init__(self, server: asyncio.Protocol, read: bytes) -> None:
        self._server = server
        self._read = read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_protocol(self._server)
        self._server.connection_made(transport)
        self._server.data_received(self._read)
