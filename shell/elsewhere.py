"""Finds runs of other repositories, and runs that work in the same directory. Reads files and asks git.

A run's number says little: each repository has a run 1. So a run of another repository is only named, with the command
to type, and never resumed from here. Only a moved repository takes its runs along: its old directory is gone, and it
has the same name, or the run's last checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actors.edges import files, git, run_dir, run_lock
from actors.errors import LoopError, UserError
from actors.machines import hints

_NAMED = 3  # places in one line


def moved_run(repo_runs: Path, run_id: str, here: Path) -> Path | None:
    """The directory of the run if this repository, in `here`, has moved since; None when that is uncertain."""
    name = repo_runs.name.rpartition("-")[0]
    gone = [
        directory
        for directory, place in _of_others(repo_runs, run_id)
        if not place.is_dir() and not run_lock.is_active(directory)
    ]
    found = [each for each in gone if _has_its_checkpoint(here, each)] or [
        each for each in gone if each.parent.name.rpartition("-")[0] == name
    ]
    return found[0] if len(found) == 1 and not (repo_runs / run_id).exists() else None


def _has_its_checkpoint(here: Path, directory: Path) -> bool:
    """Whether the repository has the last tree that was kept of this run: no other one has."""
    from shell.run_files import state_of  # only where a run is missed

    try:
        state = state_of(directory)
    except LoopError:
        return False
    return state is not None and bool(state.kept) and git.git(here, "cat-file", "-t", state.kept) == "commit"


def bring(directory: Path, repo_runs: Path) -> Path:
    """Moves the run's directory to those of this repository. Returns the new one."""
    files.make_private(repo_runs)
    return directory.rename(repo_runs / directory.name)


def unknown_run(repo_runs: Path, run_id: str) -> UserError:
    """The error for an unknown run; says in which repository it is."""
    found = list(_of_others(repo_runs, run_id))
    there = [
        place for directory, place in found if place.is_dir() and git.repository_id(place) == directory.parent.name
    ]
    if there:
        ways = " or ".join(hints.resume(run_id, str(place)) for place in there[:_NAMED])
        more = f" (and {len(there) - _NAMED} more)" if len(there) > _NAMED else ""
        return UserError(f"no run {run_id!r} in this repository, but elsewhere: {ways}{more}")
    if found:
        directory, place = found[0]
        return UserError(
            f"no run {run_id!r} in this repository; one was in {place}, which no longer exists: move the repository "
            f"back there to resume it; its files are in {directory}"
        )
    return UserError(f"no run {run_id!r} in {repo_runs}: leave --run-id out to start a new one")


def known_session(repo_runs: Path, session_id: str) -> UserError | None:
    """The error for a session of another repository's run, with its place; None for an unknown session."""
    for others in run_dir.directories(repo_runs.parent):
        found = run_dir.find_session(others, session_id) if others != repo_runs else None
        place = _place(run_dir.read_manifest(found) or {}) if found is not None else None
        if found is not None and place is not None and place.is_dir() and git.repository_id(place) == others.name:
            how = hints.resume(found.name, str(place))
            return UserError(f"session {session_id!r} belongs to a run of another repository: {how}")
    return None


def neighbours(repo_runs: Path, cwd: Path, own: Path) -> list[str]:
    """The live runs beside `own` that work in the working tree of `cwd`, by id."""
    tree, added = git.top_level(cwd) or cwd, str(git.linked_worktree(cwd) or "")
    found = []
    for directory in sorted(run_dir.directories(repo_runs)):
        if directory != own and run_lock.is_active(directory):
            manifest = run_dir.read_manifest(directory) or {}
            place = Path(str(manifest.get("cwd", "")))
            if tree in (place, *place.parents) and manifest.get("worktree", "") == added:
                found.append(directory.name)
    return found


def _of_others(repo_runs: Path, run_id: str) -> Iterator[tuple[Path, Path]]:
    """Directory and repository of each run with this id in other repositories, newest first."""
    found = []
    for directory in repo_runs.parent.glob(f"*/{run_id}"):
        manifest = run_dir.read_manifest(directory) or {}
        place = _place(manifest)
        if place is not None and directory.parent != repo_runs:
            found.append((str(manifest.get("updatedAt", "")), directory, place))
    for _, directory, place in sorted(found, reverse=True):
        yield directory, place


def _place(manifest: run_dir.Manifest) -> Path | None:
    """The directory in which the run can be resumed."""
    place = manifest.get("repository") or manifest.get("cwd")
    return Path(place) if isinstance(place, str) and place else None
