"""Sums of agents' usage, and amounts in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from actors import setting_values
from actors.messages import Usage


def together(usages: Iterable[Usage]) -> Usage:
    """The sum. An unknown part makes it a lower bound."""
    found = list(usages)
    return Usage(
        input_tokens=sum(each.input_tokens for each in found),
        cached_input_tokens=sum(each.cached_input_tokens for each in found),
        output_tokens=sum(each.output_tokens for each in found),
        cost_usd=sum(each.cost_usd for each in found),
        tokens_known=all(each.tokens_known for each in found),
        cost_known=all(each.cost_known for each in found),
    )


def amount(kind: str, value: float) -> str:
    """An amount of money, tokens or time, for the user."""
    if kind == "cost":
        return f"${value:.2f}" if value >= 0.01 or value == 0 else f"${value:.4f}"
    return f"{value:,.0f}" if kind == "tokens" else setting_values.span(int(value) // 1_000 * 1_000)
