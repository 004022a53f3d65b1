"""The control server of a run: consoles ask it and follow the run. It has a ROUTER socket of its own, in its own
thread.

It serves many consoles, and none of them can slow the run down. Publishing only puts news into a queue. A console that
does not read misses news and learns how many (supervisor/control/consoles). Everything that waits here is bounded in
bytes (supervisor/control/news), for each console and for all. ZeroMQ counts messages, so its queue of a console holds
at most `PIPE` of them.

The server decides nothing; the handler answers. An answer from memory is given in the server's thread. A request that
asks an actor gets a thread of its own, so a stuck actor delays no other request.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec
import zmq
from loguru import logger
from msgspec.structs import replace

from actors.clock import wall_ms
from actors.edges.socket_loop import Socket, SocketLoop
from actors.errors import LoopError, ProtocolError, UndeliverableError, described
from actors.machines.bursts import Bursts
from actors.messages import Progress
from actors.wire.envelope import Envelope
from actors.wire.unpack import anything
from supervisor.control.consoles import LINGER_MS, MOST_CONSOLES, Consoles
from supervisor.control.protocol import (
    MAX_REQUEST_BYTES,
    AnyAnswer,
    AnyRequest,
    Done,
    Ended,
    Follow,
    GetReport,
    Refusal,
    Shown,
    Trace,
    Traced,
    decode_request,
)

# Frames in ZeroMQ's own queue of one console, each way. The kernel and the console's own socket hold some more.
PIPE = 4
# Characters of a text that consoles are shown; the log has all of it.
LONGEST_TEXT = 120_000
# How many news and traces may wait for this thread. Consoles miss the rest.
MOST_WAITING_BYTES = 32 * 1024 * 1024
# Requests that ask an actor, in parallel. More than ten users and their scripts need; it bounds threads and memory.
MOST_AT_WORK = 64
MOST_AT_WORK_BYTES = 16 * 1024 * 1024
HANDSHAKE_MS = 2_000  # for a client that connects and says nothing
LONGEST_BODY = 4_000  # characters of a traced body
LONGEST_TRACED = 1024 * 1024  # bytes of a body that is traced with it
# Sent all the time; a trace shows them only when its filter names them.
_NOISE = ("Heartbeat", "Ack")

TraceTap = Callable[[Envelope, bytes, str], None]


class Handler(Protocol):
    """Answers requests about the run. `at_once` is called in the server's thread and must not wait; `serve` may wait,
    in a thread of its own.
    """

    def at_once(self, request: GetReport, consoles: int) -> AnyAnswer:
        """Answers from memory."""

    def serve(self, request: AnyRequest) -> AnyAnswer:
        """Answers a request, and may ask actors. Raises `LoopError`, which becomes a `Refusal`."""

    def news(self, news: Shown) -> None:
        """ControlServer's thread: gets all news, in order, before the consoles do."""

    def set_tap(self, tap: TraceTap | None) -> None:
        """Sets the tap. It is called in the router's thread with (envelope, body, why it was not delivered)."""


