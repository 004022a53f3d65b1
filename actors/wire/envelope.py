"""Frames <-> Envelope + message. Pure; used by the I/O threads of the actor processes and by the root's router.

Three frames: the recipient's address as text, the header (msgpack Envelope), the body (msgpack of a message struct).
The header is decoded before the body, so a router forwards mail without opening it. Nothing here ever unpickles. Every
decoding error is a `ProtocolError` that names the fault; the caller logs it and continues.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from actors.errors import ProtocolError
from actors.messages import KINDS, WIRE_VERSION, Message
from actors.wire.encoding import to_msgpack
from actors.wire.unpack import Unpacker, anything

# ZeroMQ cuts the connection of a peer that sends a longer frame, so `encode_body` refuses it first, in the sender.
# 64 MiB: a whole journal stream travels as one `Loaded`.
MAX_FRAME_BYTES = 64 * 1024 * 1024
# More digits than any incarnation has. Python itself refuses to read a number of 5,000.
MOST_DIGITS = 18


class Address(msgspec.Struct, frozen=True, order=True):
    """One incarnation of one actor. `run` may contain slashes; `name` contains neither slash nor '#'."""

    run: str
    name: str
    incarnation: int

    def __str__(self) -> str:
        return f"{self.run}/{self.name}#{self.incarnation}"

    @property
    def local(self) -> str:
        """The address within its run: "worker#3"."""
        return f"{self.name}#{self.incarnation}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """From "<run>/<name>#<n>". Raises ProtocolError."""
        run, slash, local = text.rpartition("/")
        name, incarnation = split_local(local)
        if not slash or incarnation is None:
            raise ProtocolError(f"address {text[:300]!r} is not of the form <run>/<name>#<n>")
        return cls(run, name, incarnation)


Sender = Address  # the origin of a message for an actor's `receive`; verified by the router


def split_local(text: str) -> tuple[str, int | None]:
    """From "worker#3" to ("worker", 3); from "worker" to ("worker", None), which means the live incarnation.

    Raises ProtocolError for an empty name, a slash, or an incarnation that is not a number.
    """
    name, mark, number = text.partition("#")
    if not name or "/" in text or (mark and not (number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS)):
        raise ProtocolError(f"actor name {text[:100]!r} is not of the form <name> or <name>#<n>")
    return name, int(number) if mark else None


class Envelope(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The header of one message. `sender` and `recipient` are names within `run`.

    `recipient` with an incarnation ("worker#3") is for that incarnation alone: acknowledgements and answers.
    `seq` 0: not numbered, may be lost. Otherwise the number within the sender's incarnation, and `after` is the
    number that the recipient must have accepted before this one (0: none); see machines/reliable_delivery.
    """

    version: int = WIRE_VERSION  # first, so that a header of another version can still be recognised
    id: str
    run: str
    sender: str
    recipient: str
    kind: str
    reply_to: str = ""  # id of the request that this message answers
    wants_answer: bool = False  # this message is a request
    sent_at_ms: int = 0  # Unix time
    attempt: int = 1
    seq: int = 0
    after: int = 0


class Frames(NamedTuple):
    """What one message is on the wire."""

    recipient: bytes
    header: bytes
    body: bytes


_header_encoder = msgspec.msgpack.Encoder()
_headers: Unpacker[Envelope] = Unpacker(Envelope)
_bodies: dict[str, Unpacker[Message]] = {kind: Unpacker(cls) for kind, cls in KINDS.items()}


def kind_of(message: Message) -> str:
    """The message's kind on the wire. Raises ProtocolError for a struct that is not in the catalogue."""
    kind = type(message).__name__
    if KINDS.get(kind) is not type(message):
        raise ProtocolError(f"message kind {kind!r} is not in actors.messages.KINDS")
    return kind


def encode_body(message: Message) -> bytes:
    """Raises ProtocolError when the body is longer than any peer accepts, or holds what msgpack cannot.

    An invalid str is made valid: see `actors.wire.encoding`.
    """
    try:
        body = to_msgpack(message)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"{type(message).__name__} cannot be encoded: {error}") from error
    if len(body) > MAX_FRAME_BYTES:
        raise ProtocolError(f"{type(message).__name__} of {len(body)} bytes exceeds {MAX_FRAME_BYTES} bytes")
    return body


def encode(envelope: Envelope, body: bytes) -> Frames:
    """The frames of an envelope and its encoded body."""
    recipient = f"{envelope.run}/{envelope.recipient}".encode()
    return Frames(recipient, _header_encoder.encode(envelope), body)


def decode_header(frame: bytes) -> Envelope:
    """Raises ProtocolError naming a wrong version or the bad bytes."""
    try:
        envelope = _headers.unpack(frame, "header")
    except ProtocolError as error:
        version = _version_of(frame)
        if version is not None and version != WIRE_VERSION:
            raise _wrong_version(version) from error
        raise
    if envelope.version != WIRE_VERSION:
        raise _wrong_version(envelope.version)
    return envelope


def decode_body(kind: str, frame: bytes) -> Message:
    """Raises ProtocolError naming an unknown kind or the bad bytes."""
    body = _bodies.get(kind)
    if body is None:
        raise ProtocolError(f"unknown message kind {kind[:100]!r}")
    return body.unpack(frame, f"body of {kind}")


def _wrong_version(version: object) -> ProtocolError:
    return ProtocolError(
        f"wire version {repr(version)[:100]} is not {WIRE_VERSION}: all processes of a run must be of one version"
    )


def _version_of(frame: bytes) -> object:
    try:
        fields = anything.unpack(frame, "header")
    except ProtocolError:
        return None
    return fields[0] if isinstance(fields, list) and fields else None
