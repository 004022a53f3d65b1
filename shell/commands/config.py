"""`config`: each setting and its origin. `shell.config` does it, with the options of a run."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Subcommand

CONFIG = Command(
    name="config",
    row=Subcommand(
        "config",
        "show each setting, its value and its origin",
        ("[options]",),
        ("--json",),
        "What loop would use here, with the options that follow. The origin is one of: a default; a line of "
        "~/.loop/config.toml; a line of the repository's .loop.toml, if you trust it; the environment; the command "
        "line. With --run-id: what a resume of that run would use. Starts nothing. Exit status 2: a "
        "mistake in a file, with file, line and key.",
    ),
)
