"""`place`: moves an agent to another host, or home."""

from __future__ import annotations

from actors.errors import UserError
from shell.commands.asking import done, send
from shell.commands.base import Command, Prompt, words_of
from shell.commands.grammar import Invocation, Subcommand


def _place(invocation: Invocation) -> int:
    from supervisor.control.protocol import PlaceActor

    return send(invocation, PlaceActor(actor=invocation.actor, host=invocation.host, now=invocation.now))


def _type_place(prompt: Prompt, rest: str) -> str:
    """Moves an agent to a host, or home, when its turn has ended; `now` cuts the turn, which is resumed there.

    Its work comes home first. Its unfinished messages, and what the run asks of it next, are done at the new place.
    """
    from supervisor.control.protocol import PlaceActor

    actor, host, now = words_of(rest, PLACE.usage, 2, 3)
    if now not in ("", "now"):
        raise UserError(f"place takes now or nothing after the host, not {now!r}: {PLACE.usage}")
    return done(prompt, PlaceActor(actor=actor, host=host, now=bool(now)))


PLACE = Command(
    name="place",
    arguments="ACTOR HOST [now]",
    typed=_type_place,
    completes=("worker|reviewer", "host|home", "now"),
    row=Subcommand(
        "place",
        "move an agent to a host, or home, at the end of its turn, or --now",
        ("actor", "host"),
        ("--run", "--now", "--json"),
        "ACTOR is worker or reviewer. HOST is a host of [hosts] in the configuration, one that ssh knows, or home. "
        "--now cuts the turn, which is resumed there.",
    ),
    once=_place,
)
