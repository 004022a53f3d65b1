"""`loop join`: the program of a host that dials in. Keeps one encrypted connection to home, and starts shims for it.

Belongs to the main thread. Each connection has a socket of its own, which never connects again by itself: what was
under way in a lost connection is lost, and so are its channels. When a connection ends, its shims end, and after that
home is dialled again. It accepts nothing: it listens on loopback and at sockets in private directories alone.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import zmq
from zmq.utils.monitor import parse_monitor_message

from actors.edges import environments, processes
from actors.edges.join_keys import HostKey
from actors.edges.socket_loop import Socket, SocketLoop
from actors.errors import PermanentError, ProtocolError
from actors.machines import joining, lease
from actors.text import valid
from actors.wire.unpack import Unpacker
from supervisor.hosts import agents_there, code
from supervisor.hosts.channels import Channels
from supervisor.hosts.join_protocol import (
    MAX_MESSAGE,
    VERSION,
    Accepted,
    Bytes,
    ChannelEnd,
    Credit,
    Hello,
    Left,
    Listen,
    Listening,
    Note,
    OpenShim,
    Ping,
    Refused,
    ToHost,
    Welcome,
)
from supervisor.hosts.link import NAME

ALIVE_MS = 5_000
DEAD_MS = round(lease.STOP_AFTER_S * 1_000)  # as home
CONNECT_MS = 10_000
HANDSHAKE_S = 15.0
RETRY_S = 1.0
LAST_WORDS_MS = 1_000  # until they have left this machine
SHIM_ENDS_S = 6.0  # it ends a tree within 3 s
EVENTS = zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_HANDSHAKE_SUCCEEDED
EVENTS |= zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH


class NotJoinedError(PermanentError):
    """Home does not let this host in; the user has to change something. The text is one line."""


@dataclass(kw_only=True)
class _Shim:
    process: subprocess.Popen[bytes]
    listeners: dict[int, socket.socket] = field(default_factory=dict)


class Joiner:
    """`say`: a line for the user."""

    def __init__(self, endpoint: str, key: HostKey, key_file: str, say: Callable[[str], None]) -> None:
        self._endpoint, self._key, self._key_file, self._say_line = endpoint, key, key_file, say
        self._loop = SocketLoop("the link to home")
        self._messages: Unpacker[Any] = Unpacker(ToHost)
        self._signal = 0
        self._said = ""
        self._error: NotJoinedError | None = None
        self._shims: dict[int, _Shim] = {}

    def run(self) -> int:
        """Blocks until a signal; returns its number. Raises `NotJoinedError`."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._loop.hear_signals()
        self._loop.run(lambda: None, self._serve)
        if self._error is not None:
            raise self._error
        return self._signal

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signal = number

    def _serve(self) -> None:
        while not self._signal and self._error is None:
            connection = _Connection(self)
            try:
                connection.serve()
            except NotJoinedError as error:
                self._error = error
            except ProtocolError as error:
                self.say(f"home broke the protocol: {error}: is it this version of loop?")
            finally:
                connection.close()
            if not self._signal and self._error is None:
                self._loop.poll(round(RETRY_S * 1_000))

    def say(self, text: str) -> None:
        """Says a line once, until another one is said."""
        if text != self._said:
            self._said = text
            self._say_line(text)

    # --- for the connection -------------------------------------------------------------------------------------

    @property
    def loop(self) -> SocketLoop:
        """The one of this process."""
        return self._loop

    @property
    def is_ending(self) -> bool:
        """Whether a signal has come."""
        return self._signal != 0

    def dial(self) -> tuple[Socket, Socket]:
        """A socket that connects once, and its monitor."""
        options: Mapping[zmq.SocketOption, int | bytes] = {
            zmq.CURVE_SERVERKEY: self._key.home.encode(),
            zmq.CURVE_PUBLICKEY: self._key.public.encode(),
            zmq.CURVE_SECRETKEY: self._key.secret.encode(),
            zmq.IMMEDIATE: 1,
            zmq.SNDHWM: 0,
            zmq.LINGER: 0,
            zmq.MAXMSGSIZE: MAX_MESSAGE,
            zmq.RECONNECT_IVL: -1,
            zmq.CONNECT_TIMEOUT: CONNECT_MS,
            zmq.HANDSHAKE_IVL: CONNECT_MS,
            zmq.HEARTBEAT_IVL: ALIVE_MS,
            zmq.HEARTBEAT_TIMEOUT: DEAD_MS,
            zmq.IPV6: 1,
        }
        return self._loop.dial(zmq.DEALER, f"tcp://{self._endpoint}", options, EVENTS)

    def failed(self, event: str, value: int) -> None:
        """Says what an event means. Raises `NotJoinedError` for one that does not pass."""
        failure = joining.not_joined(event, value, self._endpoint, self._key_file)
        if failure is not None and failure.lasting:
            raise NotJoinedError(failure.text)
        if failure is not None:
            self.say(failure.text)

    def unpack(self, body: bytes) -> Any:
        """A message of home."""
        return self._messages.unpack(body, "message of home")

    def joined(self, name: str) -> None:
        """Home has let us in."""
        self.say(f"joined {self._endpoint} as {valid(name)}")


