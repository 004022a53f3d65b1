"""Where the sockets of a root are: a short and private directory of each root, below one of the user. Any process."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from actors.edges import environments
from actors.errors import UserError

# A socket's path has room for 107 bytes, 103 on macOS, whose own temporary directory has 49.
LONGEST_BASE = 60


def runtime_path(held: Path, generation: int) -> Path:
    """A directory of this root alone, so that an actor of a killed predecessor does not find our socket under its old
    name. `realpath`: a link to itself is a name like any other.
    """
    import hashlib  # the program of a host has no such directory

    stem = hashlib.sha256(os.path.realpath(held).encode()).hexdigest()[:10]
    return runtime_base() / f"{stem}-{generation}"


def make_runtime(held: Path, generation: int) -> Path:
    """Creates the directory, and removes those of predecessors. This process holds the lock of `held`."""
    path = runtime_path(held, generation)
    make_base()
    for stale in runtimes_of(held):
        shutil.rmtree(stale, ignore_errors=True)
    path.mkdir(mode=0o700)
    return path


def runtimes_of(held: Path) -> list[Path]:
    """The existing runtime directories of all roots that have ever held it."""
    path = runtime_path(held, 0)
    return sorted(path.parent.glob(f"{path.name.rpartition('-')[0]}-*"))


def check_base(base: Path) -> None:
    """Raises `UserError` when other users could replace our sockets by theirs."""
    status = base.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise UserError(
            f"{base} must be yours, and not writable by others, because commands pass through it: remove it"
        )


def runtime_base() -> Path:
    """The directory for sockets: short, private, gone after a reboot. A socket's path has room for about 100 bytes."""
    given, usual = environments.own("XDG_RUNTIME_DIR").get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()
    if given and len(given) < LONGEST_BASE and os.access(given, os.W_OK):
        base = given
    else:
        base = usual if len(usual) < LONGEST_BASE else "/tmp"  # noqa: S108 - what we create in it is private
    return Path(base) / f"loop-{os.getuid()}"


def make_base() -> Path:
    """Creates the directory of this user if it is missing. Raises `UserError` when it is not private."""
    base = runtime_base()
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_base(base)
    return base
