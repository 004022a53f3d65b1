"""The checkpoints of a run, for `loop diff` and `loop restore`: which run, which place, which numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors import values
from actors.edges import checkpoints, git, run_dir, run_lock, tree
from actors.edges.restore import InTheWayError, Restored, restore
from actors.errors import LoopError, OperationalError, UserError
from actors.machines import checkpoint
from actors.machines.checkpoint import Checkpoint
from shell import elsewhere, run_files, tables
from shell.run_files import RunFiles

SHOWN = 5  # names in a line


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the run's checkpoints are. `cwd` is in its repository; `own`: it is the run's directory itself."""

    cwd: Path
    own: bool
    known: Mapping[int, Checkpoint]


def place(found: RunFiles) -> Place:
    """Raises `OperationalError` when the run has no checkpoint."""
    settings = run_files.settings_of(found.directory)
    if settings is None:
        raise OperationalError(f"run {found.run_id} has not begun: it has no checkpoint")
    cwd = Path(found.text("cwd"))
    where = next((each for each in (cwd, Path(found.text("repository") or cwd)) if each.is_dir()), Path.cwd())
    known = checkpoints.of_run(where, found.run_id, settings.run_uid)
    if not known:
        raise OperationalError(f"run {found.run_id} has no checkpoint in {where}: {_why_none(found, where)}")
    return Place(cwd=where, own=where == cwd, known=known)


def _why_none(found: RunFiles, where: Path) -> str:
    if git.top_level(where) is None:
        return "it is in no git repository"
    if (worktree := found.text("worktree")) and not Path(worktree).is_dir():
        return f"they were removed with its worktree {worktree}"
    return "its work has not begun"


def all_of(found: RunFiles, cwd: Path) -> list[Checkpoint]:
    """The run's checkpoints in the repository of `cwd`; none where its journal cannot be read."""
    try:
        settings = run_files.settings_of(found.directory)
    except LoopError:
        return []
    return list(checkpoints.of_run(cwd, found.run_id, settings.run_uid).values()) if settings is not None else []


def left_behind(cwd: Path) -> list[Checkpoint]:
    """The checkpoints of runs that are no more; none where it is not certain which runs there are."""
    run_uids = set()
    for directory in run_dir.directories(run_files.home_runs(), levels=2):
        try:
            settings = run_files.settings_of(directory)
        except (LoopError, OSError):
            return []
        if settings is not None:
            run_uids.add(settings.run_uid)
    return checkpoints.left_behind(cwd, run_uids)


def pair(found: RunFiles, since: str, until: str) -> tuple[Path, Checkpoint, Checkpoint]:
    """A directory of the repository, and the two checkpoints that are meant."""
    here = place(found)
    before = _which(found, here.known, since) if since else here.known[min(here.known)]
    after = _which(found, here.known, until) if until else here.known[max(here.known)]
    return here.cwd, before, after


def _which(found: RunFiles, known: Mapping[int, Checkpoint], word: str) -> Checkpoint:
    one = checkpoint.which(known, word)
    if one is None:
        raise UserError(
            f"run {found.run_id} has no checkpoint {values.shown(word)}: it has {checkpoint.numbers(known)}"
        )
    return one


@dataclass(frozen=True, kw_only=True)
class PutBack:
    """The outcome of `loop restore`."""

    run_id: str
    cwd: Path
    target: Checkpoint
    restored: Restored

    def line(self) -> str:
        """For the user."""
        names, links = self.restored.names, self.restored.submodules
        what = f"{tables.counted(len(names), 'file')} changed: {listed(names)}" if names else "nothing differs"
        left = f"; submodules that differ are left as they are: {listed(links)}" if links else ""
        return (
            f"run {self.run_id}: checkpoint {self.target.number} ({self.target.about}) is restored in {self.cwd}, "
            f"{what}{left}; HEAD and index are as they were"
        )

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "runId": self.run_id,
            "checkpoint": self.target.number,
            "commit": self.target.commit,
            "tree": self.target.tree,
            "directory": str(self.cwd),
            "files": list(self.restored.names),
            "submodules": list(self.restored.submodules),
        }


def put_back(found: RunFiles, number: str) -> PutBack:
    """Restores the checkpoint, while no root can resume the run. Raises `LoopError`; then nothing has changed."""
    here = place(found)
    target = _which(found, here.known, number)
    if not here.own:
        raise OperationalError(
            f"the directory of run {found.run_id} is gone: {found.text('cwd')}; "
            f"{run_files.resume_hint(found)}, or see git show --stat {target.ref}"
        )
    with run_lock.held_quietly(found.directory) as held:
        if not held:
            raise OperationalError(
                f"run {found.run_id} is running: loop stop {found.run_id} ends it; then restore, and resume it"
            )
        if others := elsewhere.neighbours(found.directory.parent, here.cwd, found.directory):
            raise OperationalError(f"run {', '.join(others)} is running in {here.cwd}: stop it first")
        try:
            done = restore(here.cwd, found.directory / tree.FOLDER, here.known, target)
        except InTheWayError as error:
            names = listed(error.names)
            if error.ignored:
                raise UserError(f"ignored files are in the way of checkpoint {number}: {names}; move them") from error
            raise UserError(
                f"checkpoint {number} would overwrite work that is in no commit and no checkpoint: {names}; "
                "commit it, or put it aside with git stash -u"
            ) from error
    return PutBack(run_id=found.run_id, cwd=here.cwd, target=target, restored=done)


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
