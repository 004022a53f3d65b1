"""`join`: makes this machine a host of a home that it dials."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Invocation, Subcommand


def _join(invocation: Invocation) -> int:
    from shell.join import run_join

    return run_join(invocation)


JOIN = Command(
    name="join",
    row=Subcommand(
        "join",
        "work for a loop on another machine: dial its ENDPOINT, HOST:PORT",
        ("endpoint",),
        ("--key",),
        "For a machine that the other one cannot reach. --key is the file that loop keys new made there. Agents of "
        "its runs then work here, with the agents and logins of this machine. It dials until it is interrupted, and "
        "again after each lost connection. Everything between the two machines is encrypted.",
    ),
    once=_join,
)
