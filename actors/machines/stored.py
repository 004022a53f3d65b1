"""The names of events in journals. Pure.

An event is journalled under its class name. A renamed class keeps the name on disk in its class variable `stored_as`:
every later version must read a journal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def stored_name(cls: type) -> str:
    """The name of this event in a journal."""
    return str(vars(cls).get("stored_as", cls.__name__))


def by_stored_name(classes: Iterable[type[T]]) -> dict[str, type[T]]:
    """The events of a stream, as a journal names them."""
    return {stored_name(cls): cls for cls in classes}
