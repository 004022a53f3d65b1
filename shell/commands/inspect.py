"""`inspect`: an expression in a live actor."""

from __future__ import annotations

from shell.commands.asking import done
from shell.commands.base import Command, Prompt, needed


def _type_inspect(prompt: Prompt, rest: str) -> str:
    """Evaluates a Python expression in the live actor, which it calls `actor`; an overview without one.

    For example: inspect worker actor.session.
    """
    from supervisor.control.protocol import Inspect

    actor, _, expression = rest.partition(" ")
    return done(prompt, Inspect(actor=needed(actor, INSPECT.usage), expression=expression))


INSPECT = Command(name="inspect", arguments="ACTOR [EXPRESSION]", typed=_type_inspect, completes=("actor",))
