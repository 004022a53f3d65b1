"""The channels of one connection: bytes between local sockets and messages. Belongs to the thread of its socket loop.

It never blocks: a socket is read while its window is open, and written when it takes something.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import msgspec
import zmq

from actors.edges.socket_loop import SocketLoop
from actors.errors import ProtocolError
from supervisor.hosts.join_protocol import CHUNK, MOST_CHANNELS, WINDOW, Bytes, ChannelEnd, Credit

OnEnd = Callable[[str], None]


@dataclass(kw_only=True)
class _Channel:
    number: int
    local: socket.socket
    on_end: OnEnd  # both directions have ended; with what the other side has said of it
    why: str = ""
    credit: int = WINDOW  # what we may still send
    owed: int = 0  # what was taken, and not yet credited
    unwritten: bytearray = field(default_factory=bytearray)
    we_ended: bool = False  # the local socket says nothing more
    they_ended: bool = False
    is_shut: bool = False


class Channels:
    """`say` sends a message to the other side."""

    def __init__(self, loop: SocketLoop, say: Callable[[msgspec.Struct], None]) -> None:
        self._loop = loop
        self._say = say
        self._channels: dict[int, _Channel] = {}
        self._by_fd: dict[int, _Channel] = {}

    def add(self, number: int, local: socket.socket, on_end: OnEnd = lambda _why: None) -> None:
        """Owns the local socket from now on."""
        if number in self._channels or len(self._channels) >= MOST_CHANNELS:
            local.close()
            raise ProtocolError(f"channel {number} is one too many")
        local.setblocking(False)
        channel = _Channel(number=number, local=local, on_end=on_end)
        self._channels[number] = self._by_fd[local.fileno()] = channel
        self._want(channel)

    def take(self, message: Bytes | Credit | ChannelEnd) -> None:
        """What the other side says. A channel that has just ended here may still be spoken of."""
        channel = self._channels.get(message.channel)
        if channel is None:
            return
        match message:
            case Bytes():
                if channel.they_ended or len(channel.unwritten) + len(message.data) > WINDOW:
                    raise ProtocolError(f"channel {channel.number} has more than its window")
                channel.unwritten += message.data
                self._write(channel)
            case Credit():
                channel.credit = min(channel.credit + max(0, message.count), WINDOW)
            case ChannelEnd():
                channel.why = message.why or channel.why
                channel.they_ended = True
                channel.we_ended |= message.whole
                self._write(channel)
        self._settle(channel)

    def serve(self, ready: Collection[object]) -> None:
        """Reads and writes the local sockets that are ready."""
        for fd in ready:
            if not isinstance(fd, int) or (channel := self._by_fd.get(fd)) is None:
                continue
            self._write(channel)
            self._read(channel)
            self._settle(channel)

    def end(self, number: int, why: str = "") -> None:
        """Ends a channel in both directions."""
        if (channel := self._channels.get(number)) is not None:
            self._say(ChannelEnd(channel=number, whole=True, why=why))
            self._drop(channel)

    def end_all(self, why: str) -> None:
        """The connection is gone."""
        for channel in list(self._channels.values()):
            channel.why = channel.why or why
            self._drop(channel)

    def _read(self, channel: _Channel) -> None:
        if channel.we_ended or channel.credit <= 0:
            return
        try:
            data = channel.local.recv(min(CHUNK, channel.credit))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            channel.credit -= len(data)
            self._say(Bytes(channel=channel.number, data=data))
        else:
            channel.we_ended = True
            self._say(ChannelEnd(channel=channel.number))

    def _write(self, channel: _Channel) -> None:
        try:
            while channel.unwritten:
                count = channel.local.send(channel.unwritten)
                del channel.unwritten[:count]
                channel.owed += count
            if channel.they_ended and not channel.is_shut:
                channel.is_shut = True
                channel.local.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:  # nobody reads it any more
            if not (channel.they_ended and channel.we_ended):
                self._say(ChannelEnd(channel=channel.number, whole=True))
            channel.they_ended = channel.we_ended = True
            channel.unwritten.clear()
        if channel.owed >= WINDOW // 4:
            self._say(Credit(channel=channel.number, count=channel.owed))
            channel.owed = 0

    def _settle(self, channel: _Channel) -> None:
        if channel.number not in self._channels:
            return
        if channel.they_ended and channel.we_ended and not channel.unwritten:
            self._drop(channel)
        else:
            self._want(channel)

    def _want(self, channel: _Channel) -> None:
        reads = zmq.POLLIN if channel.credit > 0 and not channel.we_ended else 0
        self._loop.watch(channel.local.fileno(), reads | (zmq.POLLOUT if channel.unwritten else 0))

    def _drop(self, channel: _Channel) -> None:
        fd = channel.local.fileno()
        self._loop.watch(fd, 0)
        del self._channels[channel.number], self._by_fd[fd]
        channel.local.close()
        channel.on_end(channel.why)
