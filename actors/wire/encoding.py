"""Structs -> bytes, with any str in them. Pure. The last line of defence behind `actors.text`.

No message or event is lost because of one character: a character that cannot be encoded is replaced. Decoders refuse
invalid bytes as usual.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from actors.text import valid_within

_msgpack = msgspec.msgpack.Encoder()
_json = msgspec.json.Encoder()


def to_msgpack(value: Any) -> bytes:
    """Raises what msgspec raises, except for an invalid str."""
    return _encoded(value, _msgpack.encode)


def to_json(value: Any) -> str:
    """Raises what msgspec raises, except for an invalid str."""
    return _encoded(value, _json.encode).decode()


def _encoded(value: Any, encode: Callable[[Any], bytes]) -> bytes:
    try:
        return encode(value)
    except UnicodeEncodeError:
        return encode(valid_within(msgspec.to_builtins(value, builtin_types=(bytes,))))
