"""The queue of `loop serve`: `submission.json` in the directory of each run that waits for it or is in its hands.

`loop submit` writes it, also while nothing is serving; it goes when the run has ended or is stopped on purpose. So a
run goes on by itself after a reboot exactly as long as the file is there. Reads and writes files, in any process;
starts nothing. The environment is not in it, as that holds secrets: agents have the environment of `loop serve`.
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
from actors.edges import files, git, run_dir
from actors.edges.configuration import AgentConfiguration, read_configuration
from actors.errors import BadFileError, UserError
from actors.settings import Role, RunSettings

if TYPE_CHECKING:
    from supervisor.run_tree import RunSpec

FILE = "submission.json"
MOST_BYTES = 16 * values.MOST_TASK_BYTES  # a task whose every character is escaped, and the checks


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, checked. `begun`: the run's journal has it.

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
    """Lock, log and process records of `loop serve`: there is one for each home."""
    return home / ".loop" / "serve"


def submit(order: RunSpec, home: Path, manifest: Mapping[str, object]) -> int | None:
    """Durable when it returns. `manifest` is what the root knows of the run.

    Returns the pid of the `loop serve` that has been told, or None when there is none. Raises `UserError` when the
    run is active.
    """
    if (holder := run_dir.holder(order.directory)) is not None:
        raise UserError(
            f"run {order.run_id} is already active in process {holder.pid}: end it first with loop stop {order.run_id}"
        )
    # Nobody can be asked where a queued run ends; loop shell gives it more to do while it is active.
    submission = _encoded(
        Submission(
            submitted_at_ns=time.time_ns(),
            cwd=str(order.cwd),
            settings=replace(order.asked, interactive=False),
            begun=order.begun,
            session_ids=order.session_ids,
            workspace_name=order.workspace_name,
            carried_agents=order.carried_agents,
            allowed_sha256=order.allowed_sha256,
            tree_sha256=order.tree_sha256,
        )
    )
    # Before anything is written: a run that only half stands in the queue would be seen by nobody.
    whole = run_dir.encode_manifest({**(run_dir.read_manifest(order.directory) or {}), **manifest})
    files.replace(order.directory / "manifest.json", whole)
    run_dir.set_state(order.directory, "submitted", time.time_ns() // 1_000_000)
    files.replace(order.directory / FILE, submission)
    return _notify(home)


def queued(home: Path) -> list[Path]:
    """The directories of all submitted runs, first submitted first; those in the hands of `loop serve` included."""
    found = []
    for directory in run_dir.directories(run_dir.runs_root(home), levels=2):
        submission = read(directory)
        if submission is not None:
            found.append((submission.submitted_at_ns, directory))
    return [directory for _, directory in sorted(found)]


def read(directory: Path) -> Submission | None:
    """None when the run is not submitted, or its file is of another version: it stays where it is."""
    try:
        return msgspec.json.decode(files.read_bytes(directory / FILE, MOST_BYTES), type=Submission)
    except (BadFileError, OSError, ValueError, RecursionError):  # ValueError: msgspec's, and of text that is no UTF-8
        return None


def spec_of(directory: Path, submission: Submission, environment: dict[str, str], home: Path) -> RunSpec:
    """The order to run it here. Raises `UserError` when its place is gone, or the configuration is bad."""
    # Here, since all that a run needs is a second's work to import, and `loop status` only looks.
    from actors.adapters import BUILT_IN_NAMES
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
    """What it says beside the settings that it has not."""
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
    """The run's journal has its settings: a task that a person has changed since then must not be set back."""
    submission = read(directory)
    if submission is not None and not submission.begun:
        files.replace(directory / FILE, _encoded(replace(submission, begun=True)))


def withdraw(directory: Path) -> bool:
    """It does not go on by itself any more. False: it was not submitted. Durable when it returns."""
    try:
        (directory / FILE).unlink()
    except FileNotFoundError:
        return False
    files.sync_directory(directory)
    return True


def _encoded(submission: Submission) -> bytes:
    return msgspec.json.format(msgspec.json.encode(submission), indent=2) + b"\n"


def _notify(home: Path) -> int | None:
    """Wakes the `loop serve` of this home, whose notify socket takes datagrams. It looks by itself after a while."""
    holder = run_dir.holder(serve_directory(home))
    if holder is None:
        return None
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(b"look", holder.endpoint)
    return holder.pid
