"""A run's own git worktree and branch, beside the repository: `<repo>-loop-<run-id>`.

Plain `git`; the command line calls it before anything is started. It makes, completes and re-enters worktrees. It
checks the result on disk, not git's exit status: a failing post-checkout hook (git-lfs, husky) changes the status, not
the worktree.

`unmake` undoes what was made for a refused start. Nothing else is removed here: an agent's uncommitted work stays. If
it is killed half-way, the next call finishes the work: git keeps an unfinished worktree locked, and so do we while we
copy files.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from actors.edges.git import NO_REPOSITORY, ask, branch_note, common_directory, git, outermost, sanitise, top_level
from actors.errors import UserError

PLAN = "PLAN.md"
_CHECKING_OUT = "initializing"  # git's own word while `worktree add` is unfinished
_COPYING = "loop copies files into it"


@dataclass(kw_only=True)
class Made:
    """What was made for one run, step by step, so that it can be undone."""

    top: Path  # the repository's main working tree
    directory: Path | None = None  # of the worktree; None = it was there before
    branch: str = ""  # "" = it was there before
    tip: str = ""  # the commit that the branch began at
    moved: list[tuple[Path, Path]] = field(default_factory=list)  # from, to


@dataclass(frozen=True, kw_only=True)
class Place:
    """A run's working directory. `notes` are for the user; `made` is for `unmake`, when the run does not start."""

    cwd: Path
    notes: tuple[str, ...] = ()
    made: Made | None = None


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A worktree as git knows it."""

    path: Path
    head: str  # commit
    branch: str  # "" = on none
    lock: str | None  # why it is locked, maybe ""; None = it is not
    gone: bool  # its directory is not there


def registered(cwd: Path) -> list[Registered]:
    """The worktrees added to the repository, without its main one. Empty when git fails."""
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


def directory_of(top: Path, run_id: str) -> Path:
    """The path of the run's worktree: beside the repository; for a submodule, beside the superproject.

    Within the superproject it would count as a change, and disturb tools that process all files.
    """
    return outermost(top).parent / name_of(top, run_id)


def is_free(top: Path, run_id: str) -> bool:
    """Whether neither a directory beside the repository nor a branch has the run's name or begins with it and '/'."""
    name = name_of(top, run_id)
    taken = os.path.lexists(directory_of(top, run_id))
    return not taken and not git(top, "for-each-ref", "--count=1", f"refs/heads/{name}")


def enter(cwd: Path, top: Path, run_id: str) -> Place:
    """The run's worktree, made or re-entered; in the same sub-directory as `cwd` where the worktree has it.

    `top` is the repository's main working tree; `cwd` is in that or in another of its worktrees. Raises `UserError`
    when something else is in its place, or it cannot be made. Then, as after Ctrl-C, nothing has changed.
    """
    name, directory = name_of(top, run_id), directory_of(top, run_id)
    made = Made(top=top)
    try:
        was_free = is_free(top, run_id)
        notes = _registered_or_made(top, directory, name, made)
        inner = directory / (git(cwd, "rev-parse", "--show-prefix") or "")
        place = inner if inner.is_dir() else directory
        if cwd != place and _take_plan_along(cwd, place, made, overwrite=was_free):
            notes.append(f"{PLAN} went along")
    except OSError as error:
        unmake(made)
        where = error.filename or directory
        raise UserError(f"cannot create the run's worktree: {error.strerror} ({where})") from error
    except BaseException:
        unmake(made)
        raise
    return Place(cwd=place, notes=tuple(notes), made=made)


def there_again(cwd: Path, top: Path | None, run_id: str) -> tuple[str, ...]:
    """Makes the removed directory of a resumed run again. Returns notes on what was made; () = nothing.

    `top`: the repository of the run's worktree. None: the run has no worktree; then the directory can be made only
    within a repository. Raises `UserError` with the cause. Uncommitted work is lost.
    """
    if cwd.is_dir():
        return ()
    made = Made(top=top or cwd)
    try:
        notes: list[str] = []
        if top is not None and cwd.is_relative_to(directory_of(top, run_id)):
            notes = _registered_or_made(top, directory_of(top, run_id), name_of(top, run_id), made)
        elif top_level(next(place for place in cwd.parents if place.is_dir())) is None:
            raise UserError(f"the run's directory {cwd} no longer exists: restore it, then resume the run")
        cwd.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the run's directory {cwd} is missing, and cannot be created again: {error.strerror}"
        ) from error
    return (f"the run's directory {cwd} was missing, and has been created again; uncommitted files are lost", *notes)


def unmake(made: Made) -> None:
    """Undoes, as far as possible, what was made for a run that has not started: no work is lost."""
    for source, target in reversed(made.moved):
        if not os.path.lexists(source):
            with suppress(OSError):
                shutil.move(target, source)
    if made.directory is not None:
        git(made.top, "worktree", "remove", "--force", "--force", str(made.directory))
    if made.branch and made.tip:
        git(made.top, "update-ref", "-d", f"refs/heads/{made.branch}", made.tip)


