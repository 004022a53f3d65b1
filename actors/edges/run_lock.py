"""The lock of a run's directory, or of `loop serve`: one root at a time, and where its console endpoint is.

The kernel releases it for a killed root. A look holds it for microseconds, and is shared.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from actors.edges import files
from actors.errors import BadFileError, UserError
from actors.text import ForeignJsonError, read_object


class RunLock(NamedTuple):
    """Held by the root process of a run for as long as it lives. `generation` counts the roots so far."""

    descriptor: int
    generation: int

    def release(self) -> None:
        """Releases the lock. Called once; the kernel does it for a killed root."""
        os.close(self.descriptor)


class Holder(NamedTuple):
    """The live root of a run. `endpoint`: its console endpoint; "" until it is known."""

    pid: int
    endpoint: str


def lock_run(directory: Path, endpoint_of: Callable[[int], str]) -> RunLock:
    """Locks the run for this process, or raises a `UserError` that names the holder and how to attach.

    `endpoint_of` gives the console endpoint of a generation: each root has its own.
    """
    return lock_directory(
        directory,
        endpoint_of,
        lambda holder: (
            f"run {directory.name} is already active in process {holder}: attach to it with loop shell "
            f"{directory.name}, or end it with loop stop {directory.name}"
        ),
    )


def lock_directory(directory: Path, endpoint_of: Callable[[int], str], refusal: Callable[[str], str]) -> RunLock:
    """As `lock_run`; `refusal` makes the error text from the holder's pid."""
    descriptor = files.open_own(directory / "root.lock")
    if not _take(descriptor):
        holder = str(_read_lock(descriptor).get("pid", "?"))
        os.close(descriptor)
        raise UserError(refusal(holder))
    generation = _number(_read_lock(descriptor), "generation") + 1
    content = json.dumps({"pid": os.getpid(), "endpoint": endpoint_of(generation), "generation": generation})
    # In one write, over the old content: losing the generation in between would restart the count at 1.
    os.pwrite(descriptor, content.encode().ljust(_LOCK_BYTES), 0)
    os.fsync(descriptor)
    return RunLock(descriptor=descriptor, generation=generation)


_LOCK_BYTES = 1024


def _take(descriptor: int) -> bool:
    """Tries the lock a few times: a process that only checks whether the run is active holds it for microseconds."""
    for pause_s in (0.001, 0.01, 0.05, None):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if pause_s is not None:
                time.sleep(pause_s)
        else:
            return True
    return False


def holder(directory: Path) -> Holder | None:
    """The live root that holds the run now; None when there is none, or no lock file."""
    try:
        descriptor = files.open_there(directory / "root.lock")
    except (BadFileError, OSError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: any number may check concurrently
    except BlockingIOError:
        known = _read_lock(descriptor)
        return Holder(pid=_number(known, "pid"), endpoint=str(known.get("endpoint", "")))
    else:
        return None
    finally:
        os.close(descriptor)


@contextmanager
def held_quietly(directory: Path) -> Iterator[bool]:
    """Locks roots out of the run without counting a generation. False: a root holds it."""
    descriptor = files.open_own(directory / "root.lock")
    try:
        yield _take(descriptor)
    finally:
        os.close(descriptor)


def is_active(directory: Path) -> bool:
    """Whether a live root holds the run now."""
    return holder(directory) is not None


def _read_lock(descriptor: int) -> dict[str, object]:
    try:
        return read_object(os.pread(descriptor, _LOCK_BYTES, 0))
    except ForeignJsonError:
        return {}


def _number(known: Mapping[str, object], key: str) -> int:
    found = known.get(key)
    return found if isinstance(found, int) and 0 < found < 1 << 31 else 0
