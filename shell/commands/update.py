"""`update`: brings this installation up to date. `shell.update` does it, also where a package is broken."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Subcommand

UPDATE = Command(
    name="update",
    row=Subcommand(
        "update",
        "update loop (also: upgrade)",
        (),
        (),
        "Updates with the tool that installed loop: pip, pipx or uv. Where loop cannot update itself, it prints what "
        "to do. A run that is running keeps its version until it is resumed.",
    ),
)
