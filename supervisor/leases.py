"""The lock of a run with the sockets' directory of its root: the first that a root takes, and the last that it leaves.

Any process. Imports little: what waits for nothing but the lock begins before a root imports the rest.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actors.edges import run_dir, run_lock
from actors.errors import LoopError
from supervisor import stale_processes
from supervisor.runtime_dirs import make_runtime, runtime_path, runtimes_of


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A locked directory of a run or of `loop serve`, and a directory for sockets that belongs to this root alone."""

    lock: run_lock.RunLock
    runtime: Path

    def release(self) -> None:
        """Releases the lock. Call it once, when no part of it is in use."""
        shutil.rmtree(self.runtime, ignore_errors=True)
        self.lock.release()


def lease_run(directory: Path) -> Lease:
    """Locks the run, and ends what a killed root has left of it. Raises `UserError` when another root holds it."""
    lock = run_lock.lock_run(directory, lambda generation: f"ipc://{control_path(runtime_path(directory, generation))}")
    try:
        stale_processes.kill(stale_processes.records_root(directory))
        return Lease(lock=lock, runtime=make_runtime(directory, lock.generation))
    except (LoopError, OSError):
        run_dir.forget_unbegun(directory)
        lock.release()
        raise


def clear(directory: Path, then: Callable[[], None]) -> list[int]:
    """Ends and removes what a killed root has left of a run, or of `loop serve`: processes, then sockets.

    The run can be resumed afterwards. `then` is called while the lock is still held. Returns the pids that were ended.
    Raises `UserError` when a root holds it.
    """
    lock = run_lock.lock_run(directory, lambda _generation: "")
    try:
        ended = stale_processes.kill(stale_processes.records_root(directory))
        for stale in runtimes_of(directory):
            shutil.rmtree(stale, ignore_errors=True)
        then()
        return ended
    finally:
        lock.release()


def control_path(runtime: Path) -> Path:
    """The socket of the root's consoles."""
    return runtime / "console.sock"
