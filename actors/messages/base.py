"""What all messages have in common. Pure."""

from __future__ import annotations

from typing import ClassVar

import msgspec

WIRE_VERSION = 1


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all messages: a frozen struct, encoded as a msgpack map."""

    must_arrive: ClassVar[bool] = False
    # A console's read-only request: an exception in its handler is its answer, and the actor continues.
    only_looks: ClassVar[bool] = False
