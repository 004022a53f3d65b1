"""The one place where msgpack that came through a socket or a pipe becomes a struct. Pure.

Whoever sends the bytes may be hostile, or of another version: they may be cut off, nested a million deep, or no text
where text belongs. Whatever is wrong with them is one `ProtocolError`, so the reader refuses them and lives on. The
length of a frame is bounded by its socket (MAXMSGSIZE), before it comes here. tests/test_layout.py holds that nothing
else decodes msgpack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from actors.errors import ProtocolError

T = TypeVar("T")

# msgspec raises RecursionError for what is nested too deep, and MemoryError for a length that nobody can hold.
_UNREADABLE = (msgspec.DecodeError, ValueError, OverflowError, RecursionError, MemoryError)
LONGEST_QUOTE = 40  # bytes of a frame that its refusal shows


class Unpacker(Generic[T]):
    """Decodes frames of one type. `kind` is a type that msgspec knows; `dec_hook` as there."""

    def __init__(self, kind: Any, dec_hook: Callable[[type, Any], Any] | None = None) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind, dec_hook=dec_hook)

    def unpack(self, frame: bytes | msgspec.Raw, what: str) -> T:
        """The struct in the frame. Raises ProtocolError: what it should have been, what is wrong, how it begins."""
        try:
            decoded: T = self._decoder.decode(frame)
        except _UNREADABLE as error:
            reason = str(error) or type(error).__name__
            raise ProtocolError(f"bad {what} ({reason}): {bytes(memoryview(frame)[:LONGEST_QUOTE])!r}") from error
        return decoded


anything: Unpacker[Any] = Unpacker(Any)  # for people who look at a message: builtins, whatever is in it
