"""`say`: a message to an agent."""

from __future__ import annotations

from actors.errors import UserError
from shell.commands.asking import done, send
from shell.commands.base import Command, Prompt
from shell.commands.grammar import TEXT, Invocation, Subcommand


def _say(invocation: Invocation) -> int:
    import uuid

    from supervisor.control.protocol import Say

    return send(invocation, Say(message_id=str(uuid.uuid4()), agent=invocation.agent, text=invocation.text))


def _type_say(prompt: Prompt, rest: str) -> str:
    """Says something to an agent. It gets that in the middle of its turn where it can, else in a turn of its own."""
    import uuid

    from supervisor.control.protocol import Say

    agent, _, text = rest.partition(" ")
    if not text.strip():
        raise UserError(f"say needs an agent and a text: {SAY.usage}")
    return done(prompt, Say(message_id=str(uuid.uuid4()), agent=agent, text=text.strip()))


SAY = Command(
    name="say",
    arguments="AGENT TEXT",
    typed=_type_say,
    completes=("agent",),
    row=Subcommand(
        "say",
        "say something to an agent",
        ("agent", TEXT),
        ("--run", "--json"),
        "AGENT is worker, reviewer, or the name of an agent of the run, such as codex. It gets the text in the middle "
        "of its turn where it can, else in a turn of its own.",
    ),
    once=_say,
)
