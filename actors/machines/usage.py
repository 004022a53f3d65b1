"""Sums of agents' usage. Pure."""

from __future__ import annotations

from collections.abc import Iterable

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
