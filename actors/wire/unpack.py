"""The one place where msgpack that came through a socket or a pipe becomes a struct. Pure.

The sender may be hostile, or of another version: bytes may be truncated, nested a million deep, or not text where text
belongs. Any fault is one `ProtocolError`, so the reader refuses the frame and continues. Its socket bounds the length
of a frame (MAXMSGSIZE). tests/test_layout.py checks that no other module decodes msgpack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from actors.errors import ProtocolError

T = TypeVar("T")

# msgspec raises RecursionError for too deep nesting, and MemoryError for an impossible length.
_UNREADABLE = (msgspec.DecodeError, ValueError, OverflowError, RecursionError, MemoryError)
LONGEST_QUOTE = 40  # bytes of a frame that its refusal shows


class Unpacker(Generic[T]):
    """Decodes frames of one type. `kind` is a type that msgspec knows; `dec_hook` as there."""

    def __init__(self, kind: Any, dec_hook: Callable[[type, Any], Any] | None = None) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind, dec_hook=dec_hook)

    def unpack(self, frame: bytes | msgspec.Raw, what: str) -> T:
        """The struct in the frame. Raises a ProtocolError with the expected kind, the fault, and the first bytes."""
        try:
            decoded: T = self._decoder.decode(frame)
        except _UNREADABLE as error:
            reason = str(error) or type(error).__name__
            raise ProtocolError(f"bad {what} ({reason}): {bytes(memoryview(frame)[:LONGEST_QUOTE])!r}") from error
        return decoded


anything: Unpacker[Any] = Unpacker(Any)  # for inspection by the user: builtins, whatever the frame holds
