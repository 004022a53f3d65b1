"""Plain `git`, asked read-only questions. Any process; blocks for as long as git takes."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

_NOT_PLAIN = re.compile(r"[^a-z0-9-]+")


def git(cwd: Path, *arguments: str) -> str | None:
    """Output of a git command without the final newline, or None when git is missing or says no."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def sanitise(name: str) -> str:
    """A name that is safe in paths and branches: lower-case a-z, 0-9 and single runs of '-'; empty becomes "loop"."""
    return _NOT_PLAIN.sub("-", name.lower()).strip("-") or "loop"


def top_level(cwd: Path) -> Path | None:
    """The working tree that `cwd` is in. None outside one."""
    found = git(cwd, "rev-parse", "--show-toplevel")
    return Path(found) if found else None


def main_top_level(cwd: Path) -> Path | None:
    """The directory of the main repository, the same in all its worktrees. None outside a repository."""
    common = common_directory(cwd)
    return common.parent if common is not None else None


def common_directory(cwd: Path) -> Path | None:
    """Git's common dir: the same for all worktrees of one repository. None outside a repository."""
    found = git(cwd, "rev-parse", "--path-format=absolute", "--git-common-dir")
    return Path(found) if found else None


def repository_id(cwd: Path) -> str:
    """`<sanitised base name>-<12 hex digits>` as in behaviour.md: every worktree of a repository has the same one."""
    common = common_directory(cwd)
    base, identity = (common.parent, common) if common is not None else (cwd, cwd)
    digest = hashlib.sha256(str(identity).encode()).hexdigest()[:12]
    return f"{sanitise(base.name)}-{digest}"


def branch_note(cwd: Path) -> str | None:
    """What a person should know of the branch before a long run; None when there is nothing to say."""
    branch = git(cwd, "symbolic-ref", "--short", "HEAD")
    if branch is None:
        return None
    notes = [] if branch in ("main", "master") else [f"on branch {branch}"]
    behind = git(cwd, "rev-list", "--count", "HEAD..@{upstream}")
    if behind is not None and behind != "0":
        notes.append(f"{branch} is {behind} commits behind its upstream")
    return ", ".join(notes) or None
