"""`RemoteRef`: a reference to an actor in any process, with Pykka's `tell` and `ask`. Holds no socket; usable from any
thread.
"""

from __future__ import annotations

from actors.edges.reliable_channel import ReliableChannel
from actors.messages import Message


class RemoteRef:
    """The actor called `name` in the same run, in its current incarnation.

    Unlike a Pykka ActorRef it may name an actor that is down, or that does not exist yet.
    """

    def __init__(self, channel: ReliableChannel, name: str) -> None:
        self._channel = channel
        self.name = name

    def __repr__(self) -> str:
        return f"RemoteRef({self._channel.address.run}/{self.name})"

    def tell(self, message: Message) -> None:
        """Sends a message and returns immediately. Any thread.

        A `must_arrive` message is kept and resent until the recipient has handled it, as long as this process lives.
        Any other may be lost with a process; one that the router cannot deliver returns as `Undeliverable`.
        Raises ProtocolError when the message cannot be encoded.
        """
        self._channel.tell(self.name, message)

    def ask(self, message: Message, *, timeout_s: float, once: bool = False) -> Message:
        """Sends a request and blocks until it is answered. Any thread except the process's I/O thread.

        The request is resent when the recipient restarts meanwhile, so it must be idempotent. With `once` it is not
        resent, since a foreign request may have ended the recipient; RecipientEndedError is raised instead. A recipient
        without a result answers `Ack`. Raises UndeliverableError when no answer came within `timeout_s`, and the class
        of actors.errors that a `Refused` answer names.
        """
        return self._channel.ask(self.name, message, timeout_s, once=once)
