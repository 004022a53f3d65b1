"""`RemoteRef`: an actor, wherever it runs, spoken to in Pykka's words. Holds no socket; usable from any thread."""

from __future__ import annotations

from actors.edges.reliable_channel import ReliableChannel
from actors.messages import Message


class RemoteRef:
    """The actor called `name` in the same run, whichever incarnation of it lives.

    Unlike a Pykka ActorRef it may name an actor that is down, or that does not exist yet.
    """

    def __init__(self, channel: ReliableChannel, name: str) -> None:
        self._channel = channel
        self.name = name

    def __repr__(self) -> str:
        return f"RemoteRef({self._channel.address.run}/{self.name})"

    def tell(self, message: Message) -> None:
        """Sends a message and returns at once. Any thread.

        A `must_arrive` message is kept and resent until the recipient has handled it, as long as this process lives.
        Any other may be lost with a process; one that the router cannot hand over comes back as `Undeliverable`.
        Raises ProtocolError when the message cannot be encoded.
        """
        self._channel.tell(self.name, message)

    def ask(self, message: Message, *, timeout_s: float, once: bool = False) -> Message:
        """Sends a request and blocks until it is answered. Any thread except the process's I/O thread.

        The request is sent again when the recipient restarts meanwhile, so it must be idempotent. With `once` it is
        not: a request that comes from outside may be what ended the recipient. Then RecipientEndedError is raised.
        A recipient that has nothing to say answers `Ack`. Raises UndeliverableError when no answer came within
        `timeout_s`, and the class of actors.errors that a `Refused` answer names.
        """
        return self._channel.ask(self.name, message, timeout_s, once=once)
