"""`verify`: repeats the checks of a run on the tree that it ended with."""

from __future__ import annotations

from actors.errors import UserError
from shell import output
from shell.commands.base import Command, Prompt
from shell.commands.grammar import Invocation, Subcommand


def _verify(invocation: Invocation) -> int:
    import signal

    from shell import run_files, verify

    # As Ctrl-C: the check's processes and the temporary worktree go first.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    found = run_files.choose(invocation.run, running=False)
    tell = output.note if invocation.json else output.say
    done = verify.verify(found, here=invocation.here, tell=tell)
    if invocation.json:
        output.say_json(done.as_json())
    else:
        for each in done.results:
            if each.exit_code != 0:
                output.say(each.output_tail.rstrip())
        output.say_lines(done.lines())
    return 0 if done.passed else 1


def _type_verify(prompt: Prompt, rest: str) -> str:
    """Repeats the checks of the run on its last tree, beside the prompt, and shows how they end.

    review has this run itself repeat them, and then the reviewers.
    """
    run_id = prompt.directory.name
    if rest:
        raise UserError(f"verify takes nothing at the prompt, not {rest!r}; loop verify {run_id} --here is a command")
    return prompt.start("verify", f"{prompt.directory.parent.name}/{run_id}")


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
