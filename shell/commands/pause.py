"""`pause`: pauses a run."""

from __future__ import annotations

from shell.commands.asking import done, send
from shell.commands.base import Command, Prompt, now_or_later
from shell.commands.grammar import Invocation, Subcommand


def _pause(invocation: Invocation) -> int:
    from supervisor.control.protocol import Control

    return send(invocation, Control(action="pause-now" if invocation.now else "pause"))


def _type_pause(prompt: Prompt, rest: str) -> str:
    """Pauses the run when what runs now has ended; `pause now` interrupts it. Nothing is lost."""
    from supervisor.control.protocol import Control

    return done(prompt, Control(action=now_or_later(rest, "pause", "pause-now")))


PAUSE = Command(
    name="pause",
    arguments="[now]",
    typed=_type_pause,
    completes=("now",),
    row=Subcommand("pause", "pause a run at the end of its turn, or --now", flags=("--now", "--json")),
    once=_pause,
)
