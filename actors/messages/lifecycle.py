"""Messages between an actor's process and its supervisor, and the general answers. Pure."""

from __future__ import annotations

import msgspec

from actors.messages.base import Message
from actors.messages.values import Count


class Ready(Message, frozen=True, kw_only=True):
    """Actor -> supervisor: on_start is done. `detail` is shown to the user (for the bridge: its URL)."""

    pid: int
    detail: str = ""


class CannotStart(Message, frozen=True, kw_only=True):
    """Actor process -> supervisor, before it ends with `EXIT_PERMANENT`: why it cannot start, now or later."""

    reason: str


class Heartbeat(Message, frozen=True, kw_only=True):
    """Actor process -> supervisor, once a second, from its I/O thread; describes its handler."""

    handler_age_ms: int  # age of the message being handled now; 0 when idle
    handling: str  # its kind; "" when idle
    mailbox: int
    handled: int
    note: str = ""  # what the actor is busy with beside its mailbox, e.g. "turn work-3 for 41 s"


class StopActor(Message, frozen=True, kw_only=True):
    """Supervisor -> actor: finish what must be finished, close, exit 0."""

    reason: str
    grace_s: float


class ActorUp(Message, frozen=True, kw_only=True):
    """Supervisor -> every actor of the run: `name` is ready under this incarnation. Resend what waits for it."""

    name: str
    incarnation: int


class ActorDown(Message, frozen=True, kw_only=True):
    """Supervisor -> every actor of the run: this incarnation of `name` is gone, with all its processes."""

    name: str
    incarnation: int
    reason: str


class Undeliverable(Message, frozen=True, kw_only=True):
    """Router -> sender: the message was not handed over. The router keeps it as a dead letter."""

    message_id: str
    recipient: str
    kind: str
    reason: str
    kept: bool = False  # numbered: the sender's window keeps and resends it


class Ack(Message, frozen=True, kw_only=True):
    """Receiver -> sender: the must-arrive message numbered `seq` was handled."""

    seq: int


class Refused(Message, frozen=True, kw_only=True):
    """Answer to a request that could not be served. `error` is the exception's class name."""

    error: str
    detail: str


class Apply(Message, frozen=True, kw_only=True):
    """Root -> actor: run this cloudpickled function on the actor and answer with repr() of its result.

    Unpickled only when the envelope's sender is the root: it is code, and no other process may send code.
    """

    only_looks = True

    function: bytes


class Applied(Message, frozen=True, kw_only=True):
    """Answer to `Apply`: repr of the result."""

    text: str


class Peek(Message, frozen=True, kw_only=True):
    """Console -> actor process: answered by its I/O thread even while a handler is stuck."""

    only_looks = True

    limit: Count = 20


class MailboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """One message in a mailbox, without its body."""

    id: str
    kind: str
    sender: str
    age_ms: int


class Peeked(Message, frozen=True, kw_only=True):
    """Answer to `Peek`."""

    waiting: list[MailboxItem]
    handling: MailboxItem | None
    handled: list[MailboxItem]  # newest first
    stacks: str  # one text with all threads' stacks
