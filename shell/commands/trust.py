"""`trust`: allows what this repository's configuration says."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Invocation, Subcommand


def _trust(invocation: Invocation) -> int:
    from shell.trust import trust_here

    return trust_here(invocation)


TRUST = Command(
    name="trust",
    row=Subcommand(
        "trust",
        "allow what this repository's .loop.toml says",
        (),
        ("--show", "--revoke", "--json"),
        "A repository's .loop.toml can have checks and agents, which are commands, and settings. They count "
        "once you have allowed that content. loop trust shows each of them and asks; a run in a terminal asks "
        "as well. Without a terminal such a run is refused, unless --trust allows it for that run. A changed "
        "file is asked about again. --show says whether it is trusted (exit status 0: a run may use it). "
        "--revoke forgets all that was allowed in this repository. Your own checks always run.",
    ),
    once=_trust,
)
