"""`shell`: attaches a prompt to a run."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Invocation, Subcommand


def _shell(invocation: Invocation) -> int:
    from shell import run_files
    from shell.attached import attach

    return attach(run_files.choose(invocation.run, running=True))


SHELL = Command(name="shell", row=Subcommand("shell", "attach a loop> prompt to a run", flags=()), once=_shell)
