"""`resume`: continues a paused run."""

from __future__ import annotations

from shell.commands.asking import done, order
from shell.commands.base import Command, Prompt
from shell.commands.grammar import Errand, Subcommand


def _resume(errand: Errand) -> int:
    from supervisor.control.protocol import Control

    return order(errand, Control(action="resume"))


def _type_resume(prompt: Prompt, _rest: str) -> str:
    """Resumes a paused run."""
    from supervisor.control.protocol import Control

    return done(prompt, Control(action="resume"))


RESUME = Command(name="resume", typed=_type_resume, row=Subcommand("resume", "resume a paused run"), once=_resume)
