"""The I/O thread of an actor process: the one DEALER socket, the lifelines, heartbeats and inspection.

Runs in the process's main thread and owns everything that must not be shared: no other thread touches the socket. Other
threads reach it through the channel's queue and a wake-up socket. It never runs a handler or waits for one. So it
answers `Peek` while a handler is stuck. It ends the process when a lifeline ends or a stop takes too long.
"""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum

import zmq
from loguru import logger

from actors.edges.mailbox import Item, Mailbox
from actors.edges.reliable_channel import Delivery, ReliableChannel, monotonic_ms
from actors.edges.socket_loop import Socket, SocketLoop
from actors.errors import ProtocolError
from actors.messages import Peek, StopActor
from actors.wire.envelope import MAX_FRAME_BYTES, Address, Envelope, Frames

HEARTBEAT_MS = 1_000
LINGER_MS = 200  # flushes the socket when the process ends; the router is local and reads immediately
FLUSH_MS = 1_000  # after a stop: unacknowledged messages get this long, within the stop's grace
SIGTERM_GRACE_S = 2.0
# Frames that are read in a row before anything else is served.
BATCH = 200


class End(Enum):
    """Why `Bus.run` returned. The caller ends the process."""

    STOPPED = "stopped"  # the actor has stopped, and its mail is sent as far as possible
    OVERDUE = "overdue"  # the actor did not stop within the grace
    ORPHANED = "orphaned"  # a lifeline ended: the root, or the process that started us for it, is gone


