"""`interrupt`: ends the turn that runs."""

from __future__ import annotations

from shell.commands.asking import done
from shell.commands.base import Command, Prompt


def _type_interrupt(prompt: Prompt, rest: str) -> str:
    """Interrupts the turn that runs, or an agent's. The next iteration follows; planning is paused instead."""
    from supervisor.control.protocol import Interrupt

    return done(prompt, Interrupt(agent=rest))


INTERRUPT = Command(name="interrupt", arguments="[AGENT]", typed=_type_interrupt, completes=("agent",))
