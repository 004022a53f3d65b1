"""How an agent's message of unknown shape is handled. Pure.

The user's own agent may be older or newer than the known versions. So any field may be missing or have another shape.
The rule: content for the user only is omitted, and its raw event is passed on. Content that decides a turn ends it as a
breach: a turn with an unknown end would wait for ever. Counted values count as zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from actors.errors import AgentBreachError, described
from actors.text import excerpt

# What reading a message of another version may raise.
UNKNOWN_SHAPE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, OSError)
_MOST = 1 << 53  # of anything counted: what JSON's numbers hold exactly
_YEAR_9999_S = 253_370_764_800


@contextmanager
def decides(what: object, agent: str = "") -> Iterator[None]:
    """Raises AgentBreachError, which names the message, when the code within meets another shape."""
    try:
        yield
    except UNKNOWN_SHAPE as error:
        said = f"{agent} sent {excerpt(str(what))} in an unknown shape ({described(error)[:200]})"
        raise AgentBreachError(said.lstrip()) from error


def as_text(value: object) -> str:
    """The value, which is a text. Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in the place of a text")
    return value


def whole(value: object) -> int:
    """A counted number; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else 0


def money(value: object) -> float:
    """An amount; 0.0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value < _MOST and math.isfinite(value) else 0.0


def moment_s(value: object) -> int | None:
    """A Unix time in seconds within the calendar's range; None for anything else."""
    return whole(value) if 0 < whole(value) < _YEAR_9999_S else None
