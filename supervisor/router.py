"""The router of one root: a thread with the ROUTER socket that all actor processes of all its runs connect to.

It forwards frames to the live incarnation of the recipient's name, and never opens a body. It checks every sender
against the incarnation of its connection: no actor speaks in another's name, and a replaced incarnation is not heard.
What it cannot deliver becomes a dead letter, and the sender is told. It decides nothing: the supervisors set which
incarnations are live.

Endpoints of the root itself (`supervisor` and `console` of each run) are here too; their callbacks run in this thread
and must only pass messages on.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import zmq
from loguru import logger

from actors.edges.reliable_channel import ReliableChannel, monotonic_ms, refusal
from actors.edges.socket_loop import SocketLoop
from actors.errors import LoopError, OperationalError, ProtocolError
from actors.messages import Ack, ActorDown, ActorUp, Heartbeat, Message, Undeliverable
from actors.remote import RemoteRef
from actors.wire.envelope import (
    MAX_FRAME_BYTES,
    Address,
    Envelope,
    Frames,
    Sender,
    decode_header,
    encode,
    encode_body,
    kind_of,
    split_local,
)
from supervisor.dead_letters import DeadLetter, DeadLetters
from supervisor.private_socket import lock, socket_path
from supervisor.routing import Routes

HANDSHAKE_MS = 2_000  # for a client that connects and says nothing
BATCH = 200  # frames read in one go before the root's orders are served
OnMessage = Callable[[Message, Sender], Message | None]
# Called in the router's thread with (envelope, body, why it was not delivered); must only pass it on.
Tap = Callable[[Envelope, bytes, str], None]


class LocalEndpoint:
    """An address in the root's own process. Created by `Router.open_local`."""

    def __init__(self, channel: ReliableChannel, on_message: OnMessage) -> None:
        self.channel = channel
        self.address = channel.address
        self._on_message = on_message

    def ref(self, name: str) -> RemoteRef:
        """A reference to an actor or endpoint of the same run. Never call its `ask` in the router's thread."""
        return RemoteRef(self.channel, name)

    def deliver(self, header: bytes, body: bytes) -> None:
        """Router's thread: accepts a message and serves it. Raises nothing."""
        try:
            delivery = self.channel.receive(header, body, monotonic_ms())
        except ProtocolError as error:
            logger.error("{} refused a message: {}", self.address, error)
            return
        if delivery is None:
            return
        envelope = delivery.envelope
        answer: Message | None
        try:
            answer = self._on_message(delivery.message, delivery.sender)
        except LoopError as error:
            logger.error("{} refused {} from {}: {}", self.address, envelope.kind, envelope.sender, error)
            answer = refusal(error)
        except BaseException as error:  # the other runs of this root must not suffer
            logger.opt(exception=error).critical("{} failed at {}", self.address, envelope.kind)
            answer = refusal(OperationalError(f"{self.address} failed at {envelope.kind}: {error!r}"))
        if envelope.wants_answer:
            self.channel.answer(envelope, answer or Ack(seq=envelope.seq))
        else:
            self.channel.handled(envelope)