class Bus:
    """Made and run in the main thread. Any thread may use `channel` immediately; `run` sends its messages."""

    def __init__(self, address: Address, endpoint: str, lifelines: Sequence[int]) -> None:
        self._loop = SocketLoop("bus")
        self.channel = ReliableChannel(address, self._loop.wake)
        self._endpoint = endpoint
        self._lifelines = lifelines
        self._unsent: deque[Frames] = deque()
        self._sigterm = False
        self._actor_ended = threading.Event()
        self._stop_by_ms: int | None = None
        self._flush_by_ms: int | None = None

    def actor_ended(self) -> None:
        """The actor's thread has left its loop: write what is left, then end. Any thread."""
        self._actor_ended.set()
        self._loop.wake()

    def handle_signals(self) -> None:
        """SIGTERM stops the actor; SIGINT is for the root and is ignored here."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self._loop.hear_signals()

    def run(self, mailbox: Mailbox, note: Callable[[], str]) -> End:
        """Moves messages until the process has to end; returns why. `note`: what the actor is busy with."""
        self.channel.adopt_thread()
        ends: list[End] = []
        self._loop.run(self._open, lambda: ends.append(self._pump(mailbox, note)))
        return ends[0]

    def _open(self) -> None:
        options: dict[zmq.SocketOption, int | bytes] = {
            zmq.ROUTING_ID: str(self.channel.address).encode(),
            zmq.IMMEDIATE: 1,
            zmq.LINGER: LINGER_MS,
            zmq.MAXMSGSIZE: MAX_FRAME_BYTES,
        }
        self._dealer = self._loop.connect(zmq.DEALER, self._endpoint, options)
        for lifeline in self._lifelines:
            self._loop.watch(lifeline)

    def _pump(self, mailbox: Mailbox, note: Callable[[], str]) -> End:
        dealer = self._dealer
        heartbeat_at_ms = monotonic_ms()
        while True:
            now_ms = monotonic_ms()
            if now_ms >= heartbeat_at_ms:
                heartbeat_at_ms = now_ms + HEARTBEAT_MS
                self.channel.tell("supervisor", mailbox.vitals(note()))
            ended = self._actor_ended.is_set()  # read first: messages sent before that are then in `outgoing`
            self._write(dealer)
            if not self._unsent:  # else the router is not reading, and resends would pile up
                self._unsent.extend(self.channel.outgoing(now_ms))
                self._write(dealer)
            if (end := self._end(now_ms, ended=ended)) is not None:
                if end is End.STOPPED:  # else the process has to end immediately, without a flush
                    self._loop.linger_ms = LINGER_MS
                return end
            self._loop.want_to_write(dealer, wanted=bool(self._unsent))
            ready = self._loop.poll(self._pause_ms(now_ms, heartbeat_at_ms))
            if any(lifeline in ready for lifeline in self._lifelines):
                return End.ORPHANED
            if self._sigterm:
                self._sigterm = False
                self._stop(mailbox, self._stop_by_signal(now_ms))
            if dealer in ready:
                self._read(dealer, mailbox)

    def _write(self, dealer: Socket) -> None:
        with suppress(zmq.Again):
            while self._unsent:
                dealer.send_multipart(self._unsent[0], zmq.NOBLOCK, copy=True)
                self._unsent.popleft()

    def _read(self, dealer: Socket, mailbox: Mailbox) -> None:
        now_ms = monotonic_ms()
        with suppress(zmq.Again):
            for _ in range(BATCH):
                frames = dealer.recv_multipart(zmq.NOBLOCK)
                try:
                    self._receive(frames, mailbox, now_ms)
                except ProtocolError as error:
                    logger.error("refused a message: {}", error)

    def _receive(self, frames: list[bytes], mailbox: Mailbox, now_ms: int) -> None:
        if len(frames) != len(Frames._fields):
            raise ProtocolError(f"{len(frames)} frames instead of {len(Frames._fields)}")
        delivery = self.channel.receive(frames[1], frames[2], now_ms)
        match delivery:
            case None:
                pass
            case Delivery(message=Peek(limit=limit)):
                self.channel.answer(delivery.envelope, mailbox.peek(limit, stacks()))
            case Delivery(message=StopActor()):
                self._stop(mailbox, delivery)
            case _:
                mailbox.put(Item(delivery))

    def _stop(self, mailbox: Mailbox, delivery: Delivery) -> None:
        assert isinstance(delivery.message, StopActor)
        by_ms = delivery.at_ms + round(delivery.message.grace_s * 1_000)
        self._stop_by_ms = by_ms if self._stop_by_ms is None else min(by_ms, self._stop_by_ms)
        mailbox.put(Item(delivery))

    def _on_sigterm(self, *_: object) -> None:
        self._sigterm = True

    def _stop_by_signal(self, now_ms: int) -> Delivery:
        address = self.channel.address
        message = StopActor(reason="SIGTERM", grace_s=SIGTERM_GRACE_S)
        sender = Address(address.run, "signal", 0)
        envelope = Envelope(
            id="SIGTERM", run=address.run, sender=sender.local, recipient=address.name, kind=type(message).__name__
        )
        return Delivery(envelope, message, sender, now_ms)

    def _end(self, now_ms: int, *, ended: bool) -> End | None:
        if not ended:
            overdue = self._stop_by_ms is not None and now_ms >= self._stop_by_ms
            return End.OVERDUE if overdue else None
        if self._flush_by_ms is None:
            limits = [now_ms + FLUSH_MS, *([self._stop_by_ms] if self._stop_by_ms is not None else [])]
            self._flush_by_ms = min(limits)
        left = self.channel.unacknowledged() + len(self._unsent)
        if left and now_ms >= self._flush_by_ms:
            logger.warning("ended with {} unacknowledged messages", left)
        return End.STOPPED if not left or now_ms >= self._flush_by_ms else None

    def _pause_ms(self, now_ms: int, heartbeat_at_ms: int) -> int:
        # While the socket accepts nothing, due resends are useless: the poll waits for the socket.
        resend_at_ms = None if self._unsent else self.channel.next_due_ms()
        limits = (heartbeat_at_ms, resend_at_ms, self._stop_by_ms, self._flush_by_ms)
        return max(0, min(limit for limit in limits if limit is not None) - now_ms)


def stacks() -> str:
    """The stacks of all threads of this process, without the values of variables."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # noqa: SLF001 (the only way; it is documented)
    )
