"""`config`: each setting and its origin. `shell.config` does it, with the options of a run."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Subcommand

CONFIG = Command(
    name="config",
    row=Subcommand(
        "config",
        "each setting, its value and where it comes from",
        ("[options]",),
        ("--json",),
        "What loop would use here, with the options that follow: a default, your configuration (a line of "
        "~/.loop/config.toml), the repository's (a line of .loop.toml, if you trust it), the environment or the "
        "command line. With --run-id, what a resume of that run would use: its own settings, unless they are typed "
        "again. Starts nothing. Exit status 2 for a mistake in a file, which names file, line and key.",
    ),
)
