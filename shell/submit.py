"""`loop submit`: checks a run like `loop` does, makes its directory and worktree, and puts it into the queue."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from actors.edges import git, worktree
from shell.options import Options
from shell.run_order import order_run
from supervisor import submissions
from supervisor.run_host import first_manifest


def submit(options: Options) -> int:
    """Returns an exit status: 0, the run is in the queue. Raises `UserError`."""
    options = options._replace(headless=True, worktree=options.worktree or _wants_worktree(options))
    order = order_run(options)
    home = Path(order.environment.get("HOME") or Path.home())
    serving = submissions.submit(order, home, first_manifest(order))
    print(f"run {order.run_id} is in the queue: {order.cwd}")
    if serving is None:
        print("[loop] nothing is serving now: start loop serve", file=sys.stderr)
    return os.EX_OK


def _wants_worktree(options: Options) -> bool:
    """Runs of one repository must not write into each other's files. One that is resumed goes on where it was."""
    cwd = Path.cwd()
    repository = git.top_level(cwd)
    if repository is None or worktree.is_linked_worktree(cwd):
        return False
    if options.run_id:
        return (repository.parent / worktree.name_of(repository, options.run_id)).is_dir()
    return not options.session
