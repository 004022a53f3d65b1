"""`restore`: puts a run's directory back to a checkpoint."""

from __future__ import annotations

from shell import output
from shell.commands.base import Command
from shell.commands.grammar import Invocation, Subcommand


def _restore(invocation: Invocation) -> int:
    from shell import checkpoints, run_files

    done = checkpoints.put_back(run_files.choose(invocation.run, running=False), invocation.number)
    if invocation.json:
        output.say_json(done.as_json())
    else:
        output.say(done.line())
    return 0


RESTORE = Command(
    name="restore",
    row=Subcommand(
        "restore",
        "put a run's files back to a checkpoint",
        ("run", "number"),
        ("--json",),
        "It refuses while the run is running, and where work that is in no commit and no checkpoint would be lost. "
        "HEAD, branches, the index and ignored files stay as they are.",
    ),
    once=_restore,
)
