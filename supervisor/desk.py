"""The desk: where consoles come to ask about a run and to follow it. A ROUTER socket of its own, in its own thread.

Many consoles at once. None of them can slow the run down: whoever tells news only puts them into a queue, a console
that does not read misses news and is told how many, and one that is gone is forgotten. It decides nothing; the clerk
answers. What can be answered from memory is answered in the desk's thread; a request that asks an actor gets a thread
of its own, so that a stuck actor delays nobody else.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import zmq
from loguru import logger
from msgspec.structs import replace

from actors.clock import wall_ms
from actors.edges.wakeup import Wakeup
from actors.errors import CircumstanceError, LoopError, ProtocolError, UndeliverableError, described
from actors.messages import Progress
from actors.wire.envelope import Envelope
from actors.wire.unpack import anything
from supervisor.console_wire import (
    MAX_REQUEST_BYTES,
    AnyAnswer,
    AnyNews,
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
    encode_answer,
)

# News that a console which attaches late can ask for.
REMEMBERED = 500
# Frames that wait for a console that does not read; what comes after that it misses. The kernel and the console's own
# socket hold some more.
BACKLOG = 2_000
# Requests that ask an actor, at once. More than ten people and their scripts need; a bound on threads, no more.
MOST_AT_WORK = 64
LINGER_MS = 300  # for the last news, when the run is over
LONGEST_BODY = 4_000  # characters of a traced body
# Sent all the time and of interest to nobody who does not ask for them by name.
_NOISE = ("Heartbeat", "Ack")

TraceTap = Callable[[Envelope, bytes, str], None]


class Clerk(Protocol):
    """Who knows the run. `at_once` is called in the desk's thread and must not wait; `serve` may, in its own."""

    def at_once(self, request: GetReport, consoles: int) -> AnyAnswer:
        """From memory."""

    def serve(self, request: AnyRequest) -> AnyAnswer:
        """Asks whom it must ask. Raises `LoopError`, which becomes a `Refusal`."""

    def news(self, news: Shown) -> None:
        """Desk's thread: what was told, in order, before the consoles get it."""

    def set_tap(self, tap: TraceTap | None) -> None:
        """The tap is called in the router's thread with (envelope, body, why it was not handed over)."""


@dataclass
class _Console:
    """One that gets news. That it is gone shows when there are some for it."""

    follows: bool = False
    missed: int = 0
    trace: Trace | None = None


