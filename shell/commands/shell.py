"""`shell`: attaches a prompt to a run."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Errand, Subcommand


def _shell(errand: Errand) -> int:
    from shell import run_files
    from shell.attached import attach

    return attach(run_files.choose(errand.run, running=True))


SHELL = Command(name="shell", row=Subcommand("shell", "attach a loop> prompt to a run", flags=()), once=_shell)
