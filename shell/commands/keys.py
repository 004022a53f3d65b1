"""`keys`: the keys of hosts that dial in."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import MORE, Invocation, Subcommand


def _keys(invocation: Invocation) -> int:
    from shell.keys import run_keys

    return run_keys(invocation)


KEYS = Command(
    name="keys",
    row=Subcommand(
        "keys",
        "make, list or revoke the keys of hosts that dial in",
        ("action", MORE),
        ("--json",),
        "Actions: new NAME; list; revoke NAME. new makes the key of a host and prints its file. Take that to the "
        "host, for loop join. A revoked key opens nothing any more. A run that uses it loses the link.",
        ("new", "list", "revoke"),
        shown="new NAME | list | revoke NAME",
    ),
    once=_keys,
)
