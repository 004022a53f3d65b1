"""The queue of `loop serve`: `submission.json` in the directory of each run that is queued or that it runs.

`loop submit` writes it, also while no `loop serve` runs. It is removed when the run has ended or the user stops it. So
a run resumes after a reboot exactly as long as the file exists. This module reads and writes files, in any process, and
starts nothing. The file does not hold the environment, because that has secrets: agents get the environment of `loop
serve`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from actors import values
from actors.edges import files, git, run_dir, run_lock
from actors.edges.agent_tables import AgentConfiguration
from actors.edges.configuration import read_configuration
from actors.errors import BadFileError, UserError
from actors.hosts import placed, recorded
from actors.settings import Role, RunSettings

if TYPE_CHECKING:
    from supervisor.run_tree import RunSpec

FILE = "submission.json"
MOST_BYTES = 16 * values.MOST_TASK_BYTES  # a task whose every character is escaped, and the checks


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request for a run. `begun`: the run's journal has it.

    An earlier version wrote null for settings that the journal has, and the agents and models beside them.
    """

    submitted_at_ns: int  # the queue's order
    cwd: str
    settings: RunSettings | None
    begun: bool = False
    worker: str = ""
    reviewer: str = ""
    paired: bool = True
    worker_model: str = ""
    reviewer_model: str = ""
    session_ids: dict[Role, str] = {}
    workspace_name: str = ""
    carried_agents: dict[str, AgentConfiguration] = {}  # as they were allowed; a repository's file is not read again
    allowed_sha256: str = ""
    tree_sha256: str = ""


def serve_directory(home: Path) -> Path:
    """The directory with lock, log and process records of `loop serve`, one per home."""
    return home / ".loop" / "serve"


def submit(spec: RunSpec, home: Path, manifest: Mapping[str, object]) -> int | None:
    """Queues the run, durably when it returns. `manifest` is the root's part of the manifest.

    Returns the pid of the notified `loop serve`, or None when none runs. Raises `UserError` when the run is active.
    """
    if (holder := run_lock.holder(spec.directory)) is not None:
        raise UserError(
            f"run {spec.run_id} is already active in process {holder.pid}: end it first with loop stop {spec.run_id}"
        )
    # A queued run has no user to ask at its end; `loop shell` gives it more tasks while it is active.
    submission = _encoded(
        Submission(
            submitted_at_ns=time.time_ns(),
            cwd=str(spec.cwd),
            settings=replace(spec.asked, interactive=False),
            begun=spec.begun,
            session_ids=spec.session_ids,
            workspace_name=spec.workspace_name,
            carried_agents=spec.carried_agents,
            allowed_sha256=spec.allowed_sha256,
            tree_sha256=spec.tree_sha256,
        )
    )
    # Before anything is written: no one would notice a run that is only half queued.
    whole = run_dir.encode_manifest({**(run_dir.read_manifest(spec.directory) or {}), **manifest})
    files.replace(spec.directory / "manifest.json", whole)
    run_dir.set_state(spec.directory, "submitted", time.time_ns() // 1_000_000)
    files.replace(spec.directory / FILE, submission)
    return _notify(home)


def queued(home: Path) -> list[Path]:
    """The directories of all submitted runs, first submitted first, including those that `loop serve` runs."""
    found = []
    for directory in run_dir.directories(run_dir.runs_root(home), levels=2):
        submission = read(directory)
        if submission is not None:
            found.append((submission.submitted_at_ns, directory))
    return [directory for _, directory in sorted(found)]


def read(directory: Path) -> Submission | None:
    """The run's submission. None when the run is not submitted, or when its file is of another version; that file
    stays.
    """
    try:
        return msgspec.json.decode(files.read_bytes(directory / FILE, MOST_BYTES), type=Submission)
    except (BadFileError, OSError, ValueError, RecursionError):  # ValueError: msgspec's, and of text that is no UTF-8
        return None


def spec_of(directory: Path, submission: Submission, environment: dict[str, str], home: Path) -> RunSpec:
    """The spec that runs the submission here. Raises `UserError` when its directory is gone, or the configuration is
    bad.
    """
    # Imported here: what a run needs takes a second to import, and `loop status` only reads.
    from actors.adapters import BUILT_IN_NAMES
    from supervisor.hosts import kept_moves
    from supervisor.run_tree import RunSpec

    cwd = Path(submission.cwd)
    if not cwd.is_dir():
        raise UserError(f"the run's directory {cwd} no longer exists")
    configuration = read_configuration(home, None, BUILT_IN_NAMES)  # the repository's was judged when it was submitted
    return RunSpec(
        key=f"{directory.parent.name}/{directory.name}",
        run_id=directory.name,
        repo_id=directory.parent.name,
        directory=directory,
        cwd=cwd,
        environment=environment,
        asked=submission.settings or _of_an_earlier_version(submission),
        begun=submission.begun or submission.settings is None,
        headless=True,
        places=placed(recorded(run_dir.read_manifest(directory) or {}), configuration.hosts),
        hosts=dict(configuration.hosts),
        moves=kept_moves.read(directory),
        configured={**configuration.agents, **submission.carried_agents},
        carried_agents=dict(submission.carried_agents),
        allowed_sha256=submission.allowed_sha256,
        repository=git.main_top_level(cwd) or cwd,
        tree=git.top_level(cwd) or cwd,
        tree_sha256=submission.tree_sha256,
        session_ids=submission.session_ids,
        workspace_name=submission.workspace_name,
        worktree=str(git.linked_worktree(cwd) or ""),
    )


def _of_an_earlier_version(submission: Submission) -> RunSettings:
    """The settings of a submission that an earlier version wrote, from the fields beside them."""
    return RunSettings(
        run_uid="",
        task="",
        needs_plan=False,
        worker=submission.worker,
        reviewer=submission.reviewer,
        paired=submission.paired,
        worker_model=submission.worker_model,
        reviewer_model=submission.reviewer_model,
    )


def begun(directory: Path) -> None:
    """Notes that the run's journal has its settings, so that a task which the user changes later is not set back."""
    submission = read(directory)
    if submission is not None and not submission.begun:
        files.replace(directory / FILE, _encoded(replace(submission, begun=True)))


def withdraw(directory: Path) -> bool:
    """Takes the run out of the queue, durably when it returns. False: it was not submitted."""
    try:
        (directory / FILE).unlink()
    except FileNotFoundError:
        return False
    files.sync_directory(directory)
    return True


def _encoded(submission: Submission) -> bytes:
    return msgspec.json.format(msgspec.json.encode(submission), indent=2) + b"\n"


def _notify(home: Path) -> int | None:
    """Wakes the `loop serve` of this home by a datagram to its notify socket. Else the server polls the queue."""
    holder = run_lock.holder(serve_directory(home))
    if holder is None:
        return None
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(b"look", holder.endpoint)
    return holder.pid
