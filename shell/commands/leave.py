"""`detach` and `quit`: leave the prompt."""

from __future__ import annotations

from actors.errors import UserError
from shell.commands.asking import done
from shell.commands.base import Command, Prompt


def _type_detach(prompt: Prompt, _rest: str) -> str:
    """Leaves the prompt; the run continues. Not in the run's own terminal, which ends with it."""
    if prompt.own:
        run_id = prompt.directory.name
        raise UserError(f"this is the run's own terminal: stop ends the run; others attach with loop shell {run_id}")
    prompt.leave()
    return ""


def _type_quit(prompt: Prompt, _rest: str) -> str:
    """Leaves an attached prompt; ends the run in order in its own terminal."""
    from supervisor.control.protocol import Control

    if prompt.own:
        return done(prompt, Control(action="stop"))
    prompt.leave()
    return ""


DETACH = Command(name="detach", typed=_type_detach)
QUIT = Command(name="quit", typed=_type_quit)
