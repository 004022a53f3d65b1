"""Asks the roots of all live runs how they stand, once a second, from one thread with one socket a run.

A root that is slow or dead delays nobody: what it said last stays, with the time at which it said that. It never
gives an order. `follow`, `select`, `heard` and `mail` are for any thread and return at once.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import zmq

from actors.edges import environments
from actors.edges.socket_loop import Socket, SocketLoop
from actors.errors import ProtocolError
from supervisor.console_wire import (
    GetReport,
    LookAtMail,
    MailReport,
    Refusal,
    Report,
    Request,
    decode_answer,
    encode_request,
)

ASK_S = 1.0
PATIENCE_S = 5.0  # after which a question is asked again: the first one may have been lost with its root
MAILS = 50  # finished ones, beside all that are not finished


@dataclass(frozen=True)
class Heard:
    """What a desk said. `age_s`: since it was said; while there is no report, since it was asked."""

    report: Report | None
    age_s: float
    refusal: str = ""


@dataclass
class _Desk:
    endpoint: str
    socket: Socket
    since: float
    due: dict[type[Request], float] = field(default_factory=dict)  # when each question is asked next
    open: dict[int, type[Request]] = field(default_factory=dict)  # questions without an answer
    report: Report | None = None
    heard_at: float = 0.0
    mail: MailReport | None = None
    refusal: str = ""


class Desks:
    """Asks from when the constructor returns until `close`."""

    def __init__(self) -> None:
        environments.check_open_files(environments.FILES_OF_A_CONSOLE)
        self._loop = SocketLoop("desks")
        self._ids = itertools.count(1)
        self._changed = threading.Condition()  # guards what follows
        self._wanted: dict[str, str] = {}
        self._selected = ""
        self._desks: dict[str, _Desk] = {}
        self._closing = False
        self._loop.start(lambda: None, self._serve)

    def follow(self, endpoints: Mapping[str, str]) -> None:
        """The live runs from now on: the address of the desk by the run's key."""
        with self._changed:
            if dict(endpoints) == self._wanted:
                return
            self._wanted = dict(endpoints)
        self._loop.wake()

    def select(self, key: str) -> None:
        """The run whose mail is asked for as well; "" = none."""
        with self._changed:
            if key == self._selected:
                return
            self._selected = key
        self._loop.wake()

    def heard(self) -> dict[str, Heard]:
        """What each desk said last."""
        now = time.monotonic()
        with self._changed:
            return {
                key: Heard(desk.report, now - (desk.heard_at or desk.since), desk.refusal)
                for key, desk in self._desks.items()
            }

    def mail(self, key: str) -> MailReport | None:
        """The mail of the selected run; None while it is not known."""
        with self._changed:
            desk = self._desks.get(key)
            return desk.mail if desk is not None else None

    def wait(self, timeout_s: float) -> None:
        """Until all that are followed have said something, or the time is over."""
        with self._changed:
            self._changed.wait_for(self._all_heard, timeout_s)

    def _all_heard(self) -> bool:
        known = {key: desk.endpoint for key, desk in self._desks.items()}
        return known == self._wanted and all(desk.report or desk.refusal for desk in self._desks.values())

    def close(self) -> None:
        """Idempotent."""
        self._closing = True
        self._loop.wake()
        self._loop.join()

    # --- its thread -------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._closing:
            with self._changed:
                self._connect()
                wait_s = self._ask_all(time.monotonic())
            ready = self._loop.poll(round(wait_s * 1000) + 1)
            with self._changed:
                for desk in self._desks.values():
                    if desk.socket in ready:
                        self._read(desk)
                self._changed.notify_all()

    def _connect(self) -> None:
        for key, desk in list(self._desks.items()):
            if self._wanted.get(key) != desk.endpoint:
                self._loop.close_socket(desk.socket)
                del self._desks[key]
        for key, endpoint in self._wanted.items():
            if key not in self._desks:
                socket = self._loop.connect(zmq.DEALER, endpoint, {zmq.LINGER: 0, zmq.RECONNECT_IVL: 100})
                self._desks[key] = _Desk(endpoint, socket, time.monotonic())

    def _ask_all(self, now: float) -> float:
        """Asks what is due; returns after how many seconds something is due again."""
        due = [now + ASK_S]
        for key, desk in self._desks.items():
            due.append(self._ask(desk, GetReport(), now))
            if key == self._selected:
                due.append(self._ask(desk, LookAtMail(finished=MAILS), now))
        return max(0.0, min(due) - now)

    def _ask(self, desk: _Desk, request: Request, now: float) -> float:
        """Asks when it is time to; returns when it is time again."""
        kind = type(request)
        if (due := desk.due.get(kind, 0.0)) > now:
            return due
        request_id = next(self._ids)
        desk.open = {known: other for known, other in desk.open.items() if other is not kind} | {request_id: kind}
        desk.due[kind] = now + PATIENCE_S
        with suppress(zmq.Again):  # it has not read the last ones
            desk.socket.send(encode_request(request_id, request), zmq.NOBLOCK)
        return desk.due[kind]

    def _read(self, desk: _Desk) -> None:
        try:
            message = decode_answer(desk.socket.recv(zmq.NOBLOCK))
        except (zmq.Again, ProtocolError):  # another version's desk: it is shown as one that does not answer
            return
        now = time.monotonic()
        kind = desk.open.pop(message.id, None)
        if kind is None:
            return
        desk.due[kind] = now + ASK_S
        match message.body:
            case Report():
                desk.report, desk.heard_at, desk.refusal = message.body, now, ""
            case MailReport():
                desk.mail = message.body
            case Refusal(text=text) if kind is GetReport:
                desk.refusal = text
            case _:  # no mail: one agent alone, or the bridge is down
                desk.mail = None
