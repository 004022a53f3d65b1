"""Finds what exists only in a run's worktree, and removes a worktree that has nothing of the kind.

Plain `git`; the command line calls it. Nothing is removed that the rest cannot restore. Files are removed only when git
has them all (or, on request, ignores them); a branch only when another one or a remote has its commits. The worktree is
moved aside in one step, so a killed removal leaves it whole or gone.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from actors.edges.git import ask, git
from actors.edges.worktree import Registered
from actors.errors import UserError

# In the git directory of a worktree during an operation; the pending commits of a rebase exist only here.
_UNDER_WAY = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
}
_LINK_TO_A_REPOSITORY = "160000"  # the mode of a submodule


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a removal would lose. `obstacles`: texts for what has no count."""

    uncommitted: int = 0  # files
    untracked: int = 0
    ignored: tuple[str, ...] = ()  # names of files, and (with a slash) of directories in which everything is ignored
    unpushed: int = 0  # commits of its HEAD that are on no remote, no tag, and no branch except the runs' own
    stashes: int = 0
    obstacles: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether everything in it is committed, at least on its branch."""
        return not (self.uncommitted or self.untracked or self.stashes or self.obstacles)


def look(cwd: Path, tree: Registered, run_branches: Collection[str]) -> Contents:
    """Takes no locks and changes nothing. Whatever cannot be checked is an obstacle. `cwd` is in the repository."""
    own = {*run_branches, tree.branch} - {""}
    obstacles = [] if tree.lock is None else [f"locked by git worktree lock{': ' if tree.lock else ''}{tree.lock}"]
    unpushed = only_here(cwd, tree.head, own)
    if unpushed is None:
        obstacles.append("git cannot say where its commits are")
    elif unpushed and not tree.branch:
        obstacles.append(f"{_number(unpushed, 'commit')} on no branch")
    stashes = _stashes(cwd, {tree.branch, tree.path.name} - {""})
    if tree.gone:
        return Contents(unpushed=unpushed or 0, stashes=stashes, obstacles=tuple(obstacles))
    status = ask(tree.path, "status", "--porcelain", "-z", "-uall", "--no-renames", "--ignore-submodules=none")
    ignored = ask(tree.path, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    obstacles += [f"git cannot look into it: {each.reason}" for each in (status, ignored) if each.output is None]
    entries = _parts(status.output)
    untracked = sum(entry.startswith("??") for entry in entries)
    obstacles += _under_way(tree.path)
    obstacles += _unseen(tree.path)
    return Contents(
        uncommitted=len(entries) - untracked,
        untracked=untracked,
        ignored=tuple(_parts(ignored.output)),
        unpushed=unpushed or 0,
        stashes=stashes,
        obstacles=tuple(obstacles),
    )


def only_here(cwd: Path, commit: str, branches: Collection[str]) -> int | None:
    """How many ancestors of this commit are on these branches alone, and on no other ref. None: git fails."""
    others = [f"--exclude=refs/heads/{branch}" for branch in branches]
    kinds = ["--glob=refs/heads", "--glob=refs/remotes", "--glob=refs/tags"]  # --exclude is for the next one only
    count = git(cwd, "rev-list", "--count", commit, "--not", *others, *kinds)
    return int(count) if count is not None and count.isdecimal() else None


def remove(cwd: Path, tree: Registered) -> None:
    """Removes files and registration; keeps the branch. Raises `UserError` on failure: then nothing has changed, or the
    files are moved aside for the next `sweep`.
    """
    sweep(tree.path)
    aside = _aside(tree.path)
    if not tree.gone:
        try:
            tree.path.rename(aside)
        except OSError as error:
            raise UserError(f"it cannot be moved: {error.strerror}") from error
    answer = ask(cwd, "worktree", "remove", str(tree.path))  # its directory is gone, so this is the registration
    if answer.output is None:
        if not tree.gone:
            aside.rename(tree.path)
        raise UserError(f"git worktree remove: {answer.reason}")
    sweep(tree.path)


def sweep(path: Path) -> bool:
    """Removes what a killed removal of this worktree left aside, if anything. Raises `UserError`."""
    if not _aside(path).exists():
        return False
    try:
        shutil.rmtree(_aside(path))
    except OSError as error:
        raise UserError(f"its files are left in {_aside(path)}: {error.strerror}") from error
    return True


def delete_branch(cwd: Path, branch: str, tip: str) -> str:
    """Deletes the branch if it is still at this commit. Returns why not, or "". The caller has checked `only_here`."""
    answer = ask(cwd, "update-ref", "-d", f"refs/heads/{branch}", tip)
    if answer.output is not None:
        git(cwd, "config", "--remove-section", f"branch.{branch}")
    return answer.reason


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.removed")


def _parts(output: str | None) -> list[str]:
    return [part for part in (output or "").split("\0") if part]


def _stashes(cwd: Path, branches: Collection[str]) -> int:
    """The stashes of this branch: stashes belong to the repository, and their messages name the branch."""
    said = git(cwd, "log", "--walk-reflogs", "--format=%gs", "refs/stash", "--") or ""
    ways = tuple(f"{how} {branch}: " for branch in branches for how in ("WIP on", "On"))
    return sum(line.startswith(ways) for line in said.splitlines())


def _under_way(path: Path) -> Iterator[str]:
    own = git(path, "rev-parse", "--absolute-git-dir")
    found = (what for name, what in _UNDER_WAY.items() if own is not None and (Path(own) / name).exists())
    return (f"{what} is under way" for what in dict.fromkeys(found))


def _unseen(path: Path) -> Iterator[str]:
    """What `git status` skips: nested repositories, and files that are marked as unchanged."""
    links = [part.partition("\t") for part in _parts(git(path, "ls-files", "-z", "--stage"))]
    inner = [name for facts, _, name in links if facts.startswith(_LINK_TO_A_REPOSITORY)]
    if any((path / name / ".git").exists() for name in inner):
        yield "it has submodules with repositories of their own"
    flagged = [part.split(" ", 1) for part in _parts(git(path, "ls-files", "-z", "-v"))]
    hidden = sum((flag.islower() or flag == "S") and (path / name).exists() for flag, name in flagged)
    if hidden:
        yield f"{_number(hidden, 'file')} that git assumes unchanged (update-index)"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
