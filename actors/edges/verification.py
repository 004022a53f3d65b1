"""A temporary worktree of one commit, in which checks are repeated. Plain `git`; the command line calls it.

It is in the run's directory, detached, and locked with `REASON`, so that a run that looks for work elsewhere does not
take it for some. It is removed at the end. What a killed process left is removed by the next one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.edges import files, tree
from actors.edges.git import ask, git
from actors.errors import OperationalError

FOLDER = "verify"
REASON = tree.NOT_WORK
_QUIET = ("-c", f"core.hooksPath={os.devnull}", "-c", "advice.detachedHead=false")


@contextmanager
def worktree_of(repository: Path, directory: Path, commit: str) -> Iterator[Path]:
    """The worktree of this commit, while the block runs. `directory`: of the run. Raises `OperationalError`."""
    folder = directory / FOLDER
    files.make_private(folder)
    lock = files.open_own(folder / "lock")
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OperationalError(f"run {directory.name} is being verified by another process already") from error
        top = git(repository, "rev-parse", "--show-toplevel")
        place = folder / (Path(top).name if top else "tree")
        try:
            _remove(repository, place)
            add = ("worktree", "add", "--detach", str(place), commit)
            lock_it = ("worktree", "lock", "--reason", REASON, str(place))  # git before 2.33 takes no reason with `add`
            for words in (add, lock_it):
                answer = ask(repository, *_QUIET, *words, timeout_s=tree.TIMEOUT_S)
                if answer.output is None:
                    raise OperationalError(f"cannot make a worktree of {commit[:12]}: {answer.reason}")
            yield place
        finally:
            _remove(repository, place)
    finally:
        os.close(lock)


def _remove(repository: Path, place: Path) -> None:
    """Twice --force: it is locked, and checks may have written into it."""
    ask(repository, *_QUIET, "worktree", "remove", "--force", "--force", str(place))
    shutil.rmtree(place, ignore_errors=True)
