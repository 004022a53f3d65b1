"""What `inspect` runs: functions that cloudpickle carries to a live actor, and that return text there.

They are nested functions: cloudpickle sends those by value, so the actor need not import this module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from actors.errors import UserError, described

LONGEST_RESULT = 100_000  # characters of what `inspect` shows


def other_python(there: str) -> str:
    """Why no function can go to a process of this Python; "" = it can, as far as is known. A function travels as the
    code of one Python, which another one would misread.
    """
    here = "{}.{}".format(*sys.version_info[:2])
    if not there or ".".join(there.split(".")[:2]) == here:
        return ""
    return f"Python {there}, and home has {here}: inspect needs the same one there"


def evaluation(expression: str) -> Callable[[Any], object]:
    """A function that evaluates a Python expression with `actor`. Raises `UserError` for a syntax error."""
    try:
        compile(expression, "<inspect>", "eval")
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise UserError(f"not a Python expression: {expression[:200]!r} ({described(error)})") from error

    def evaluate(actor: Any) -> str:
        return repr(eval(expression, {"actor": actor}))  # noqa: S307 - what `inspect` is for; the run's owner wrote it

    return _as_text(evaluate)


def _as_text(look: Callable[[Any], str]) -> Callable[[Any], object]:
    """A function whose result's repr is the text of `look`, unquoted and cut to a bounded length."""

    class Text(str):
        __slots__ = ()
        __repr__ = str.__str__

    longest = LONGEST_RESULT

    def applied(actor: Any) -> object:
        text = look(actor)
        return Text(text if len(text) <= longest else f"{text[:longest]}… (of {len(text):,} characters)")

    return applied


def overview() -> Callable[[Any], object]:
    """A function that lists the actor's attributes, one per line."""

    def look(actor: Any) -> str:
        lines = [f"{type(actor).__name__} {actor.context.name}#{actor.context.incarnation}"]
        for name, value in sorted(vars(actor).items()):
            text = repr(value)
            lines.append(f"  {name} = {text if len(text) <= 300 else text[:300] + '…'}")
        return "\n".join(lines)

    return _as_text(look)
