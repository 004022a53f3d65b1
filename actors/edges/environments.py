"""The environment: our own variables, and the base that every child process gets. Any process.

The rule: each environment for an agent, a check, gh, tmux or a process of ours begins with `handed_on()`. The directory
alone selects the repository. GIT_DIR and the like, set by a git hook, alias or editor, would select another one.
LOOP_RUN_ID is removed too, since a loop that an agent starts is another run. The limit of open files also comes from
outside: libzmq aborts a process with too few, so it is checked before the first socket. tests/test_layout.py lists the
modules that may read os.environ.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from actors.errors import UserError

# `git rev-parse --local-env-vars` and the like: those that say which repository, index or objects are meant.
ELSEWHERE = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_NAMESPACE"),
    *("GIT_GRAFT_FILE", "GIT_SHALLOW_FILE", "GIT_INTERNAL_SUPER_PREFIX"),
)
RUN_ID = "LOOP_RUN_ID"
FILES_OF_A_ROOT = 100  # some 30 are open, and a few more for each console
FILES_OF_A_CONSOLE = 30


def handed_on() -> dict[str, str]:
    """Our environment without the variables for this process alone. The caller may add to it."""
    return {name: value for name, value in os.environ.items() if name not in ELSEWHERE and name != RUN_ID}


def own(*names: str) -> dict[str, str]:
    """Our own variables that are set."""
    return {name: os.environ[name] for name in names if name in os.environ}


def check_open_files(least: int) -> None:
    """Raises `UserError` when this process cannot open that many more files. Called before a socket is made."""
    limit, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit - sum(1 for _ in Path("/dev/fd").iterdir()) < least:
        raise UserError(f"only {limit} open files are allowed here, which is too few: run ulimit -n 1024")


def home() -> Path:
    """The user's home directory, which contains `.loop`. Raises `UserError` for one that depends on where we are."""
    found = Path(os.environ.get("HOME") or Path.home())
    if not found.is_absolute():
        raise UserError(f"HOME must be an absolute path, not {str(found)!r}: set it to your home directory")
    return found
