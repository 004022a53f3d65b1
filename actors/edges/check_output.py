"""Keeps what a check prints in a file of its own: the beginning, and the end of a long output. Bounded in bytes.

A full disk ends the file, not the check. `make_room` bounds the number of files in the folder.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from actors.edges import files
from actors.errors import UserError

HEAD_BYTES = 1_000_000
TAIL_BYTES = 200_000
MOST_FILES = 64


def make_room(folder: Path, most_files: int = MOST_FILES) -> None:
    """Makes the folder, private to the user, and removes the oldest files of it. Raises OSError."""
    files.make_private(folder)
    found = sorted((each for each in folder.iterdir() if each.is_file()), key=lambda each: each.stat().st_mtime)
    for each in found[: max(0, len(found) - most_files + 1)]:
        each.unlink(missing_ok=True)


class CheckOutput:
    """One file. `path` is "" when it could not be made. Belongs to one thread."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self.path = ""
        self._file: int | None = None
        self._written = 0
        self._tail = b""
        self._left_out = 0
        if folder is None:
            return
        with suppress(OSError, UserError):
            make_room(folder)
            self._file = files.open_own(folder / name, os.O_WRONLY | os.O_TRUNC)
            self.path = str(folder / name)

    def add(self, data: bytes) -> None:
        """Adds what was printed."""
        room = max(0, HEAD_BYTES - self._written)
        self._write(data[:room])
        rest = self._tail + data[room:]
        self._tail = rest[-TAIL_BYTES:]
        self._left_out += len(rest) - len(self._tail)

    def close(self) -> None:
        """The file is whole."""
        if self._left_out:
            self._write(f"\n[{self._left_out:,} bytes are left out here]\n".encode())
        self._write(self._tail)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, data: bytes) -> None:
        if self._file is None or not data:
            return
        try:
            self._written += os.write(self._file, data)
        except OSError:
            os.close(self._file)
            self._file = None
