"""Decides which copy of a session counts, and what of it has to travel. Pure.

A session's file grows only. So a copy that begins with the other one is the newer of the two. Where neither begins
with the other, home's counts: there the run has continued.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec


class Extent(msgspec.Struct, frozen=True):
    """What one side has: the number of bytes, and their hash."""

    size: int = 0
    sha256: str = ""


def extent(content: bytes) -> Extent:
    """Of this content."""
    return Extent(len(content), hashlib.sha256(content).hexdigest() if content else "")


def begins_with(content: bytes, other: Extent) -> bool:
    """Whether the content begins with the other side's."""
    return len(content) >= other.size and extent(content[: other.size]) == other


def rest(content: bytes, other: Extent) -> int:
    """From which byte on the content has to travel to the side that has `other`."""
    return other.size if begins_with(content, other) else 0


def joined(mine: bytes, offset: int, data: bytes, wanted: Extent) -> bytes | None:
    """The content that has come; None: it does not fit what is here, and has to come as a whole."""
    content = mine[:offset] + data
    return content if len(mine) >= offset and extent(content) == wanted else None


def newest(home: bytes | None, there: bytes | None) -> Literal["home", "there", ""]:
    """Whose copy counts; "" = there is none, or they are the same. None: that side has none."""
    if home == there:
        return ""
    if home is None:
        return "there"
    if there is not None and begins_with(there, extent(home)):
        return "there"
    return "home"
