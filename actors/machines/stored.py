"""The names of events in journals. Pure.

An event is journalled under the name of its class. A class that was renamed since keeps the name that is on disk, in
its class variable `stored_as`: a journal is read by every later version.
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
