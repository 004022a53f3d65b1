"""`trace`: the messages between actors, as they pass."""

from __future__ import annotations

from actors.errors import UserError
from shell.commands.asking import done
from shell.commands.base import Command, Prompt


def _type_trace(prompt: Prompt, rest: str) -> str:
    """Shows the messages between actors as they pass: sender, recipient, kind, size, latency.

    FILTER is a text that the line must contain, such as an actor or a kind of message. With `bodies` also what they
    say. Heartbeats and acknowledgements are left out unless FILTER names them.
    """
    from supervisor.control.protocol import Trace

    words = rest.split()
    if not words or words[0] not in ("on", "off"):
        raise UserError(f"trace takes on or off, not {rest!r}: {TRACE.usage}")
    bodies = words[-1] == "bodies"
    only = " ".join(words[1:-1] if bodies else words[1:])
    return done(prompt, Trace(on=words[0] == "on", only=only, bodies=bodies))


TRACE = Command(name="trace", arguments="on|off [FILTER] [bodies]", typed=_type_trace, completes=("on|off",))
