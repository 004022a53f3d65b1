"""The run to resume, by its id, a session id or LOOP_RUN_ID. Reads manifests; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from actors import hosts, values
from actors.edges import environments, git, run_dir, worktree
from actors.edges.journal import FILE_NAME as JOURNAL
from actors.edges.journal import RUN_STREAM, has_events
from actors.errors import OperationalError
from actors.settings import Role
from shell import elsewhere
from shell.exits import CWD_IS_GONE
from shell.options import Options

if TYPE_CHECKING:
    from supervisor.hosts.kept_moves import KeptMove


@dataclass(frozen=True)
class Resumed:
    """The run to resume: its directory, or only a session id of no known run."""

    directory: Path | None = None
    session_id: str = ""

    @cached_property
    def manifest(self) -> run_dir.Manifest:
        """The manifest at the first access; empty when there is none."""
        return (run_dir.read_manifest(self.directory) if self.directory is not None else None) or {}

    @property
    def places(self) -> tuple[str, ...]:
        """Where its agents worked, as `--place` names it."""
        return hosts.recorded(self.manifest)

    def moves(self, typed: Sequence[str]) -> dict[Role, KeptMove]:
        """The moves that were under way when it ended, but for the actors that have been given a place since."""
        if self.directory is None:
            return {}
        from supervisor.hosts import kept_moves

        return kept_moves.read(self.directory, without=[each.partition("=")[0].strip() for each in typed])

    @cached_property
    def begun(self) -> bool:
        """Whether there is a journal to resume from. A run of the original has none, nor has one that never started."""
        return self.directory is not None and has_events(self.directory / JOURNAL, RUN_STREAM)


def find_resumed(options: Options, repo_runs: Path, wanted_id: str | None) -> Resumed:
    """The run that the options or LOOP_RUN_ID name. Raises `UserError` for an unknown or damaged run."""
    is_single = "only" in options.typed
    if options.run_id:
        directory = repo_runs / run_dir.check_run_id(options.run_id)
        run_dir.check_whole(directory)
        if run_dir.read_manifest(directory) is None:
            moved = elsewhere.moved_run(repo_runs, options.run_id, current_directory())
            if moved is None:
                raise elsewhere.unknown_run(repo_runs, options.run_id)
            run_dir.check_whole(moved)
            return Resumed(moved)
        return Resumed(directory)
    if options.session:
        if run_dir.RUN_ID.fullmatch(options.session):
            run_dir.check_whole(repo_runs / options.session)
        found = None if is_single else run_dir.find_run(repo_runs, options.session)
        if found:
            run_dir.check_whole(found)
        if found is None and not is_single and (error := elsewhere.known_session(repo_runs, options.session)):
            raise error
        return Resumed(found) if found else Resumed(session_id=options.session)
    if wanted_id is not None:
        run_dir.check_whole(repo_runs / wanted_id)
    if wanted_id is not None and run_dir.read_manifest(repo_runs / wanted_id) is not None:
        return Resumed(repo_runs / wanted_id)
    return Resumed()


def own_place(resumed: Resumed) -> Path | None:
    """The directory in which a resumed run has worked so far. The agents' work is there, and so are their sessions:
    Claude Code keeps them by directory.
    """
    place = resumed.manifest.get("cwd") if resumed.begun else None
    return Path(place) if isinstance(place, str) and place else None


def is_in_worktree(own: Path, cwd: Path, directory: Path | None) -> bool:
    """Whether `own` was in the run's worktree, which can then be created again."""
    top = git.main_top_level(cwd)
    return top is not None and directory is not None and worktree.name_of(top, directory.name) in own.parts


def lives_in_tmux(options: Options) -> bool:
    """Whether the run to resume had its agents' TUIs in a tmux session, and can have them there again."""
    if options.headless or not (options.run_id or options.session):
        return False
    repo_runs = run_dir.runs_root(environments.home()) / git.repository_id(current_directory())
    return find_resumed(options, repo_runs, None).manifest.get("workspace") is True


def wanted_id() -> str | None:
    """`LOOP_RUN_ID`, checked; None when it is not set."""
    wanted = environments.own(environments.RUN_ID).get(environments.RUN_ID, "").strip()
    return run_dir.check_run_id(wanted) if wanted else None


def current_directory() -> Path:
    """The current directory. Raises `LoopError` when it is gone or its name is no text."""
    try:
        found = Path.cwd()
    except FileNotFoundError as error:
        raise OperationalError(CWD_IS_GONE) from error
    values.text("the current directory's name", str(found))
    return found
