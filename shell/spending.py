"""The tokens and money that agents have used, in words. Pure.

An agent that reports nothing has unknown usage: "?", not 0 and not $0.00. If only some turns are known, their sum is a
lower bound: "1,200+".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.machines.usage import together
from actors.messages import Usage

__all__ = ["money", "together", "tokens", "unknown_as_null"]


def tokens(amount: int, usage: Usage, shown: Callable[[int], str] = "{:,}".format) -> str:
    """An amount of tokens of this usage."""
    return _least(shown(amount), amount, known=usage.tokens_known)


def money(usage: Usage) -> str:
    """The cost of this usage in dollars."""
    return _least(f"${usage.cost_usd:.2f}", usage.cost_usd, known=usage.cost_known)


def unknown_as_null(value: Any) -> Any:
    """The same JSON-like value, with None for each unknown usage."""
    if isinstance(value, list | tuple):
        return [unknown_as_null(each) for each in value]
    if not isinstance(value, dict):
        return value
    read = {key: unknown_as_null(each) for key, each in value.items()}
    for known, names in (("tokens_known", ("input_tokens", "output_tokens")), ("cost_known", ("cost_usd",))):
        if read.get(known) is False and not any(read.get(name) for name in names):
            read |= dict.fromkeys(names)
    return read


def _least(shown: str, amount: float, *, known: bool) -> str:
    if known:
        return shown
    return f"{shown}+" if amount else "?"
