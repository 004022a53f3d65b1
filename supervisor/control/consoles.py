"""The consoles of a control server, and how frames reach each of them. Control server's thread only.

A console that follows reads the common log of news at its own pace; answers and traces wait in a queue of its own.
Nothing waits for a console that does not read: it is tried again after a pause, and misses what its queues cannot hold.
One that is gone is forgotten. Only sending shows that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq
from msgspec.structs import replace

from actors.edges.socket_loop import Socket
from supervisor.control.news import NewsLog, Own
from supervisor.control.protocol import AnyAnswer, AnyNews, Done, Shown, Trace, Traced, decode_answer, encode_answer

FIRST_PAUSE_S, LAST_PAUSE_S = 0.001, 0.5  # until a console that took nothing is tried again
MOST_CONSOLES = 1_000
LINGER_MS = 300  # for the last news, when the run is over
FAREWELL_S = 1.0  # the same, for consoles that read, but have much to read
# The closing of one connection is known before its console is gone from the socket.
FAREWELL_LOOKS_S = (0.02, 0.2, 1.0)
# A frame that a console ignores.
_NOTHING = encode_answer(0, Done())


@dataclass
class _Console:
    """A console that follows or traces, or that has not read its answers yet."""

    follows: bool = False
    place: int = 0  # in the log of news
    trace: Trace | None = None
    own: Own[bytes] = field(default_factory=Own)
    pause_s: float = 0.0  # it takes nothing; 0: it does
    again_at: float = 0.0

    @property
    def attends(self) -> bool:
        return self.follows or self.trace is not None


class Consoles:
    """The consoles at one ROUTER socket. `traced` is called when a console may have begun or ended a trace."""

    def __init__(self, socket: Socket, traced: Callable[[], None]) -> None:
        self._socket = socket
        self._traced = traced
        self._consoles: dict[bytes, _Console] = {}
        self._news: NewsLog[zmq.Frame] = NewsLog()
        self._looks: list[float] = []  # times of the checks for consoles that are gone

    # --- who attends ----------------------------------------------------------------------------------------------

    def follow(self, console: bytes, last: int) -> None:
        """The console gets news from now on, and these many earlier ones."""
        known = self._consoles.setdefault(console, _Console())
        known.follows, known.place = True, self._news.last(last)

    def trace(self, console: bytes, request: Trace) -> None:
        """The console gets traces from now on, or no longer."""
        self._consoles.setdefault(console, _Console()).trace = request if request.on else None
        self._traced()

    def has_room(self, console: bytes) -> bool:
        """Whether this console can attend: there are not too many others."""
        return console in self._consoles or len(self._consoles) < MOST_CONSOLES

    def attending(self) -> int:
        """How many consoles follow or trace."""
        return sum(known.attends for known in self._consoles.values())

    def followed(self) -> bool:
        """Any thread: whether a console follows the run."""
        return any(known.follows for known in list(self._consoles.values()))

    def tracing(self) -> bool:
        """Whether a console traces."""
        return any(known.trace is not None for known in self._consoles.values())

    def waiting_bytes(self) -> int:
        """What waits for all of them."""
        return self._news.size + sum(known.own.size for known in self._consoles.values())

    # --- what they get --------------------------------------------------------------------------------------------

    def tell(self, news: AnyNews) -> None:
        """Sends news to all that follow."""
        frame = zmq.Frame(encode_answer(0, news))  # one for all: ZeroMQ's queues share it
        self._news.add(frame, len(frame.buffer))
        for console, known in list(self._consoles.items()):
            if known.follows and not known.pause_s:
                self._pump(console, known)

    def lost(self, count: int) -> None:
        """So many news never came here: all that follow miss them."""
        self._news.lost(count)

    def answer(self, console: bytes, request_id: int, body: AnyAnswer) -> None:
        """Sends an answer, after this console's own queue and before any news."""
        frame = encode_answer(request_id, body)
        known = self._consoles.get(console)
        if known is None:
            if self._send_frame(console, frame) is not False or len(self._consoles) >= MOST_CONSOLES:
                return
            known = self._consoles[console] = _Console()
        known.own.answer(frame, len(frame))
        self._pump(console, known)

    def show_trace(
        self, traced: Traced, wants: Callable[[Trace], bool], text: Callable[[], str], not_seen: int
    ) -> None:
        """Sends the trace to those that want it, with `text` if they want bodies. `not_seen`: traces lost before it."""
        for console, known in list(self._consoles.items()):
            if known.trace is None:
                continue
            known.own.missed += not_seen
            if not wants(known.trace):
                continue
            body = text() if known.trace.bodies else ""
            frame = encode_answer(0, replace(traced, body=body, missed=known.own.missed))
            if known.own.trace(frame, len(frame)) and not known.pause_s:
                self._pump(console, known)

    # --- those that do not read, and those that are gone ----------------------------------------------------------

    def one_is_gone(self) -> None:
        """A connection has closed: finds out soon whose it was."""
        self._looks = [time.monotonic() + after for after in FAREWELL_LOOKS_S]

    def due(self) -> list[float]:
        """The times, on the monotonic clock, at which `try_again` has something to do."""
        return [known.again_at for known in self._consoles.values() if known.pause_s] + self._looks

    def try_again(self) -> None:
        """Sends to those whose pause is over, and forgets those that are gone."""
        now = time.monotonic()
        if self._looks and self._looks[0] <= now:
            self._looks = [at for at in self._looks if at > now]
            for console in list(self._consoles):
                self._send_frame(console, _NOTHING)
        for console, known in list(self._consoles.items()):
            if known.pause_s and known.again_at <= now:
                self._pump(console, known)

    def say_goodbye(self) -> None:
        """Sends the rest to consoles that read; does not wait for the others."""
        begun = read_at = time.monotonic()
        while (now := time.monotonic()) < begun + FAREWELL_S and now < read_at + LINGER_MS / 1_000:
            left = {console: known for console, known in self._consoles.items() if known.pause_s}
            if not left:
                return
            for console, known in left.items():
                if self._pump(console, known):
                    read_at = now
            time.sleep(FIRST_PAUSE_S)

    # --- sending --------------------------------------------------------------------------------------------------

    def _pump(self, console: bytes, known: _Console) -> bool:
        """Sends until the console takes no more. Returns whether it took anything."""
        took = False
        while (sent := self._send_next(console, known)) is True:
            took = True
        if sent is False:
            known.pause_s = FIRST_PAUSE_S if took else min(LAST_PAUSE_S, 2 * known.pause_s or FIRST_PAUSE_S)
            known.again_at = time.monotonic() + known.pause_s
            return took
        known.pause_s = 0.0
        if not known.attends:
            self._consoles.pop(console, None)
        return took

    def _send_next(self, console: bytes, known: _Console) -> bool | None:
        """Sends one frame. None: there is nothing, or the console is gone. False: it takes nothing at the moment."""
        if known.own.items:
            sent = self._send_frame(console, known.own.items[0][0])
            if sent:
                known.own.pop()
            return sent
        found = self._news.next(known.place) if known.follows else None
        if found is None:
            return None
        frame: zmq.Frame | bytes = found.item
        if found.missed:
            news = decode_answer(found.item.bytes).body
            if isinstance(news, Shown):
                frame = encode_answer(0, replace(news, missed=found.missed))
        sent = self._send_frame(console, frame)
        if sent:
            known.place = found.place
        return sent

    def _send_frame(self, console: bytes, frame: bytes | zmq.Frame) -> bool | None:
        """Returns whether the console took the frame; None: it is gone, and forgotten."""
        try:
            self._socket.send_multipart([console, frame], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            if self._consoles.pop(console, None) is not None:
                self._traced()
            return None
        return True
