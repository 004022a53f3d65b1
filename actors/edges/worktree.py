"""A git worktree and branch of a run's own, beside the repository: `<repo>-loop-<run-id>` (behaviour.md, "Worktrees").

Plain `git`; the command line calls it before anything is started. It makes and re-enters worktrees and never removes
one: what an agent has not committed stays where it is.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from actors.edges.git import git, sanitise
from actors.errors import UserError

PLAN = "PLAN.md"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run works. `notes` are for people."""

    cwd: Path
    notes: tuple[str, ...] = ()


def is_linked_worktree(cwd: Path) -> bool:
    """Whether `cwd` is in a worktree that was added to a repository, not in the repository's own."""
    own = git(cwd, "rev-parse", "--path-format=absolute", "--git-dir")
    common = git(cwd, "rev-parse", "--path-format=absolute", "--git-common-dir")
    return own is not None and own != common


def name_of(top: Path, run_id: str) -> str:
    """Name of the run's worktree directory, branch and tmux session."""
    return f"{sanitise(top.name)}-loop-{run_id}"


def is_free(top: Path, run_id: str) -> bool:
    """Whether neither a directory beside the repository nor a branch has the run's name."""
    name = name_of(top, run_id)
    return not (top.parent / name).exists() and not _has_branch(top, name)


def enter(cwd: Path, top: Path, run_id: str) -> Place:
    """The run's worktree, made or re-entered; in the same sub-directory as `cwd` where the worktree has it.

    Raises `UserError` when something else stands in its place, or git refuses.
    """
    name = name_of(top, run_id)
    directory = top.parent / name
    notes = [_registered_or_made(top, directory, name)]
    if _take_plan_along(cwd, cwd.relative_to(top), directory):
        notes.append(f"{PLAN} went along")
    inner = directory / cwd.relative_to(top)
    return Place(cwd=inner if inner.is_dir() else directory, notes=tuple(notes))


def _registered_or_made(top: Path, directory: Path, name: str) -> str:
    if directory.exists():
        if git(directory, "rev-parse", "--show-toplevel") != str(directory):
            raise UserError(f"{directory} is in the way of the run's worktree: move it, or start a new run")
        return f"worktree {directory} re-entered"
    git(top, "worktree", "prune")  # a registration whose directory is gone would refuse the new one
    if git(top, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        _make_without_commits(top, directory, name)
        return f"worktree {directory} made; the repository has no commit yet, so its files were copied"
    arguments = [str(directory), name] if _has_branch(top, name) else ["-b", name, str(directory)]
    _must(top, "worktree", "add", *arguments)
    return f"worktree {directory} on branch {name}"


def _make_without_commits(top: Path, directory: Path, name: str) -> None:
    """A worktree needs a commit: the branch begins with an empty one, and the files are copied as they are."""
    tree = _must(top, "hash-object", "-t", "tree", "-w", "--stdin")
    identity = ["-c", "user.name=loop", "-c", "user.email=loop@localhost"]
    commit = _must(top, *identity, "commit-tree", tree, "-m", "Begin")
    _must(top, "branch", name, commit)
    _must(top, "worktree", "add", str(directory), name)
    listed = _must(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for relative in filter(None, listed.split("\0")):
        if (top / relative).is_file():
            target = directory / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(top / relative, target, follow_symlinks=False)


def _take_plan_along(cwd: Path, relative: Path, directory: Path) -> bool:
    """A plan that git does not know is moved, one with changes is copied; one that is there already is left alone."""
    plan, target = cwd / PLAN, directory / relative / PLAN
    if not plan.is_file() or not target.parent.is_dir():
        return False
    if git(cwd, "ls-files", "--error-unmatch", PLAN) is None:
        if target.exists():
            return False
        shutil.move(plan, target)
        return True
    if git(cwd, "diff", "--quiet", "HEAD", "--", PLAN) is None:
        shutil.copy2(plan, target)
        return True
    return False


def _has_branch(top: Path, name: str) -> bool:
    return git(top, "rev-parse", "--verify", "--quiet", f"refs/heads/{name}") is not None


def _must(cwd: Path, *arguments: str) -> str:
    answer = git(cwd, *arguments)
    if answer is None:
        raise UserError(f"git {' '.join(arguments)} failed in {cwd}: run it there to see why, or leave --worktree out")
    return answer
