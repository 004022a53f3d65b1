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
        "Actions: new NAME, which makes the key of a host and prints its file: take that to the host, where loop "
        "join needs it; list; revoke NAME. A key that is revoked does not open anything any more, and ends the "
        "link of a run that uses it.",
        ("new", "list", "revoke"),
    ),
    once=_keys,
)
