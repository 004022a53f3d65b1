"""`restart`, `kill` and `start`: one actor's process."""

from __future__ import annotations

from shell.commands.asking import done
from shell.commands.base import Command, Prompt, needed


def _type_restart(prompt: Prompt, rest: str) -> str:
    """Ends the actor's process and starts a new one, which resumes from the journal."""
    from supervisor.control.protocol import ChangeActor

    return done(prompt, ChangeActor(action="restart", actor=needed(rest, RESTART.usage)))


def _type_kill(prompt: Prompt, rest: str) -> str:
    """Ends the actor's process and leaves it down until `start`."""
    from supervisor.control.protocol import ChangeActor

    return done(prompt, ChangeActor(action="kill", actor=needed(rest, KILL.usage)))


def _type_start(prompt: Prompt, rest: str) -> str:
    """Starts an actor that is down."""
    from supervisor.control.protocol import ChangeActor

    return done(prompt, ChangeActor(action="start", actor=needed(rest, START.usage)))


RESTART = Command(name="restart", arguments="ACTOR", typed=_type_restart, completes=("actor",))
KILL = Command(name="kill", arguments="ACTOR", typed=_type_kill, completes=("actor",))
START = Command(name="start", arguments="ACTOR", typed=_type_start, completes=("actor",))
