"""`diff`: what a run has changed."""

from __future__ import annotations

from actors.errors import OperationalError
from shell.commands.base import Command, Prompt, words_of
from shell.commands.grammar import Invocation, Subcommand, checkpoint_number

MOST_FILES = 40  # at the prompt
PATIENCE_S = 20.0


def _diff(invocation: Invocation) -> int:
    import sys

    from actors.edges import git
    from shell import checkpoints, run_files

    found = run_files.choose(invocation.run, running=False)
    place, before, after = checkpoints.pair(found, invocation.since, invocation.until)
    options = ["--stat"] if invocation.stat else []
    return git.show(place, "diff", *options, before.commit, after.commit, "--", paged=sys.stdout.isatty())


def _type_diff(prompt: Prompt, rest: str) -> str:
    """The files that the run has changed, from one checkpoint to another; without numbers from 0 to the last one."""
    from actors.edges import git
    from actors.text import printable
    from shell import checkpoints, run_files

    since, until = words_of(rest, DIFF.usage, 0, 2)
    for name, word in (("since", since), ("until", until)):
        if word:
            checkpoint_number(name, word, DIFF.usage)
    found = run_files.look_at(prompt.directory)
    if found is None:
        raise OperationalError(f"{prompt.directory} is gone")
    place, before, after = checkpoints.pair(found, since, until)
    options = ("--no-color", "--no-ext-diff", f"--stat=100,80,{MOST_FILES}")
    answer = git.ask(place, "diff", *options, before.commit, after.commit, "--", timeout_s=PATIENCE_S)
    if answer.output is None:
        raise OperationalError(answer.reason)
    whole = f"all of it: loop diff {found.run_id} {before.number} {after.number}"
    same = (
        f"checkpoint {after.number} is the only one so far: nothing to compare it with"
        if before == after
        else f"the files of checkpoint {after.number} are those of checkpoint {before.number}"
    )
    what = printable(answer.output) or same
    return f"{what}\n{whole}" if answer.output else what


DIFF = Command(
    name="diff",
    arguments="[SINCE] [UNTIL]",
    typed=_type_diff,
    row=Subcommand(
        "diff",
        "show what a run has changed",
        ("run", "since", "until"),
        ("--stat",),
        "Checkpoint 0 is the tree before the first iteration, 1 the tree of the first iteration, and so on. "
        "Without numbers: from 0 to the last one. With SINCE alone: from there to the last one. "
        "It prints what git diff prints.",
    ),
    once=_diff,
)