class Desk:
    """Bound and served when the constructor returns. `publish` and `close` are for any thread.

    `show` is the root's own console: called in the desk's thread with all that is told, it must pass it on and return.
    Raises CircumstanceError when the path is not free. `path` lies in a directory that is accessible to the user alone:
    whoever can connect may order anything.
    """

    def __init__(self, path: Path, clerk: Clerk, show: Callable[[Progress], None]) -> None:
        self._show = show
        self.endpoint = f"ipc://{path}"
        self._clerk = clerk
        self._wakeup = Wakeup()
        self._orders: deque[Callable[[], None]] = deque()
        self._consoles: dict[bytes, _Console] = {}  # desk's thread only
        self._recent: deque[Shown] = deque(maxlen=REMEMBERED)
        self._at_work = 0
        self._closing = False
        bound: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(bound,), name="desk", daemon=True)
        self._thread.start()
        try:
            bound.result()
        except CircumstanceError:
            self._thread.join()
            self._wakeup.close()
            raise

    def publish(self, news: Shown) -> None:
        """Tells whoever follows. Never waits."""
        self._order(lambda: self._publish(news))

    def attended(self) -> bool:
        """Any thread: whether somebody follows the run."""
        return any(known.follows for known in list(self._consoles.values()))

    def close(self, last: Ended | None = None) -> None:
        """Says goodbye and closes. Requests that are being served are not answered. Idempotent."""
        if self._closing:
            return
        if last is not None:
            self._order(lambda: self._tell_all(last))
        self._order(self._close)
        self._thread.join()
        self._wakeup.close()

    # --- desk's thread --------------------------------------------------------------------------------------------

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        self._wakeup.wake()

    def _close(self) -> None:
        self._closing = True

    def _run(self, bound: Future[None]) -> None:
        context = zmq.Context()
        self._socket = context.socket(zmq.ROUTER)
        try:
            self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # says which console is full, and which is gone
            self._socket.setsockopt(zmq.SNDHWM, BACKLOG)
            self._socket.setsockopt(zmq.LINGER, LINGER_MS)
            self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
            self._socket.bind(self.endpoint)
        except zmq.ZMQError as error:
            bound.set_exception(CircumstanceError(f"cannot bind {self.endpoint}: {error}"))
        else:
            bound.set_result(None)
            self._serve()
        finally:
            self._clerk.set_tap(None)
            self._socket.close(LINGER_MS)
            context.term()

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wakeup.fd, zmq.POLLIN)
        while True:
            while self._orders:
                self._guarded(self._orders.popleft())
                if self._closing:
                    return
            ready = dict(poller.poll())
            if self._wakeup.fd in ready:
                self._wakeup.clear()
            if self._socket in ready:
                self._guarded(self._read)

    def _guarded(self, step: Callable[[], None]) -> None:
        """A console's nonsense, or a slip of ours, must not take the desk away from the others."""
        try:
            step()
        except ProtocolError as error:
            logger.error("the desk refused a request: {}", error)
        except BaseException as error:
            logger.opt(exception=error).error("the desk failed at a step")

    def _read(self) -> None:
        console, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
        try:
            request_id, request = decode_request(_only(frames))
        except ProtocolError as error:  # it has no id that an answer could go under
            self._send(console, 0, Refusal(text=described(error)))
            raise
        match request:
            case Refusal():
                self._send(console, request_id, request)
            case GetReport():
                self._send(console, request_id, self._clerk.at_once(request, len(self._consoles)))
            case Follow():
                self._consoles.setdefault(console, _Console()).follows = True
                self._send(console, request_id, Done())
                for news in list(self._recent)[-request.last :] if request.last > 0 else ():
                    self._send(console, 0, news)
            case Trace():
                self._consoles.setdefault(console, _Console()).trace = request if request.on else None
                self._set_tap()
                self._send(console, request_id, Done(text="trace on" if request.on else "trace off"))
            case _ if self._at_work >= MOST_AT_WORK:
                self._send(console, request_id, Refusal(text=f"{MOST_AT_WORK} requests are being served: try again"))
            case _:
                self._at_work += 1
                threading.Thread(
                    target=self._work, args=(console, request_id, request), name="desk request", daemon=True
                ).start()

    def _publish(self, news: Shown) -> None:
        self._recent.append(news)
        self._clerk.news(news)
        self._show(news.progress)
        self._tell_all(news)

    def _tell_all(self, news: AnyNews) -> None:
        frame = encode_answer(0, news)
        for console, known in list(self._consoles.items()):
            if not known.follows:
                continue
            if known.missed and not isinstance(news, Ended):
                sent = self._send(console, 0, replace(news, missed=known.missed))
            else:
                sent = self._send_frame(console, frame)
            known.missed = 0 if sent else known.missed + 1

    def _send(self, console: bytes, request_id: int, body: AnyAnswer) -> bool:
        return self._send_frame(console, encode_answer(request_id, body))

    def _send_frame(self, console: bytes, frame: bytes) -> bool:
        try:
            self._socket.send_multipart([console, frame], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._consoles.pop(console, None)
            self._set_tap()
            return False
        return True

    # --- tracing ----------------------------------------------------------------------------------------------------

    def _set_tap(self) -> None:
        wanted = any(known.trace is not None for known in self._consoles.values())
        self._clerk.set_tap(self._tap if wanted else None)

    def _tap(self, envelope: Envelope, body: bytes, lost: str) -> None:
        """Router's thread."""
        self._order(lambda: self._trace(envelope, body, lost))

    def _trace(self, envelope: Envelope, body: bytes, lost: str) -> None:
        traced = Traced(
            at_ms=wall_ms(),
            kind=envelope.kind,
            sender=envelope.sender,
            recipient=envelope.recipient,
            size=len(body),
            latency_ms=max(0, wall_ms() - envelope.sent_at_ms),
            attempt=envelope.attempt,
            answers=bool(envelope.reply_to),
            lost=lost,
        )
        line = f"{envelope.sender} {envelope.recipient} {envelope.kind}".lower()
        for console, known in list(self._consoles.items()):
            trace = known.trace
            if trace is None or trace.only.lower() not in line or (envelope.kind in _NOISE and not trace.only):
                continue
            text = _body_text(body) if trace.bodies else ""
            sent = self._send(console, 0, replace(traced, body=text, missed=known.missed))
            known.missed = 0 if sent else known.missed + 1

    # --- threads of requests ----------------------------------------------------------------------------------------

    def _work(self, console: bytes, request_id: int, request: AnyRequest) -> None:
        answer: AnyAnswer
        try:
            answer = self._clerk.serve(request)
        except UndeliverableError as error:
            answer = Refusal(text=str(error), in_doubt=True)
        except LoopError as error:
            answer = Refusal(text=str(error))
        except BaseException as error:  # whatever a request raises, SystemExit too, is its answer
            logger.opt(exception=error).error("the desk failed at {}", type(request).__name__)
            answer = Refusal(text=f"the run failed at this request: {described(error)}; its log has more")

        def reply() -> None:
            self._at_work -= 1
            self._send(console, request_id, answer)

        self._order(reply)


def _only(frames: list[bytes]) -> bytes:
    if len(frames) != 1:
        raise ProtocolError(f"{len(frames)} frames instead of 1 from a console")
    return frames[0]


def _body_text(body: bytes) -> str:
    text = "(unreadable)"
    with suppress(ProtocolError, ValueError, TypeError, RecursionError):
        text = json.dumps(msgspec.to_builtins(anything.unpack(body, "body")), ensure_ascii=False)
    return text if len(text) <= LONGEST_BODY else f"{text[:LONGEST_BODY]}…"
