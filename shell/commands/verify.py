"""`verify`: repeats the checks of a run on the tree that it ended with."""

from __future__ import annotations

import sys

from actors.errors import UserError
from shell.commands.base import Command, Prompt
from shell.commands.grammar import Invocation, Subcommand


def _verify(invocation: Invocation) -> int:
    from shell import verify

    return verify.show(invocation.run, here=invocation.here, is_json=invocation.json)


def _type_verify(prompt: Prompt, rest: str) -> str:
    """Repeats the checks of the run on its last tree, beside the prompt, and shows how they end.

    review has this run itself repeat them, and then the reviewers.
    """
    run_id = prompt.directory.name
    if rest:
        raise UserError(
            f"verify takes no words at the prompt, but got {rest!r}; in a shell, loop verify {run_id} --here takes one"
        )
    command = (sys.executable, "-P", "-m", "shell.verify", f"{prompt.directory.parent.name}/{run_id}")
    return prompt.start("verify", command)


VERIFY = Command(
    name="verify",
    typed=_type_verify,
    row=Subcommand(
        "verify",
        "repeat the checks of a run on its tree",
        ("run",),
        ("--here", "--json"),
        "The checks run in a temporary worktree of that tree, which has no ignored files. --here: in the run's "
        "directory, if that still has the tree. The exit status is 0 if all checks pass.",
    ),
    once=_verify,
)
