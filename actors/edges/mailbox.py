"""The inbox of an actor process: control before mail, and open to inspection while a handler is stuck.

Pykka needs only `put`, `get` and `empty` of an inbox (its stock one is a plain FIFO queue: a stop waits behind the
backlog). The I/O thread puts and inspects; the actor's thread gets. It is bounded by what senders may have in
flight (machines/reliable_delivery.WINDOW and WINDOW_BYTES).
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from pykka._envelope import Envelope as PykkaEnvelope

from actors.edges.reliable_channel import CONTROL, Delivery, monotonic_ms
from actors.messages import Heartbeat, MailboxItem, Peeked, StopActor
from actors.wire.envelope import Envelope

REMEMBERED = 50  # handled messages that inspection can show

Item = PykkaEnvelope[Any]


class Mailbox:
    """Pykka's inbox. An item that is not a `Delivery` is Pykka's own stop, which goes first like ours."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stops: deque[Item] = deque()
        self._control: deque[Item] = deque()
        self._mail: deque[Item] = deque()
        self._handling: Delivery | None = None
        self._activity = ""  # what the actor's thread does besides handling: "on_start", "on_stop"
        self._since_ms = monotonic_ms()
        self._handled: deque[tuple[Envelope, int]] = deque(maxlen=REMEMBERED)  # without their bodies
        self._handled_count = 0

    def put(self, item: Item, /) -> None:
        """Any thread."""
        content = item.message
        if not isinstance(content, Delivery) or isinstance(content.message, StopActor):
            queue = self._stops
        elif isinstance(content.message, CONTROL):
            queue = self._control
        else:
            queue = self._mail
        with self._changed:
            queue.append(item)
            self._changed.notify()

    def get(self) -> Item:
        """The next item in order of precedence; waits for one."""
        with self._changed:
            while True:
                for queue in (self._stops, self._control, self._mail):
                    if queue:
                        return queue.popleft()
                self._changed.wait()

    def empty(self) -> bool:
        """Whether `get` would wait."""
        with self._changed:
            return not (self._stops or self._control or self._mail)

    # --- the actor's thread reports what it does -------------------------------------------------------------------

    def begin(self, delivery: Delivery) -> None:
        """The handler of this delivery starts."""
        with self._changed:
            self._handling = delivery
            self._since_ms = monotonic_ms()

    def end(self) -> None:
        """The handler has returned."""
        with self._changed:
            if self._handling is not None:
                self._handled.appendleft((self._handling.envelope, self._handling.at_ms))
                self._handled_count += 1
            self._handling = None

    def set_activity(self, activity: str) -> None:
        """Records what the thread does outside handlers; "" when it waits for a message."""
        with self._changed:
            self._activity = activity
            self._since_ms = monotonic_ms()

    # --- inspection, any thread -----------------------------------------------------------------------------------

    def vitals(self, note: str) -> Heartbeat:
        """The handler's current message and its age, and the queue's length."""
        with self._changed:
            handling = self._handling.envelope.kind if self._handling else self._activity
            return Heartbeat(
                handler_age_ms=monotonic_ms() - self._since_ms if handling else 0,
                handling=handling,
                mailbox=len(self._stops) + len(self._control) + len(self._mail),
                handled=self._handled_count,
                note=note,
            )

    def peek(self, limit: int, stacks: str) -> Peeked:
        """Up to `limit` waiting and handled messages, without their bodies."""
        now_ms = monotonic_ms()
        with self._changed:
            waiting = [item.message for queue in (self._stops, self._control, self._mail) for item in queue]
            handling, handled = self._handling, list(self._handled)
        return Peeked(
            waiting=[_item(each.envelope, each.at_ms, now_ms) for each in waiting if isinstance(each, Delivery)][
                :limit
            ],
            handling=_item(handling.envelope, handling.at_ms, now_ms) if handling else None,
            handled=[_item(envelope, at_ms, now_ms) for envelope, at_ms in handled[:limit]],
            stacks=stacks,
        )


def _item(envelope: Envelope, at_ms: int, now_ms: int) -> MailboxItem:
    return MailboxItem(id=envelope.id, kind=envelope.kind, sender=envelope.sender, age_ms=now_ms - at_ms)
