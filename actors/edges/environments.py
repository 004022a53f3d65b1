"""The environment: what we read of our own, and what everybody that we start is given. Any process.

The rule: each environment that is handed on, to an agent, a check, gh, tmux or a process of ours, begins with
`handed_on()`. The directory alone says which repository is meant: GIT_DIR and its like, which a git hook, an alias
or an editor sets, would send checks and agents into another one. Nor do they get LOOP_RUN_ID, since a loop that an
agent starts is another run. The limit of open files comes from outside as well: libzmq aborts a process that may open
too few, so it is looked at before the first socket. tests/test_layout.py names the modules that may look at os.environ
themselves.
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
    """Our environment without what is meant for this process alone. The caller may add to it."""
    return {name: value for name, value in os.environ.items() if name not in ELSEWHERE and name != RUN_ID}


def own(*names: str) -> dict[str, str]:
    """Those of our own variables that are set."""
    return {name: os.environ[name] for name in names if name in os.environ}


def check_open_files(least: int) -> None:
    """Raises `UserError` when this process may not open so many more files. Called before a socket is made."""
    limit, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit - sum(1 for _ in Path("/dev/fd").iterdir()) < least:
        raise UserError(f"only {limit} open files are allowed here, which is too few: run ulimit -n 1024")


def home() -> Path:
    """The user's, where `.loop` is."""
    return Path(os.environ.get("HOME") or Path.home())