def refusal(cwd: Path) -> str:
    """Why there can be no worktree for `cwd`, which is in no usable working tree."""
    reason = ask(cwd, "rev-parse", "--show-toplevel").reason
    if reason.startswith(NO_REPOSITORY):
        return f"--worktree needs a git repository, and {cwd} is in none: run git init, or leave it out"
    return f"--worktree needs a git repository; of {cwd} git says: {reason}"


def _registered_or_made(top: Path, directory: Path, name: str, made: Made) -> list[str]:
    known = _known(top, directory)
    if os.path.lexists(directory):
        if top_level(directory) != directory or common_directory(directory) != common_directory(top):
            raise UserError(f"{directory} is in the way of the run's worktree: move it, or start a new run")
        return [f"worktree {directory} re-entered", *_finish(top, directory, known)]
    if known is not None:  # only this one: another's directory may be on a disk that is not mounted now
        _must(top, "worktree", "remove", str(directory))
    if git(top, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        return _make_without_commits(top, directory, name, made)
    if _has_branch(top, name):
        notes = [f"worktree {directory} on branch {name}, which existed already", *_add(directory, name, made)]
    else:
        _branch(name, "HEAD", made)
        notes = [f"worktree {directory} on branch {name}", *_add(directory, name, made)]
        if (begins := branch_note(top)) is not None:
            notes.append(f"it starts where the repository is: {begins}")
    if (directory / ".gitmodules").is_file():
        notes.append("its submodules are empty: git submodule update --init fills them")
    return notes


def _branch(name: str, commit: str, made: Made) -> None:
    """Makes the branch without `git worktree add -b`, which does not report on failure whether it made the branch."""
    _must(made.top, "branch", "--no-track", name, commit)
    made.branch, made.tip = name, _must(made.top, "rev-parse", f"refs/heads/{name}")


def _add(directory: Path, branch: str, made: Made) -> list[str]:
    """Runs `git worktree add`. The worktree is finished when git has unlocked it."""
    made.directory = directory  # before, for Ctrl-C
    answer = ask(made.top, "worktree", "add", str(directory), branch)
    if answer.output is not None:
        return []
    known = _known(made.top, directory)
    if known is None or known.branch != branch or known.gone or known.lock is not None:
        made.directory = None  # git has cleaned up itself; or it belongs to another run
        raise _refused(answer.reason, "git worktree add", made.top)
    hint = "" if answer.reason.startswith("Preparing worktree") else f": {answer.reason}"
    return [f"a hook of the repository failed in it{hint}"]


def _known(top: Path, directory: Path) -> Registered | None:
    return next((each for each in registered(top) if each.path == directory), None)


def _finish(top: Path, directory: Path, known: Registered | None) -> list[str]:
    """Finishes a worktree that a killed process left locked. It contains no work yet."""
    if known is None or known.lock not in (_CHECKING_OUT, _COPYING):
        return []
    _must(directory, "reset", "--hard", "--quiet") if known.lock == _CHECKING_OUT else _copy_files(top, directory)
    _must(top, "worktree", "unlock", str(directory))
    return ["it was unfinished, and is complete now"]


def _make_without_commits(top: Path, directory: Path, name: str, made: Made) -> list[str]:
    """For a repository without commits: starts the branch with an empty commit, and copies the files."""
    if not _has_branch(top, name):
        tree = _must(top, "hash-object", "-t", "tree", "-w", "--stdin")
        identity = ["-c", "user.name=loop", "-c", "user.email=loop@localhost"]
        _branch(name, _must(top, *identity, "commit-tree", tree, "-m", "Begin"), made)
    notes = _add(directory, name, made)
    _must(top, "worktree", "lock", "--reason", _COPYING, str(directory))
    _copy_files(top, directory)
    _must(top, "worktree", "unlock", str(directory))
    return [f"worktree {directory} created; the repository has no commit yet, so its files were copied", *notes]


def _copy_files(top: Path, directory: Path) -> None:
    """Copies what git tracks or would track, with modes and links."""
    listed = _must(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for relative in filter(None, listed.split("\0")):
        source, target = top / relative, directory / relative
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # a partial copy of a killed process
            shutil.copy2(source, target, follow_symlinks=False)


def _take_plan_along(cwd: Path, place: Path, made: Made, *, overwrite: bool) -> bool:
    """Moves an untracked plan into the worktree; copies a changed one. Never replaces a plan that the run has worked
    on: `overwrite` only a fresh checkout.
    """
    plan, target = cwd / PLAN, place / PLAN
    if not plan.is_file():
        return False
    if git(cwd, "ls-files", "--error-unmatch", PLAN) is None:
        if os.path.lexists(target):
            return False
        shutil.move(plan, target)
        made.moved.append((plan, target))
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
        raise _refused(answer.reason, " ".join(["git", *arguments[:2]]), cwd)
    return answer.output


def _refused(reason: str, command: str, cwd: Path) -> UserError:
    return UserError(f"cannot create the run's worktree: {reason} ({command} in {cwd})")
