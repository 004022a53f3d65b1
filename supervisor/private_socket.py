"""The path of the router's socket: in a directory that only this user can open, and locked by one root.

Writes the lock; never binds.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from actors.errors import OperationalError, UserError

# sun_path holds 108 bytes on Linux and 104 on macOS, the last of them a zero.
MAX_PATH_BYTES = 107 if sys.platform == "linux" else 103


def socket_path(directory: Path) -> Path:
    """The socket's path in the directory, which is created if it is missing. Raises `UserError` for a bad one."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise UserError(
            f"{directory} must be accessible to you only, because commands pass through it: chmod 700 {directory}"
        )
    path = directory / "bus.sock"
    length = len(os.fsencode(path))
    if length > MAX_PATH_BYTES:
        raise UserError(
            f"{path} has {length} bytes, a socket's path at most {MAX_PATH_BYTES}: choose a shorter directory"
        )
    return path


def lock(path: Path) -> int:
    """Locks the socket's path. A second bind would silently take the socket over, as libzmq removes the path first."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OperationalError(f"{path.parent} is in use by another root: end it, or attach to it") from error
    return descriptor
