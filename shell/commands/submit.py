"""`submit`: queues a run for `loop serve`. `shell.submit` does it, with the options of a run."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Subcommand

SUBMIT = Command(
    name="submit",
    row=Subcommand(
        "submit",
        "queue a run for loop serve",
        ("[options]", "[prompt]"),
        (),
        "Takes what loop [options] [prompt] takes. The task is read now. In a git repository the run gets a "
        "worktree of its own. The queue is on disk: nothing needs to be serving. Options and directory are "
        "stored. The environment is not stored, because it holds secrets: the agents get the environment of "
        "loop serve.",
    ),
)
