"""What an agent's message of unknown shape comes to. Pure.

The user's own agent may be older or newer than what we were written against, so any field may be missing or be
something else. The rule: what is only for people is left out, and its raw event is passed on. What decides about a
turn ends it as a breach, since a turn whose end was not understood would wait for ever. What is counted counts as
nothing.
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
    """Raises AgentBreachError, which names the message, when what is read within is of another shape."""
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
    """A number that is counted; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else 0


def money(value: object) -> float:
    """An amount; 0.0 for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value < _MOST and math.isfinite(value) else 0.0


def moment_s(value: object) -> int | None:
    """A Unix time in seconds, as far as there is a calendar for it; None for anything else."""
    return whole(value) if 0 < whole(value) < _YEAR_9999_S else None