class ControlServer:
    """Bound and running when the constructor returns. `publish` and `close` are for any thread.

    `show` is the root's own console: it gets all news in the server's thread and must return immediately. Raises
    OperationalError when the path is not free. `path` is in a directory that only the user can open: a client that can
    connect may order anything.
    """

    def __init__(self, path: Path, handler: Handler, show: Callable[[Progress], None]) -> None:
        self._show = show
        self.endpoint = f"ipc://{path}"
        self._handler = handler
        self._loop = SocketLoop("control server")
        self._loop.linger_ms = LINGER_MS
        self._at_work = 0
        self._at_work_bytes = 0
        self._guard = threading.Lock()  # of the three that follow
        self._waiting_bytes = 0
        self._lost_news = 0
        self._lost_traces = 0
        self._nonsense = Bursts()
        self._closing = False
        self._loop.start(self._open, self._serve)

    def publish(self, news: Shown) -> None:
        """Sends news to all consoles that follow. Never waits."""
        self._call_bounded(len(news.progress.text), lambda: self._publish(news), trace=False)

    def has_operator(self) -> bool:
        """Any thread: whether a console follows the run."""
        return self._consoles.followed()

    def close(self, last: Ended | None = None) -> None:
        """Sends `last` and closes. Requests in progress get no answer. Idempotent."""
        if self._closing:
            return
        if last is not None:
            self._loop.call_soon(lambda: self._consoles.tell(last))
        self._loop.call_soon(self._close)
        self._loop.join()

    # --- the server's thread ------------------------------------------------------------------------------------------

    def _call_bounded(self, size: int, call: Callable[[], None], *, trace: bool) -> None:
        """Any thread. Queues work for the server's thread; what finds no room is counted and dropped."""
        with self._guard:
            if self._waiting_bytes + size > MOST_WAITING_BYTES:
                self._lost_traces += trace
                self._lost_news += not trace
                return
            self._waiting_bytes += size

        def do() -> None:
            with self._guard:
                self._waiting_bytes -= size
            call()

        self._loop.call_soon(do)

    def _close(self) -> None:
        self._closing = True

    def _open(self) -> None:
        options = {
            zmq.ROUTER_MANDATORY: 1,  # says which console is full, and which is gone
            zmq.SNDHWM: PIPE,
            zmq.RCVHWM: PIPE,
            zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
            zmq.LINGER: LINGER_MS,
            zmq.MAXMSGSIZE: MAX_REQUEST_BYTES,
        }
        self._socket = self._loop.bind(zmq.ROUTER, self.endpoint, options)
        self._gone = self._loop.monitor(self._socket, zmq.EVENT_DISCONNECTED)
        self._consoles = Consoles(self._socket, self._set_tap)

    def _serve(self) -> None:
        try:
            while self._make_calls():
                self._guarded(self._consoles.try_again)
                ready = self._loop.poll(self._pause_ms())
                if self._socket in ready:
                    self._guarded(self._read)
                if self._gone in ready:
                    self._hear_who_is_gone(self._gone)
            self._consoles.say_goodbye()
        finally:
            self._handler.set_tap(None)

    def _make_calls(self) -> bool:
        """Makes the queued calls. False: one of them was to close."""
        for call in self._loop.calls():
            self._guarded(call)
            if self._closing:
                return False
        return True

    def _hear_who_is_gone(self, gone: Socket) -> None:
        with suppress(zmq.Again):
            while gone.recv_multipart(zmq.NOBLOCK):
                self._consoles.one_is_gone()

    def _pause_ms(self) -> int | None:
        due = self._consoles.due()
        return max(0, math.ceil(1_000 * (min(due) - time.monotonic()))) if due else None

    def _guarded(self, step: Callable[[], None]) -> None:
        self._loop.guarded(step, refused=self._refused)

    def _refused(self, error: ProtocolError) -> None:
        if count := self._nonsense.happened(time.monotonic()):
            logger.error("the control server refused {} requests; the last one: {}", count, error)

    def _read(self) -> None:
        console, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
        try:
            request_id, request = decode_request(_only(frames))
        except ProtocolError as error:  # without an id there is nothing to answer
            self._consoles.answer(console, 0, Refusal(text=described(error)))
            raise
        match request:
            case Refusal():
                self._consoles.answer(console, request_id, request)
            case GetReport():
                answer = self._handler.at_once(request, self._consoles.attending())
                self._consoles.answer(console, request_id, answer)
            case Follow() | Trace() if not self._consoles.has_room(console):
                self._consoles.answer(
                    console, request_id, Refusal(text=f"{MOST_CONSOLES} consoles are attached: close one")
                )
            case Follow():
                self._consoles.follow(console, request.last)
                self._consoles.answer(console, request_id, Done())
            case Trace():
                self._consoles.trace(console, request)
                self._consoles.answer(console, request_id, Done(text="trace on" if request.on else "trace off"))
            case _ if self._at_work >= MOST_AT_WORK or self._at_work_bytes > MOST_AT_WORK_BYTES:
                self._consoles.answer(
                    console, request_id, Refusal(text=f"{self._at_work} requests are being served: try again")
                )
            case _:
                size = sum(map(len, frames))
                self._at_work += 1
                self._at_work_bytes += size
                threading.Thread(
                    target=self._work, args=(console, request_id, request, size), name="control request", daemon=True
                ).start()

    def _publish(self, news: Shown) -> None:
        self._handler.news(news)
        self._show(news.progress)
        with self._guard:
            lost, self._lost_news = self._lost_news, 0
        if lost:
            logger.warning("{} events were not shown: they came faster than consoles can read them", lost)
            self._consoles.lost(lost)
        text = news.progress.text
        if len(text) > LONGEST_TEXT:
            cut = f"{text[:LONGEST_TEXT]}… ({len(text) - LONGEST_TEXT:,} more characters are in the log)"
            news = replace(news, progress=replace(news.progress, text=cut))
        self._consoles.tell(news)

    # --- tracing ----------------------------------------------------------------------------------------------------

    def _set_tap(self) -> None:
        self._handler.set_tap(self._tap if self._consoles.tracing() else None)

    def _tap(self, envelope: Envelope, body: bytes, lost: str) -> None:
        """Router's thread."""
        size, kept = len(body), body if len(body) <= LONGEST_TRACED else b""
        self._call_bounded(len(kept), lambda: self._trace(envelope, kept, size, lost), trace=True)

    def _trace(self, envelope: Envelope, body: bytes, size: int, lost: str) -> None:
        with self._guard:
            not_seen, self._lost_traces = self._lost_traces, 0
        traced = Traced(
            at_ms=wall_ms(),
            kind=envelope.kind,
            sender=envelope.sender,
            recipient=envelope.recipient,
            size=size,
            latency_ms=max(0, wall_ms() - envelope.sent_at_ms),
            attempt=envelope.attempt,
            answers=bool(envelope.reply_to),
            lost=lost,
        )
        line = f"{envelope.sender} {envelope.recipient} {envelope.kind}".lower()

        def wants(trace: Trace) -> bool:
            return trace.only.lower() in line and (envelope.kind not in _NOISE or bool(trace.only))

        self._consoles.show_trace(traced, wants, lambda: _body_text(body), not_seen)

    # --- threads of requests ----------------------------------------------------------------------------------------

    def _work(self, console: bytes, request_id: int, request: AnyRequest, size: int) -> None:
        answer: AnyAnswer
        try:
            answer = self._handler.serve(request)
        except UndeliverableError as error:
            answer = Refusal(text=str(error), in_doubt=True)
        except LoopError as error:
            answer = Refusal(text=str(error))
        except BaseException as error:  # anything that a request raises, SystemExit too, is its answer
            logger.opt(exception=error).error("the control server failed at {}", type(request).__name__)
            answer = Refusal(text=f"the run failed at this request: {described(error)}; its log has more")

        def reply() -> None:
            self._at_work -= 1
            self._at_work_bytes -= size
            self._consoles.answer(console, request_id, answer)

        self._loop.call_soon(reply)


def _only(frames: list[bytes]) -> bytes:
    if len(frames) != 1:
        raise ProtocolError(f"{len(frames)} frames instead of 1 from a console")
    return frames[0]


def _body_text(body: bytes) -> str:
    text = "(unreadable)"
    with suppress(ProtocolError, ValueError, TypeError, RecursionError):
        text = json.dumps(msgspec.to_builtins(anything.unpack(body, "body")), ensure_ascii=False)
    return text if len(text) <= LONGEST_BODY else f"{text[:LONGEST_BODY]}…"
