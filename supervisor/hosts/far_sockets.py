"""Sockets on a host that lead to the bus of home: sshd, or `loop join`, makes them, and the shim takes its own away.

A link that dies in between leaves one that nobody serves. So each shim removes those of its user at its start.
"""

from __future__ import annotations

import re
import secrets
import socket
import stat
import time
from contextlib import suppress
from os import getuid
from pathlib import Path

AGE_S = 60.0  # a younger one may have a maker that has still to listen
_FOLDER = Path("/tmp")  # noqa: S108 - its maker makes it private
_NAME = re.compile(r"loop-[0-9a-f]{16}\.sock")


def far_socket() -> str:
    """A new path, which the shim takes into its own directory."""
    return str(_FOLDER / f"loop-{secrets.token_hex(8)}.sock")


def clear(folder: Path = _FOLDER, age_s: float = AGE_S) -> None:
    """Removes the sockets there that are ours by name and owner, and that nobody serves."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if _NAME.fullmatch(path.name):
                with suppress(OSError):
                    found = path.lstat()
                    is_ours = stat.S_ISSOCK(found.st_mode) and found.st_uid == getuid()
                    if is_ours and found.st_mtime + age_s <= time.time() and not _is_served(path):
                        path.unlink()


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        link.setblocking(False)  # one that cannot be told at once is served
        try:
            link.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True
