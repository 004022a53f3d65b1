"""A git worktree and branch of a run's own, beside the repository: `<repo>-loop-<run-id>` (behaviour.md, "Worktrees").

Plain `git`; the command line calls it before anything is started. It makes, completes and re-enters worktrees and
never removes one: what an agent has not committed stays where it is. Killed half-way, it goes on the next time: git
keeps a worktree locked that it has not finished, and so do we while files are copied into one.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from actors.edges.git import NO_REPOSITORY, ask, branch_note, common_directory, git, sanitise, top_level
from actors.errors import UserError

PLAN = "PLAN.md"
_CHECKING_OUT = "initializing"  # git's own word, while `worktree add` has not come to its end
_COPYING = "loop copies files into it"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run works. `notes` are for people."""

    cwd: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A worktree as git knows it."""

    path: Path
    head: str  # commit
    branch: str  # "" = on none
    lock: str | None  # why it is locked, maybe ""; None = it is not
    gone: bool  # its directory is not there


def registered(cwd: Path) -> list[Registered]:
    """The worktrees that were added to the repository, not its own. Empty when git says no."""
    answer = git(cwd, "worktree", "list", "--porcelain") or ""
    found = []
    for block in answer.split("\n\n")[1:]:  # the first is the repository's own
        facts: dict[str, str] = {}
        for line in block.splitlines():
            name, _, value = line.partition(" ")
            facts[name] = value
        if "worktree" in facts:
            path = Path(facts["worktree"])
            found.append(
                Registered(
                    path=path,
                    head=facts.get("HEAD", ""),
                    branch=facts.get("branch", "").removeprefix("refs/heads/"),
                    lock=facts.get("locked"),
                    gone=not path.is_dir(),
                )
            )
    return found


def name_of(top: Path, run_id: str) -> str:
    """Name of the run's worktree directory, branch and tmux session."""
    return f"{sanitise(top.name)}-loop-{run_id}"


def is_free(top: Path, run_id: str) -> bool:
    """Whether neither a directory beside the repository nor a branch has the run's name or begins with it and '/'."""
    name = name_of(top, run_id)
    return not os.path.lexists(top.parent / name) and not git(top, "for-each-ref", "--count=1", f"refs/heads/{name}")


def enter(cwd: Path, top: Path, run_id: str) -> Place:
    """The run's worktree, made or re-entered; in the same sub-directory as `cwd` where the worktree has it.

    `top` is the repository's main working tree; `cwd` is in that or in another of its worktrees. Raises `UserError`
    when something else stands in its place, or git refuses.
    """
    name = name_of(top, run_id)
    directory = top.parent / name
    was_free = is_free(top, run_id)
    notes = _registered_or_made(top, directory, name)
    inner = directory / (git(cwd, "rev-parse", "--show-prefix") or "")
    place = inner if inner.is_dir() else directory
    if cwd != place and _take_plan_along(cwd, place, overwrite=was_free):
        notes.append(f"{PLAN} went along")
    return Place(cwd=place, notes=tuple(notes))


def refusal(cwd: Path) -> str:
    """Why there can be no worktree for `cwd`, which is in no working tree that git would work with."""
    reason = ask(cwd, "rev-parse", "--show-toplevel").reason
    if reason.startswith(NO_REPOSITORY):
        return f"--worktree needs a git repository, and {cwd} is in none: run git init, or leave it out"
    return f"--worktree needs a git repository; of {cwd} git says: {reason}"


def _registered_or_made(top: Path, directory: Path, name: str) -> list[str]:
    known = next((each for each in registered(top) if each.path == directory), None)
    if os.path.lexists(directory):
        if top_level(directory) != directory or common_directory(directory) != common_directory(top):
            raise UserError(f"{directory} is in the way of the run's worktree: move it, or start a new run")
        return [f"worktree {directory} re-entered", *_finish(top, directory, known)]
    if known is not None:  # only this one: another's directory may be on a disk that is not mounted now
        _must(top, "worktree", "remove", str(directory))
    if git(top, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        _make_without_commits(top, directory, name)
        return [f"worktree {directory} made; the repository has no commit yet, so its files were copied"]
    if _has_branch(top, name):
        _must(top, "worktree", "add", str(directory), name)
        notes = [f"worktree {directory} on branch {name}, which was there already"]
    else:
        _must(top, "worktree", "add", "-b", name, str(directory))
        notes = [f"worktree {directory} on branch {name}"]
        if (begins := branch_note(top)) is not None:
            notes.append(f"it begins where the repository is: {begins}")
    if (directory / ".gitmodules").is_file():
        notes.append("its submodules are empty: git submodule update --init fills them")
    return notes


def _finish(top: Path, directory: Path, known: Registered | None) -> list[str]:
    """What was killed while it made this worktree left it locked. Nobody can have worked in it yet."""
    if known is None or known.lock not in (_CHECKING_OUT, _COPYING):
        return []
    _must(directory, "reset", "--hard", "--quiet") if known.lock == _CHECKING_OUT else _copy_files(top, directory)
    _must(top, "worktree", "unlock", str(directory))
    return ["it had not been finished, and is now"]


def _make_without_commits(top: Path, directory: Path, name: str) -> None:
    """A worktree needs a commit: the branch begins with an empty one, and the files are copied as they are."""
    if not _has_branch(top, name):
        tree = _must(top, "hash-object", "-t", "tree", "-w", "--stdin")
        identity = ["-c", "user.name=loop", "-c", "user.email=loop@localhost"]
        commit = _must(top, *identity, "commit-tree", tree, "-m", "Begin")
        _must(top, "branch", name, commit)
    _must(top, "worktree", "add", str(directory), name)
    _must(top, "worktree", "lock", "--reason", _COPYING, str(directory))
    _copy_files(top, directory)
    _must(top, "worktree", "unlock", str(directory))


def _copy_files(top: Path, directory: Path) -> None:
    """What git tracks or would track, with its modes and links."""
    listed = _must(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for relative in filter(None, listed.split("\0")):
        source, target = top / relative, directory / relative
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # half of it, from a copy that was killed
            shutil.copy2(source, target, follow_symlinks=False)


def _take_plan_along(cwd: Path, place: Path, *, overwrite: bool) -> bool:
    """A plan that git does not know is moved, one with changes is copied. One that the run has worked on already is
    left alone: `overwrite` only what git has just put there.
    """
    plan, target = cwd / PLAN, place / PLAN
    if not plan.is_file():
        return False
    if git(cwd, "ls-files", "--error-unmatch", PLAN) is None:
        if os.path.lexists(target):
            return False
        shutil.move(plan, target)
        return True
    if overwrite and git(cwd, "diff", "--quiet", "HEAD", "--", PLAN) is None:
        shutil.copy2(plan, target)
        return True
    return False


def _has_branch(top: Path, name: str) -> bool:
    return git(top, "rev-parse", "--verify", "--quiet", f"refs/heads/{name}") is not None


def _must(cwd: Path, *arguments: str) -> str:
    answer = ask(cwd, *arguments)
    if answer.output is None:
        command = " ".join(["git", *arguments[:2]])
        raise UserError(f"cannot make the run's worktree: {answer.reason} ({command} in {cwd})")
    return answer.output
