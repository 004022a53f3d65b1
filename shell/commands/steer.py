"""`steer`: a message to the agent whose turn runs."""

from __future__ import annotations

from shell.commands.asking import done
from shell.commands.base import Command, Prompt, needed


def _type_steer(prompt: Prompt, rest: str) -> str:
    """Says something to the agent whose turn runs; to the worker's, when both work."""
    import uuid

    from supervisor.control.protocol import Say

    return done(prompt, Say(message_id=str(uuid.uuid4()), agent="", text=needed(rest, STEER.usage)))


STEER = Command(name="steer", arguments="TEXT", typed=_type_steer)
