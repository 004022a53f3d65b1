"""`actors`: what each actor does."""

from __future__ import annotations

from shell.commands.asking import report_of
from shell.commands.base import Command, Prompt


def _type_actors(prompt: Prompt, _rest: str) -> str:
    """The actors: what each is doing and for how long, its mailbox, its restarts, why it is down."""
    from actors.clock import wall_ms
    from shell import tables

    return "\n".join(tables.actor_lines(report_of(prompt).actors, now_ms=wall_ms()))


ACTORS = Command(name="actors", typed=_type_actors)
