"""What all messages have in common. Pure."""

from __future__ import annotations

from typing import ClassVar

import msgspec

WIRE_VERSION = 1


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all messages: a frozen struct, encoded as a msgpack map."""

    must_arrive: ClassVar[bool] = False
    # A question of a console that changes nothing: whatever its handler raises is its answer, and the actor lives on.
    only_looks: ClassVar[bool] = False