class Router:
    """Bound and running when the constructor returns. All methods may be called from any thread.

    `directory` is created if it is missing, and must be accessible to this user alone. Raises UserError when it is not,
    or when its path is too long for a socket; OperationalError when another process has bound it.
    """

    def __init__(self, directory: Path) -> None:
        path = socket_path(directory)
        self._lock_fd = lock(directory / "bus.lock")
        self.endpoint = f"ipc://{path}"
        self._loop = SocketLoop("router")
        self._guard = threading.Lock()
        self._routes = Routes()
        self._dead = DeadLetters()
        self._taps: dict[str, Tap] = {}  # by run; replaced as a whole
        self._endpoints: dict[tuple[str, str], LocalEndpoint] = {}  # router's thread only
        self._local_incarnations: dict[tuple[str, str], int] = {}
        self._closing = False
        try:
            self._loop.start(self._open, self._serve)
        except OperationalError:
            os.close(self._lock_fd)
            raise

    # --- the table ------------------------------------------------------------------------------------------------

    def set_live(self, run: str, name: str, incarnation: int) -> None:
        """From now on mail goes to `incarnation`, and only it is heard. Call this before it is started.

        Mail for it while it is not connected becomes `Undeliverable`. Older incarnations are fenced off.
        """
        with self._guard:
            self._routes.set_live(run, name, incarnation)

    def set_dead(self, run: str, name: str, incarnation: int) -> None:
        """From now on the incarnation gets no mail. Its last words are accepted until it is replaced."""
        with self._guard:
            self._routes.set_dead(run, name, incarnation)

    def forget_run(self, run: str) -> None:
        """Removes the names, endpoints and dead letters of a run that is over."""
        with self._guard:
            self._routes.forget_run(run)
            self._dead.forget_run(run)

        def forget() -> None:
            for key in [key for key in self._endpoints if key[0] == run]:
                self._endpoints.pop(key).channel.abandon(f"run {run} is over")

        self._loop.call_soon(forget)

    # --- the root's own mail --------------------------------------------------------------------------------------

    def open_local(self, run: str, name: str, on_message: OnMessage) -> LocalEndpoint:
        """Opens an address of this process. `on_message` runs in the router's thread: it must neither block nor `ask`.

        Its result answers a request; None answers with `Ack`, and a raised LoopError with `Refused`.
        """
        with self._guard:
            incarnation = self._local_incarnations[run, name] = self._local_incarnations.get((run, name), 0) + 1
        endpoint = LocalEndpoint(ReliableChannel(Address(run, name, incarnation), self._loop.wake), on_message)

        def open_it() -> None:
            endpoint.channel.adopt_thread()
            if (former := self._endpoints.get((run, name))) is not None:
                former.channel.abandon(f"{former.address} was opened again")
            self._endpoints[run, name] = endpoint

        self._loop.call_soon(open_it)
        return endpoint

    def broadcast(self, run: str, message: Message) -> None:
        """Sends the message to every live actor of the run, before any mail that is sent after this call.

        The actor that an ActorUp or ActorDown names does not get it.
        """
        encode_body(message)  # raises in the caller
        self._loop.call_soon(lambda: self._broadcast(run, message))

    def dead_letters(self, run: str | None = None) -> list[DeadLetter]:
        """Dead letters, oldest first; of all runs by default."""
        with self._guard:
            return self._dead.of(run)

    def set_tap(self, run: str, tap: Tap | None) -> None:
        """Shows all messages of the run to `tap` from now on; None switches it off. Costs one look-up per message
        without a tap.
        """
        with self._guard:
            others = {key: other for key, other in self._taps.items() if key != run}
            self._taps = others if tap is None else {**others, run: tap}

    def close(self) -> None:
        """Closes the socket and releases the directory. Idempotent."""
        if self._closing:
            return
        self._closing = True
        self._loop.wake()
        self._loop.join()
        os.close(self._lock_fd)

    # --- router's thread ------------------------------------------------------------------------------------------

    def _open(self) -> None:
        options = {
            zmq.ROUTER_MANDATORY: 1,
            zmq.LINGER: 0,
            zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
            zmq.MAXMSGSIZE: MAX_FRAME_BYTES,
        }
        self._socket = self._loop.bind(zmq.ROUTER, self.endpoint, options)

    def _serve(self) -> None:
        while not self._closing:
            for call in self._loop.calls():
                self._loop.guarded(call)
            now_ms = monotonic_ms()
            endpoints = list(self._endpoints.values())
            for endpoint in endpoints:
                for frames in endpoint.channel.outgoing(now_ms):
                    self._loop.guarded(partial(self._route, endpoint.address, frames))
            due_ms = [due for endpoint in endpoints if (due := endpoint.channel.next_due_ms()) is not None]
            if self._socket in self._loop.poll(max(0, min(due_ms) - now_ms) if due_ms else None):
                self._read()
        for endpoint in self._endpoints.values():
            endpoint.channel.abandon("the router is closed")

    def _read(self) -> None:
        with suppress(zmq.Again):
            for _ in range(BATCH):
                routing_id, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
                self._loop.guarded(partial(self._receive, routing_id, frames))

    def _receive(self, routing_id: bytes, frames: list[bytes]) -> None:
        source = Address.parse(routing_id.decode("utf-8", "replace"))
        if len(frames) != len(Frames._fields):
            raise ProtocolError(f"{len(frames)} frames instead of {len(Frames._fields)} from {source}")
        if (source.run, source.name) in self._endpoints:
            raise ProtocolError(f"a process has connected as {source}, an address of the root itself")
        with self._guard:
            muted = self._routes.muted(source)
        self._route(source, Frames(*frames), muted=muted)

    def _route(self, source: Address, frames: Frames, *, muted: str | None = None) -> None:
        try:
            envelope = decode_header(frames.header)
        except ProtocolError as error:
            raise ProtocolError(f"{source}: {error}") from error
        if (envelope.run, envelope.sender) != (source.run, source.local):
            raise ProtocolError(f"{source} sent {envelope.kind} in the name of {envelope.run}/{envelope.sender}")
        if frames.recipient != f"{envelope.run}/{envelope.recipient}".encode():
            raise ProtocolError(f"{source} sent {envelope.kind} whose frame and header name two recipients")
        reason = muted or self._forward(envelope, frames)
        if tap := self._taps.get(envelope.run):
            tap(envelope, frames.body, reason or "")
        if reason is None:
            if envelope.attempt > 1:
                with self._guard:
                    self._dead.arrived(envelope.id)
        elif envelope.kind not in _FORGOTTEN:
            self._return_to_sender(source, envelope, reason)

    def _forward(self, envelope: Envelope, frames: Frames) -> str | None:
        """Delivers the frames, or returns why it cannot."""
        name, incarnation = split_local(envelope.recipient)
        if (endpoint := self._endpoints.get((envelope.run, name))) is not None:
            if incarnation not in (None, endpoint.address.incarnation):
                return f"{envelope.recipient} is gone"
            endpoint.deliver(frames.header, frames.body)
            return None
        with self._guard:
            recipient = self._routes.recipient(envelope.run, name, incarnation)
        return recipient if isinstance(recipient, str) else self._send(recipient, frames)

    def _send(self, recipient: Address, frames: Frames) -> str | None:
        try:
            self._socket.send_multipart([str(recipient).encode(), *frames], zmq.NOBLOCK)
        except zmq.Again:
            return f"{recipient.local} does not read its mail"
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return f"{recipient.local} is not connected"
        return None

    def _return_to_sender(self, source: Address, envelope: Envelope, reason: str) -> None:
        with self._guard:
            known = self._dead.add(envelope, reason, _wall_ms())
        if not known and not envelope.seq:  # its sender does not resend it: it is lost
            logger.bind(run=envelope.run).warning(
                "dead letter: {} from {} to {}: {}", envelope.kind, envelope.sender, envelope.recipient, reason
            )
        notice = Undeliverable(
            message_id=envelope.id,
            recipient=envelope.recipient,
            kind=envelope.kind,
            reason=reason,
            kept=envelope.seq > 0,
        )
        frames = _from_router(source.run, source.local, notice)
        if (endpoint := self._endpoints.get((source.run, source.name))) is not None:
            endpoint.deliver(frames.header, frames.body)
        else:
            self._send(source, frames)

    def _broadcast(self, run: str, message: Message) -> None:
        subject = message.name if isinstance(message, ActorUp | ActorDown) else None
        with self._guard:
            live = [address for address in self._routes.live(run) if address.name != subject]
        for address in live:
            refused = self._send(address, _from_router(run, address.local, message))
            if refused is not None:
                logger.debug("{} not told to {}: {}", kind_of(message), address, refused)
        for (its_run, _name), endpoint in self._endpoints.items():
            if its_run == run:
                endpoint.channel.note_peer(message, monotonic_ms())


# Not worth a dead letter: these are sent again anyway, or no one waits for them.
_FORGOTTEN = frozenset(cls.__name__ for cls in (Ack, Heartbeat, Undeliverable))


def _from_router(run: str, recipient: str, message: Message) -> Frames:
    """A message of the router itself. Incarnation 0: it is no actor, and takes no messages."""
    envelope = Envelope(
        id=str(uuid.uuid4()),
        run=run,
        sender=Address(run, "router", 0).local,
        recipient=recipient,
        kind=kind_of(message),
        sent_at_ms=_wall_ms(),
    )
    return encode(envelope, encode_body(message))


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