class _Connection:
    """One connection to home, with all that it has started here."""

    def __init__(self, joiner: Joiner) -> None:
        self._joiner, self._loop = joiner, joiner.loop
        self._socket, self._monitor = joiner.dial()
        self._channels = Channels(self._loop, self._say)
        self._shims: dict[int, _Shim] = {}
        self._accepting: dict[int, tuple[int, socket.socket]] = {}  # by descriptor: the listener's number
        self._number = 1
        self._is_open = False
        self._is_over = False
        self._is_tidy = True  # each of its shims has ended by itself

    def serve(self) -> None:
        """Until the connection ends, or a signal comes."""
        until_s = time.monotonic() + HANDSHAKE_S
        while not (self._is_over or self._joiner.is_ending):
            ready = self._loop.poll(1_000)
            if self._monitor in ready:
                self._hear()
            if self._socket in ready:
                self._read()
            self._channels.serve(ready)
            for fd in ready:
                if isinstance(fd, int) and fd in self._accepting:
                    self._accept(*self._accepting[fd])
            if not self._is_open and time.monotonic() > until_s:
                self._joiner.failed("CLOSED", 0)
                return

    def close(self) -> None:
        """Ends its shims, and waits for them."""
        self._is_over = True
        for shim in self._shims.values():
            self._close_listeners(shim)
        self._channels.end_all("")  # their lifelines
        until_s = time.monotonic() + SHIM_ENDS_S
        for shim in self._shims.values():
            if shim.process.poll() is None and not processes.wait_ended(shim.process.pid, until_s - time.monotonic()):
                processes.kill_tree(shim.process.pid)
            self._is_tidy &= shim.process.wait() >= 0
        self._shims.clear()
        if self._is_open and self._is_tidy:  # one that was killed may have left something
            with suppress(zmq.ZMQError):
                self._socket.send(msgspec.msgpack.encode(Left()), zmq.NOBLOCK)
                self._socket.linger = LAST_WORDS_MS
        self._loop.close_socket(self._socket)

    def _hear(self) -> None:
        with suppress(zmq.Again):
            while not self._is_over:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))
                kind = zmq.Event(event["event"])
                if kind is zmq.Event.HANDSHAKE_SUCCEEDED:
                    self._is_open = True
                    agents = agents_there.agents_there()
                    python = platform.python_version()
                    self._say(Hello(version=VERSION, code=code.digest(), python=python, agents=agents))
                else:
                    self._is_over = True
                    self._read()  # its last words
                    self._joiner.failed(str(kind.name), event["value"])

    def _read(self) -> None:
        with suppress(zmq.Again):
            while True:
                self._take(self._joiner.unpack(self._socket.recv(zmq.NOBLOCK)))

    def _take(self, message: ToHost) -> None:
        match message:
            case Welcome():
                self._joiner.joined(message.name)
            case Refused():
                raise NotJoinedError(f"home refuses this host: {valid(message.why)}")
            case Note():
                self._joiner.say(valid(message.text))
            case Ping():
                pass
            case OpenShim():
                self._open_shim(message)
            case Listen():
                self._listen(message)
            case Bytes() | Credit() | ChannelEnd():
                self._channels.take(message)

    def _open_shim(self, message: OpenShim) -> None:
        local, theirs = socket.socketpair()
        words, their_words = socket.socketpair()
        with theirs, their_words:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "supervisor.hosts.shim_start", "", NAME],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=their_words.fileno(),
                env=environments.handed_on(),
                cwd="/",
                start_new_session=True,
            )
        self._shims[message.channel] = _Shim(process=process)
        self._channels.add(message.words, words)
        self._channels.add(message.channel, local, lambda _why: self._shim_ended(message.channel))

    def _shim_ended(self, number: int) -> None:
        """Its channel has ended: its lifeline has, or it has itself."""
        if self._is_over:
            return
        shim = self._shims[number]
        self._close_listeners(shim)
        # It is reaped by the next one, or with the connection.
        for each in [each for each, other in self._shims.items() if other.process.poll() is not None]:
            self._is_tidy &= self._shims.pop(each).process.returncode >= 0

    def _close_listeners(self, shim: _Shim) -> None:
        for each in shim.listeners.values():
            self._loop.watch(each.fileno(), 0)
            self._accepting.pop(each.fileno(), None)
            if isinstance(path := each.getsockname(), str):  # the shim has taken it, or never will
                Path(path).unlink(missing_ok=True)
            each.close()
        shim.listeners.clear()

    def _listen(self, message: Listen) -> None:
        shim = self._shims.get(message.shim)
        if shim is None:
            self._say(Listening(listener=message.listener, error="its shim has ended"))
            return
        found = socket.socket(socket.AF_UNIX if message.path else socket.AF_INET, socket.SOCK_STREAM)
        try:
            before = os.umask(0o177)
            try:
                found.bind(message.path or ("127.0.0.1", 0))
            finally:
                os.umask(before)
            found.listen(64)
        except OSError as error:
            found.close()
            self._say(Listening(listener=message.listener, error=str(error)))
            return
        found.setblocking(False)
        shim.listeners[message.listener] = found
        self._accepting[found.fileno()] = (message.listener, found)
        self._loop.watch(found.fileno())
        port = 0 if message.path else found.getsockname()[1]
        self._say(Listening(listener=message.listener, port=port))

    def _accept(self, listener: int, found: socket.socket) -> None:
        try:
            local, _ = found.accept()
        except OSError:
            return
        self._number += 2
        self._say(Accepted(channel=self._number, listener=listener))
        self._channels.add(self._number, local)

    def _say(self, message: msgspec.Struct) -> None:
        if self._is_over:
            return
        try:
            self._socket.send(msgspec.msgpack.encode(message), zmq.NOBLOCK)
        except zmq.ZMQError:  # no connection
            self._is_over = True
