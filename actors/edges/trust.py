"""What the user has allowed repositories to run: `~/.loop/trust/<repo-id>/<sha256>`, one file for each content.

A repository is its common directory, so its worktrees share what was allowed; another clone shares nothing. A content
is the SHA-256 of `.loop.toml`, so a changed file needs new consent. This protects against cloned files and against an
agent's edits. It does not stop an agent from writing here: agents have the user's full permissions.

Reads and writes files, in any process; never prompts.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from actors.edges import files, git
from actors.edges.config_file import REPOSITORY_FILE
from actors.edges.configuration import Configuration, RepositoryFile, escaped, read_configuration
from actors.errors import UserError


def is_trusted(home: Path, cwd: Path, file: RepositoryFile) -> bool:
    """Whether the user has allowed this content for the repository that contains `cwd`."""
    return _is_record(_directory(home, cwd) / file.sha256, _identity(cwd))


def has_trusted(home: Path, cwd: Path) -> bool:
    """Whether the user has allowed any content for the repository that contains `cwd`."""
    directory = _directory(home, cwd)
    return directory.is_dir() and any(_is_record(record, _identity(cwd)) for record in directory.iterdir())


def read_trusted(home: Path, cwd: Path, built_in: Collection[str]) -> Configuration:
    """The configuration at `cwd`, limited to what the user has allowed so far; never prompts."""
    return read_configuration(home, git.top_level(cwd) or cwd, built_in, lambda file: is_trusted(home, cwd, file))


def trust(home: Path, cwd: Path, file: RepositoryFile) -> None:
    """Records the consent atomically; durable when it returns."""
    record = _directory(home, cwd) / file.sha256
    files.make_private(record.parent)
    content = {"repository": _identity(cwd), "file": escaped(str(file.path)), "runs": file.runs}
    files.replace(record, json.dumps(content, indent=2).encode("ascii"))


def revoke(home: Path, cwd: Path) -> int:
    """Removes all consents of the repository that contains `cwd`; returns their number."""
    directory, count = _directory(home, cwd), 0
    if directory.is_dir():
        for record in directory.iterdir():
            count += _is_record(record, _identity(cwd))
            with suppress(OSError):  # anything but a file is not a record
                record.unlink()
        with suppress(OSError):  # another process adds one at this moment
            directory.rmdir()
    return count


def digest(tree: Path) -> str:
    """SHA-256 of the `.loop.toml` in this directory; "" when it is missing or unreadable."""
    try:
        return hashlib.sha256(files.read_bytes(tree / REPOSITORY_FILE)).hexdigest()
    except (UserError, OSError):
        return ""


def changed_line(tree: Path) -> str:
    """The user's warning that this working tree's `.loop.toml` has changed since the run began."""
    path = escaped(str(tree / REPOSITORY_FILE))
    return f"{path} has changed since the run began; the run does not use the change. See loop trust --show"


class Watch:
    """Detects changes of a working tree's `.loop.toml`. Belongs to one thread."""

    def __init__(self, tree: Path, sha256: str) -> None:
        self._tree = tree
        self._known = sha256

    def look(self) -> str:
        """A line for the user when the file has changed since the last look or the given digest; else ""."""
        before, self._known = self._known, digest(self._tree)
        return changed_line(self._tree) if self._known != before else ""


def _directory(home: Path, cwd: Path) -> Path:
    return home / ".loop" / "trust" / git.repository_id(cwd)


def _identity(cwd: Path) -> str:
    return str(git.common_directory(cwd) or cwd).encode("utf-8", "backslashreplace").decode()


def _is_record(path: Path, identity: str) -> bool:
    """Whether the file is our record for this repository, not writable by other users."""
    try:
        status = path.lstat()
        content = files.read_json(path)
    except (UserError, OSError):
        return False
    is_ours = status.st_uid == os.getuid() and not status.st_mode & 0o022 and not stat.S_ISLNK(status.st_mode)
    return is_ours and isinstance(content, dict) and content.get("repository") == identity
