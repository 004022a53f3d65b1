"""`cost`: what the agents have used."""

from __future__ import annotations

from shell.commands.asking import report_of
from shell.commands.base import Command, Prompt


def _type_cost(prompt: Prompt, _rest: str) -> str:
    """Tokens and money so far, by agent."""
    from shell import tables

    return "\n".join(tables.cost_lines(report_of(prompt).agents)) or "no agent has reported its usage"


COST = Command(name="cost", typed=_type_cost)
