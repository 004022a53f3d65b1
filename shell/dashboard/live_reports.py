"""Asks the roots of all live runs for their reports, once a second, from one thread with one socket per run.

A slow or dead root delays no other: its last report stays, with its age. This module gives no order. `follow`,
`select`, `heard` and `mail` are for any thread and return immediately.
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
from supervisor.control.protocol import (
    GetReport,
    MailReport,
    Refusal,
    Report,
    Request,
    ShowMail,
    decode_answer,
    encode_request,
)

ASK_S = 1.0
PATIENCE_S = 5.0  # after which a question is asked again: the first one may have been lost with its root
MAILS = 50  # finished ones, beside all that are not finished


@dataclass(frozen=True)
class Heard:
    """The last report of a root. `age_s`: since the report; without one, since the question."""

    report: Report | None
    age_s: float
    refusal: str = ""


@dataclass
class _Root:
    endpoint: str
    socket: Socket
    since: float
    due: dict[type[Request], float] = field(default_factory=dict)  # when each question is asked next
    open: dict[int, type[Request]] = field(default_factory=dict)  # questions without an answer
    report: Report | None = None
    heard_at: float = 0.0
    mail: MailReport | None = None
    refusal: str = ""


class LiveReports:
    """Asks from its construction until `close`."""

    def __init__(self) -> None:
        environments.check_open_files(environments.FILES_OF_A_CONSOLE)
        self._loop = SocketLoop("roots")
        self._ids = itertools.count(1)
        self._changed = threading.Condition()  # guards what follows
        self._wanted: dict[str, str] = {}
        self._selected = ""
        self._roots: dict[str, _Root] = {}
        self._closing = False
        self._loop.start(lambda: None, self._serve)

    def follow(self, endpoints: Mapping[str, str]) -> None:
        """Sets the live runs: the address of the root by the run's key."""
        with self._changed:
            if dict(endpoints) == self._wanted:
                return
            self._wanted = dict(endpoints)
        self._loop.wake()

    def select(self, key: str) -> None:
        """Selects the run whose mail is asked for as well; "" = none."""
        with self._changed:
            if key == self._selected:
                return
            self._selected = key
        self._loop.wake()

    def heard(self) -> dict[str, Heard]:
        """The last report of each root."""
        now = time.monotonic()
        with self._changed:
            return {
                key: Heard(root.report, now - (root.heard_at or root.since), root.refusal)
                for key, root in self._roots.items()
            }

    def mail(self, key: str) -> MailReport | None:
        """The mail of the selected run; None while it is not known."""
        with self._changed:
            root = self._roots.get(key)
            return root.mail if root is not None else None

    def wait(self, timeout_s: float) -> None:
        """Waits until each followed root has reported, or the time is over."""
        with self._changed:
            self._changed.wait_for(self._all_heard, timeout_s)

    def _all_heard(self) -> bool:
        known = {key: root.endpoint for key, root in self._roots.items()}
        return known == self._wanted and all(root.report or root.refusal for root in self._roots.values())

    def close(self) -> None:
        """Ends the questions. Idempotent."""
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
                for root in self._roots.values():
                    if root.socket in ready:
                        self._read(root)
                self._changed.notify_all()

    def _connect(self) -> None:
        for key, root in list(self._roots.items()):
            if self._wanted.get(key) != root.endpoint:
                self._loop.close_socket(root.socket)
                del self._roots[key]
        for key, endpoint in self._wanted.items():
            if key not in self._roots:
                socket = self._loop.connect(zmq.DEALER, endpoint, {zmq.LINGER: 0, zmq.RECONNECT_IVL: 100})
                self._roots[key] = _Root(endpoint, socket, time.monotonic())

    def _ask_all(self, now: float) -> float:
        """Asks what is due; returns after how many seconds something is due again."""
        due = [now + ASK_S]
        for key, root in self._roots.items():
            due.append(self._ask(root, GetReport(), now))
            if key == self._selected:
                due.append(self._ask(root, ShowMail(finished=MAILS), now))
        return max(0.0, min(due) - now)

    def _ask(self, root: _Root, request: Request, now: float) -> float:
        """Asks when it is time to; returns when it is time again."""
        kind = type(request)
        if (due := root.due.get(kind, 0.0)) > now:
            return due
        request_id = next(self._ids)
        root.open = {known: other for known, other in root.open.items() if other is not kind} | {request_id: kind}
        root.due[kind] = now + PATIENCE_S
        with suppress(zmq.Again):  # it has not read the previous ones
            root.socket.send(encode_request(request_id, request), zmq.NOBLOCK)
        return root.due[kind]

    def _read(self, root: _Root) -> None:
        try:
            message = decode_answer(root.socket.recv(zmq.NOBLOCK))
        except (zmq.Again, ProtocolError):  # another version's root: it is shown as one that does not answer
            return
        now = time.monotonic()
        kind = root.open.pop(message.id, None)
        if kind is None:
            return
        root.due[kind] = now + ASK_S
        match message.body:
            case Report():
                root.report, root.heard_at, root.refusal = message.body, now, ""
            case MailReport():
                root.mail = message.body
            case Refusal(text=text) if kind is GetReport:
                root.refusal = text
            case _:  # no mail: one agent alone, or the bridge is down
                root.mail = None
