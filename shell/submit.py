"""`loop submit`: checks a run like `loop` does, makes its directory and worktree, and puts it into the queue."""

from __future__ import annotations

import os
from pathlib import Path

from actors.edges import environments, git, run_dir, worktree
from shell import output
from shell.options import Options
from shell.resolve import resolve_run, taken_back
from shell.resumed import wanted_id
from supervisor import submissions
from supervisor.run_manifest import first_manifest


def submit(options: Options) -> int:
    """Returns an exit status: 0, the run is in the queue. Raises `UserError`."""
    home = environments.home()
    spec = resolve_run(options.but(headless=True, worktree=options.worktree or _wants_worktree(options, home)))
    with taken_back(spec.directory, spec.made):
        serving = submissions.submit(spec, home, first_manifest(spec))
    output.say(f"run {spec.run_id} is in the queue: {spec.cwd}")
    if serving is None:
        output.note("nothing is serving the queue: start loop serve")
    return os.EX_OK


def _wants_worktree(options: Options, home: Path) -> bool:
    """Whether the run needs a worktree, so that runs of one repository do not share files. A resumed run stays where it
    was.
    """
    if options.session:
        return False
    cwd = Path.cwd()
    repository = git.top_level(cwd)
    if repository is None or git.is_linked_worktree(cwd):
        return False
    run_id = options.run_id or wanted_id()
    if not run_id:
        return True
    manifest = run_dir.read_manifest(run_dir.directory_of(home, git.repository_id(cwd), run_id))
    if manifest is None:
        return True
    was = Path(str(manifest.get("cwd", "")))
    return worktree.directory_of(repository, run_id) in (was, *was.parents)
