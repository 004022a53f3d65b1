"""`restore`: puts a run's directory back to a checkpoint."""

from __future__ import annotations

from actors.errors import OperationalError
from shell import output
from shell.commands.base import Command, Prompt
from shell.commands.grammar import Invocation, Subcommand, checkpoint_number


def _restore(invocation: Invocation) -> int:
    from shell import checkpoints, run_files

    done = checkpoints.put_back(run_files.choose(invocation.run, running=False), invocation.number)
    if invocation.json:
        output.say_json(done.as_json())
    else:
        output.say(done.line())
    return 0


def _type_restore(prompt: Prompt, rest: str) -> str:
    """Says how the files are put back: agents may write to them while a run is running."""
    run_id = prompt.directory.name
    if rest:
        checkpoint_number("number", rest, RESTORE.usage)
    raise OperationalError(
        f"restore needs a run that is stopped, since agents write to its files: loop stop {run_id}, then "
        f"loop restore {run_id} {rest or 'NUMBER'}, and loop --run-id {run_id} resumes it"
    )


RESTORE = Command(
    name="restore",
    arguments="NUMBER",
    typed=_type_restore,
    row=Subcommand(
        "restore",
        "put a run's files back to a checkpoint",
        ("run", "number"),
        ("--json",),
        "It refuses while the run is running. It refuses as well where work would be lost, since it is in no commit "
        "and no checkpoint. "
        "HEAD, branches, the index and ignored files stay as they are.",
    ),
    once=_restore,
)
