"""`diff`: what a run has changed."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Invocation, Subcommand


def _diff(invocation: Invocation) -> int:
    import sys

    from actors.edges import git
    from shell import checkpoints, run_files

    found = run_files.choose(invocation.run, running=False)
    place, before, after = checkpoints.pair(found, invocation.since, invocation.until)
    options = ["--stat"] if invocation.stat else []
    return git.show(place, "diff", *options, before.commit, after.commit, "--", paged=sys.stdout.isatty())


DIFF = Command(
    name="diff",
    row=Subcommand(
        "diff",
        "show what a run has changed",
        ("run", "since", "until"),
        ("--stat",),
        "Checkpoint 0 is the tree before the first iteration, 1 the tree of the first iteration, and so on. "
        "Without numbers: from 0 to the last one. With SINCE alone: from there to the last one. "
        "The output is that of git diff.",
    ),
    once=_diff,
)
