"""Folders for a moment: they go with their block, and those of killed processes go when the next one is made there.

`tempfile` alone leaves a folder behind when its process is killed. Here the process holds a lock on its folder, which
the kernel takes away with it. So the next process that makes a folder of the kind sees which ones nobody uses any more.
Only folders of this user are touched.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "loop-scratch-"


class Scratch:
    """One folder, private to the user. `prefix`: its kind; the folders of a kind in `parent` are cleared together."""

    def __init__(self, parent: Path, prefix: str = PREFIX) -> None:
        clear(parent, prefix)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            if (held := _lock(self.path)) is not None:
                self._held = held
                return  # else another process took it for an abandoned one, in between

    def close(self) -> None:
        """Removes it. May be called twice."""
        if self._held >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._held)
            self._held = -1


@contextmanager
def scratch(parent: Path, prefix: str = PREFIX) -> Iterator[Path]:
    """A folder for the block. See `Scratch`."""
    found = Scratch(parent, prefix)
    try:
        yield found.path
    finally:
        found.close()


def clear(parent: Path, prefix: str = PREFIX) -> None:
    """Removes the folders of that kind that no process holds."""
    with suppress(OSError):
        for path in list(parent.glob(f"{prefix}*")):
            if path.is_symlink() or not path.is_dir() or path.stat().st_uid != os.getuid():
                continue
            if (held := _lock(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(held)


def _lock(path: Path) -> int | None:
    """A descriptor that holds the folder. None: another process does, or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir() and os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
