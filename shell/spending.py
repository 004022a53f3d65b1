"""The tokens and money that agents have used, in words. Pure.

An agent that reports nothing has unknown usage: "?", not 0 and not $0.00. If only some turns are known, their sum is a
lower bound: "1,200+".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.machines.usage import amount, together
from actors.messages import AgentStatus, BudgetUse, Usage

if TYPE_CHECKING:
    from supervisor.control.protocol import Report

__all__ = ["amount", "budget", "money", "of_agent", "of_run", "together", "tokens", "unknown_as_null"]


def tokens(amount: int, usage: Usage, shown: Callable[[int], str] = "{:,}".format) -> str:
    """An amount of tokens of this usage."""
    return _least(shown(amount), amount, known=usage.tokens_known)


def money(usage: Usage) -> str:
    """The cost of this usage in dollars; four digits of less than a cent."""
    return _least(amount("cost", usage.cost_usd), usage.cost_usd, known=usage.cost_known)


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


def budget(use: BudgetUse) -> str:
    """What is left of a budget: `$3.75 of $5.00 left`, `400 of 5,000 tokens left`."""
    left, limit = (amount(use.kind, each) for each in (max(0.0, use.limit - use.used), use.limit))
    unit = " tokens" if use.kind == "tokens" else ""
    return f"{'' if use.known else 'at most '}{left} of {limit}{unit} left"


def of_run(report: Report) -> Usage:
    """The usage of all sessions of the run: see `of_agent`."""
    return together(of_agent(agent, report) for agent in report.agents)


def of_agent(agent: AgentStatus, report: Report | None) -> Usage:
    """The usage of one session: as its run counts it, with prices and with what its running turn has used so far; else
    as the session reports it.
    """
    status = report.status if report is not None else None
    counted = (*status.spent, *status.running) if status is not None else ()
    own = [each.usage for each in counted if each.role == agent.role]
    return together(own) if own else agent.usage


def _least(shown: str, amount: float, *, known: bool) -> str:
    if known:
        return shown
    return f"{shown}+" if amount else "?"
