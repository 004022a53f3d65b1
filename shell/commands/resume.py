"""`resume`: continues a paused run."""

from __future__ import annotations

from shell.commands.asking import done, send
from shell.commands.base import Command, Prompt
from shell.commands.grammar import Invocation, Subcommand


def _resume(invocation: Invocation) -> int:
    from supervisor.control.protocol import Control

    return send(invocation, Control(action="resume"))


def _type_resume(prompt: Prompt, _rest: str) -> str:
    """Resumes a paused run."""
    from supervisor.control.protocol import Control

    return done(prompt, Control(action="resume"))


RESUME = Command(name="resume", typed=_type_resume, row=Subcommand("resume", "resume a paused run"), once=_resume)
