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
        "As loop [options] [prompt], but for a later time. The run gets a worktree of its own where the directory "
        "is in a git repository, and its task is read now. The queue is on disk: nothing needs to be serving. "
        "Options and directory are stored, the environment is not, as it holds secrets: the agents have the "
        "environment of loop serve.",
    ),
)
