"""Home's side of the hosts that dial in: one encrypted socket for all of them, and who is joined. Lives in a root.

One I/O thread owns the socket and answers its ZAP requests: a root that did not answer them would let any key in, so
the socket enforces them. Each message carries the key of its sender, as ZAP has named it. A session is one connection:
it begins with `Hello` and ends with the connection, when its key is revoked, or when the same host dials in again.
Whatever a host says that is not of the protocol ends its session.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import zmq
from loguru import logger
from zmq.utils.monitor import parse_monitor_message

from actors.edges import join_keys
from actors.edges.socket_loop import SocketLoop
from actors.errors import LoopError, OperationalError, ProtocolError
from actors.machines import joining, lease
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
    ToHome,
    Welcome,
)
from supervisor.hosts.join_session import Session
from supervisor.hosts.link import HostUnreachableError, HostUnusableError

ALIVE_MS = 5_000
DEAD_MS = round(lease.STOP_AFTER_S * 1_000)  # what is shorter than the default lease ends no connection
HANDSHAKE_MS = 10_000
LOOK_S = 1.0  # between two looks at the list of keys, and at connections that have gone
ANSWER_S = 10.0
EVENTS = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
EVENTS |= zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
T = TypeVar("T")


class JoinListener:
    """Listens when it is made. Raises `LoopError` when it cannot. Methods are for any thread but its own."""

    def __init__(self, address: str, home: Path) -> None:
        self.address = address
        self._home = home
        self._pair = join_keys.own_pair(home)
        self._messages: Unpacker[Any] = Unpacker(ToHome)
        self._news = threading.Condition()
        self._joined: dict[str, Session] = {}
        self._words: dict[str, str] = {}  # why a host is not joined; "" = one whose name is not known
        self._sessions: dict[bytes, Session] = {}
        self._leaving: dict[str, Session] = {}  # by host: the last one that was told to end, until it says that it has
        self._allowed: dict[bytes, str] = {}
        self._names: dict[str, str] = {}
        self._closing = False
        self._loop = SocketLoop("hosts that dial in")
        self._reload()
        self._loop.start(self._open, self._serve)

    def close(self) -> None:
        """Ends every session. May be called twice."""
        self._closing = True
        self._loop.wake()
        self._loop.join()

    def wait(self, name: str, wait_s: float, ended: Callable[[], bool], tell: Callable[[str], None]) -> Session | None:
        """The session of the host, once it has dialled in. None: not within that time. `tell` gets what goes wrong."""
        until_s = time.monotonic() + wait_s
        told: set[str] = set()
        while not ended():
            with self._news:
                if (found := self._joined.get(name)) is not None:
                    return found
                words = {self._words.get(name, ""), self._words.get("", "")} - {"", *told}
                left_s = until_s - time.monotonic()
                if not words and left_s > 0:
                    self._news.wait(min(left_s, LOOK_S))
                    continue
            if not words:
                return None
            for each in sorted(words):
                tell(each)
            told |= words
        return None

    def notify(self) -> None:
        """Makes those that wait look whether they have ended."""
        with self._news:
            self._news.notify_all()

    def open_shim(self, session: Session, local: socket.socket, words: socket.socket) -> int:
        """Starts a shim; its channels end at these sockets. Returns its number. Raises `HostUnreachableError`."""

        def begin() -> int:
            number = session.number = session.number + 4
            session.shims.add(number)
            session.channels.add(number, local, lambda why: self._shim_ended(session, number, why))
            session.channels.add(number + 2, words)
            self._say(session, OpenShim(channel=number, words=number + 2))
            return number

        return self._ask(session, begin)

    def listen(self, session: Session, shim: int, path: str, connect: Callable[[], socket.socket]) -> int:
        """The host listens there; each connection arrives at a socket of `connect`. Returns its loopback port."""
        answer: Future[int] = Future()

        def begin() -> int:
            number = session.number = session.number + 4
            session.listeners[number], session.asked[number] = connect, (shim, answer)
            self._say(session, Listen(listener=number, shim=shim, path=path))
            return number

        self._ask(session, begin)
        return self._result(session, answer)

    def wait_ended(self, session: Session, shim: int, timeout_s: float) -> None:
        """Waits until the shim has ended there, or the session has."""
        with self._news:
            self._news.wait_for(lambda: bool(session.why) or shim not in session.shims, timeout_s)

    def end_shim(self, session: Session, shim: int) -> None:
        """Ends its lifeline, and its connections."""
        self._loop.call_soon(lambda: session.channels.end(shim))

    def note(self, session: Session, text: str) -> None:
        """Shows the line to the user there."""
        self._loop.call_soon(lambda: self._say(session, Note(text=text)))

    def _ask(self, session: Session, call: Callable[[], T]) -> T:
        done: Future[T] = Future()

        def carry_out() -> None:
            if session.why:
                done.set_exception(HostUnreachableError(f"host {session.name}: {session.why}"))
                return
            try:
                done.set_result(call())
            except LoopError as error:
                done.set_exception(error)

        self._loop.call_soon(carry_out)
        return self._result(session, done)

    def _result(self, session: Session, done: Future[T]) -> T:
        try:
            return done.result(ANSWER_S)
        except FutureTimeout:
            why = session.why or "it does not answer"
            raise HostUnreachableError(f"host {session.name}: {why}") from None

    # --- the I/O thread -----------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._zap = self._loop.bind(zmq.REP, "inproc://zeromq.zap.01", {})
        options: Mapping[zmq.SocketOption, int | bytes] = {
            zmq.CURVE_SERVER: 1,
            zmq.CURVE_SECRETKEY: self._pair.secret.encode(),
            zmq.ZAP_DOMAIN: b"loop",
            zmq.ZAP_ENFORCE_DOMAIN: 1,  # without an answer nobody is let in
            zmq.ROUTER_MANDATORY: 1,  # what cannot be sent says so
            zmq.SNDHWM: 0,  # windows bound it
            zmq.LINGER: 500,
            zmq.MAXMSGSIZE: MAX_MESSAGE,
            zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
            zmq.HEARTBEAT_IVL: ALIVE_MS,
            zmq.HEARTBEAT_TIMEOUT: DEAD_MS,
        }
        try:
            self._router = self._loop.bind(zmq.ROUTER, f"tcp://{self.address}", options)
        except OperationalError as error:
            cause = error.__cause__
            raise HostUnusableError(
                joining.not_listening(
                    self.address, cause.errno if isinstance(cause, zmq.ZMQError) else None, str(error)
                )
            ) from error
        self._monitor = self._loop.monitor(self._router, EVENTS)

    def _serve(self) -> None:
        look_at_s = 0.0
        while not self._closing:
            ready = self._loop.poll(round(LOOK_S * 1_000))
            for call in self._loop.calls():
                self._loop.guarded(call)
            if self._zap in ready:
                self._loop.guarded(self._answer)
            if self._router in ready:
                self._loop.guarded(self._read)
            if self._monitor in ready:
                self._loop.guarded(self._hear)
                look_at_s = 0.0
            for session in list(self._sessions.values()):
                self._within(session, partial(session.channels.serve, ready))
            if (now_s := time.monotonic()) >= look_at_s:
                look_at_s = now_s + LOOK_S
                self._loop.guarded(self._look)
        for session in list(self._sessions.values()):
            self._end(session, "home has ended the run")
        self._loop.linger_ms = 200

    def _answer(self) -> None:
        self._reload()
        request = self._zap.recv_multipart()
        self._zap.send_multipart(joining.answer(request, self._allowed))

    def _reload(self) -> None:
        try:
            self._allowed = join_keys.allowed(self._home)
            self._names = {each.public: each.name for each in join_keys.listed(self._home)}
        except (LoopError, OSError) as error:  # in doubt nobody is let in
            logger.error("the list of keys cannot be read: {}", error)
            self._allowed, self._names = {}, {}

    def _look(self) -> None:
        """Ends the sessions whose keys are revoked, or whose connections have gone."""
        if not self._sessions:
            return
        self._reload()
        for session in list(self._sessions.values()):
            if self._names.get(session.key) != session.name:
                self._end(session, f"the key of {session.name} is revoked", says=True)
            else:
                self._say(session, Ping())

    def _hear(self) -> None:
        event = parse_monitor_message(self._monitor.recv_multipart())
        if words := joining.refused(str(zmq.Event(event["event"]).name), event["value"]):
            logger.warning("{}", words)
            self._note_words("", words)

    def _read(self) -> None:
        for _ in range(100):
            try:
                identity, *frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            if len(frames) != 1:
                continue
            sender, body = identity.bytes, frames[0].bytes
            session = self._sessions.get(sender)
            if session is None:
                self._loop.guarded(partial(self._greet, sender, str(frames[0].get("User-Id")), body))
            else:
                self._within(session, partial(self._take, session, body))

    def _within(self, session: Session, step: Callable[[], None]) -> None:
        """A host that breaks the protocol loses its session, and nobody else anything."""
        try:
            step()
        except ProtocolError as error:
            logger.error("host {}: {}", session.name, error)
            self._end(session, "it broke the protocol: is loop there of this version?", says=True)

    def _greet(self, identity: bytes, key: str, body: bytes) -> None:
        message = self._messages.unpack(body, "message of a host")
        name = self._names.get(key, "")
        if isinstance(message, Left) and (before := self._leaving.get(name)) and before.identity == identity:
            before.has_left = True
        if not isinstance(message, Hello):
            return  # of a connection that has been made again by itself, or of a session that was ended
        why = ""
        if not name:
            why = "its key is revoked"
        elif message.version != VERSION or message.code != code.digest():
            why = f"another version of loop is on {name}: install the same one there"
        if why:
            self._note_words(name, f"host {name}: {why}")
            self._send(identity, Refused(why=why))
            return
        if (before := self._joined.get(name)) is not None:
            self._end(before, f"{name} has dialled in again, with another loop join", says=True)
        session = Session(
            identity=identity,
            key=key,
            name=name,
            python=message.python[:40],
            agents=agents_there.of_answer(message.agents),
            channels=Channels(self._loop, lambda message: self._say(session, message)),
        )
        self._sessions[identity] = session
        self._say(session, Welcome(name=name))
        with self._news:
            self._joined[name] = session
            self._words.pop(name, None)
            self._news.notify_all()
        logger.info("host {} has joined, with Python {}", name, session.python)

    def _take(self, session: Session, body: bytes) -> None:
        message = self._messages.unpack(body, "message of a host")
        match message:
            case Bytes() | Credit() | ChannelEnd():
                session.channels.take(message)
            case Accepted():
                self._accept(session, message)
            case Listening():
                _, answer = session.asked.pop(message.listener, (0, None))
                if answer is None:
                    return
                if message.error:
                    why = f"host {session.name}: it cannot listen for its agents: {message.error}"
                    answer.set_exception(HostUnreachableError(why))
                else:
                    answer.set_result(message.port)
            case Left():
                session.has_left = True
                self._end(session, "loop join has ended there")
            case Hello():
                raise ProtocolError("a second Hello")

    def _accept(self, session: Session, message: Accepted) -> None:
        connect = session.listeners.get(message.listener)
        if connect is None or message.channel % 2 == 0:
            raise ProtocolError(f"{message!r}")
        try:
            local = connect()
        except OSError as error:
            logger.warning("host {}: a connection cannot be made at home: {}", session.name, error)
            self._say(session, ChannelEnd(channel=message.channel, whole=True))
            return
        session.channels.add(message.channel, local)

    def _say(self, session: Session, message: msgspec.Struct) -> None:
        if not session.why and not self._send(session.identity, message):
            self._end(session, "its connection has ended")

    def _send(self, identity: bytes, message: msgspec.Struct) -> bool:
        try:
            self._router.send_multipart([identity, msgspec.msgpack.encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError:  # EHOSTUNREACH: the connection is gone
            return False
        return True

    def _end(self, session: Session, why: str, *, says: bool = False) -> None:
        if session.why:
            return
        session.why = why
        if says:
            self._send(session.identity, Refused(why=why))
            self._leaving[session.name] = session
        self._sessions.pop(session.identity, None)
        with self._news:
            if self._joined.get(session.name) is session:
                del self._joined[session.name]
            self._news.notify_all()
        session.channels.end_all(why)
        self._answer_none(session, why)
        logger.info("host {}: {}", session.name, why)

    def _answer_none(self, session: Session, why: str, *shims: int) -> None:
        """Nobody will answer what was asked for these shims; without one, for any."""
        for listener, (shim, answer) in list(session.asked.items()):
            if not shims or shim in shims:
                del session.asked[listener]
                answer.set_exception(HostUnreachableError(f"host {session.name}: {why}"))

    def _shim_ended(self, session: Session, number: int, why: str) -> None:
        self._answer_none(session, why or "it does not answer", number)
        with self._news:
            session.shims.discard(number)
            self._news.notify_all()
        if why:
            logger.info("host {}: its shim has ended: {}", session.name, why)

    def _note_words(self, name: str, words: str) -> None:
        with self._news:
            self._words[name] = words
            self._news.notify_all()
