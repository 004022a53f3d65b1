"""Opens, reads and makes files that others may have written. Any process; never blocks.

The rule: a file from outside is a regular file of bounded size with valid content; else one error line names the fault.
It is opened without waiting, and checked once it is open: a fifo and a link to /dev/zero are refused. That holds for
configuration, tasks, manifests, submissions and records alike, as an agent can write to each of them.

Whatever the umask, what we make in `~/.loop` is private to the user: directories 0700, files 0600.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from actors import text
from actors.errors import BadFileError, MissingFileError, UserError
from actors.text import ForeignJsonError

MOST_BYTES = 1_000_000  # of a configuration, manifest or record; real ones have a few thousand

# These are permanent faults of the file itself; a full disk is not.
_OF_THE_FILE = {
    errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENODEV, errno.ENOTDIR, errno.ENXIO, errno.EPERM,
    errno.EROFS,
}  # fmt: skip
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a fifo"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path) -> BinaryIO:
    """For reading; the caller closes it. Raises `BadFileError`."""
    return os.fdopen(_open(path, os.O_RDONLY, 0), "rb")


def open_own(path: Path, flags: int = os.O_RDWR) -> int:
    """A descriptor of a file that is private to the user, made when it is missing. Raises `BadFileError`, and OSError
    for a full disk.
    """
    descriptor = _open(path, flags | os.O_CREAT, 0o600)
    found = os.fstat(descriptor)
    if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) != 0o600:  # an earlier version's, or the umask
        os.fchmod(descriptor, 0o600)
    return descriptor


def open_there(path: Path) -> int:
    """As `open_own`, but for an existing file, which is not changed."""
    return _open(path, os.O_RDWR, 0)


def is_regular(path: Path) -> bool:
    """Whether the file exists; raises `BadFileError` when it is anything but a readable regular file."""
    try:
        open_regular(path).close()
    except MissingFileError:
        return False
    return True


def read_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The whole content. Raises `BadFileError`, or its subclass `MissingFileError` when there is no file."""
    with open_regular(path) as file:
        try:
            content = file.read(most_bytes + 1)
        except OSError as error:
            raise _refusal(path, error) from error
    if len(content) > most_bytes:
        raise BadFileError(path, f"it is larger than {most_bytes:,} bytes, the limit: shorten it")
    return content


def read_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """The whole content as UTF-8, without a byte order mark."""
    return decoded(path, read_bytes(path, most_bytes))


def decoded(path: Path, content: bytes) -> str:
    """The file's bytes as UTF-8, without a byte order mark. Raises `BadFileError`."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFileError(path, f"it is not UTF-8 text (byte {error.start}): write it in UTF-8") from error


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """Its single JSON value, read by `actors.text.read_json`: valid texts, bounded depth and numbers."""
    content = read_text(path, most_bytes)
    try:
        return text.read_json(content)
    except ForeignJsonError as error:
        raise BadFileError(path, f"it is not JSON: {error}") from error


def tail(path: Path, most_bytes: int) -> tuple[bytes, bool]:
    """Its last bytes, and whether more precede them. Raises `BadFileError`, and OSError for a failing disk."""
    with open_regular(path) as file:
        start = max(0, file.seek(0, os.SEEK_END) - most_bytes)
        file.seek(start)
        return file.read(most_bytes), start > 0


def replace(path: Path, content: bytes, *, lone: bool = False, durable: bool = True) -> None:
    """Replaces the file atomically by one that is private to the user; durable when it returns. Raises OSError.

    `lone`: there is one writer at a time, so the leftovers of a killed one are overwritten. Not `durable`: it outlives
    the process, and the machine some time later.
    """
    temporary = path.with_name(f".{path.stem}.tmp" if lone else f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:  # a full disk, say: what was written would take room for ever
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Makes creations, renames and removals in the directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def says_full(words: str) -> bool:
    """Whether these words say that a disk is full: the system's, which git repeats."""
    return any(os.strerror(number) in words for number in (errno.ENOSPC, errno.EDQUOT))


def make_private(directory: Path) -> None:
    """Makes the directory and its parents up to `.loop`, private to the user; checks existing ones.

    Raises `BadFileError` when others can write to one: they could add a configuration whose commands run.
    """
    line = [directory, *directory.parents]
    top = next((place for place in line if place.name == ".loop"), directory)
    top.parent.mkdir(parents=True, exist_ok=True)
    for place in reversed(line[: line.index(top) + 1]):
        try:
            place.mkdir(mode=0o700)
            place.chmod(0o700)
        except FileExistsError:
            check_private(place)
        except OSError as error:
            raise _refusal(place, error) from error


def check_private(directory: Path) -> None:
    """Raises `BadFileError` unless the directory is missing, or is this user's and not writable by others."""
    try:
        found = directory.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refusal(directory, error) from error
    if not stat.S_ISDIR(found.st_mode):
        raise BadFileError(directory, f"it is {_kind(found.st_mode)}, and a directory is needed: move it away")
    if found.st_uid != os.geteuid():
        raise BadFileError(
            directory,
            f"it belongs to user {found.st_uid}, not to you ({os.geteuid()}): move it away, or set HOME",
        )
    if found.st_mode & 0o022:
        raise BadFileError(
            directory,
            "others can write to it, and could decide what runs here: check its content, "
            f"then chmod -R go-w {directory}",
        )


def _open(path: Path, flags: int, mode: int) -> int:
    try:
        # O_NONBLOCK: a fifo without a writer opens immediately, and is then recognised.
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)
    except OSError as error:
        raise _refusal(path, error) from error
    except ValueError as error:  # a NUL, or half a character
        raise BadFileError(repr(str(path)), f"it cannot be the name of a file: {error}") from error
    try:
        found = os.fstat(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise BadFileError(path, f"it is {_kind(found.st_mode)}, and a file is needed")
    return descriptor


def _kind(mode: int) -> str:
    return next((kind for test, kind in _KINDS if test(mode)), "a file")


def _refusal(path: Path, error: OSError) -> UserError | OSError:
    """The error to raise: a `BadFileError` when the file itself is at fault."""
    if isinstance(error, FileNotFoundError):
        return MissingFileError(path, "it does not exist")
    if error.errno == errno.EISDIR:
        return BadFileError(path, "it is a directory, and a file is needed")
    if error.errno in _OF_THE_FILE:
        return BadFileError(path, f"it cannot be opened: {os.strerror(error.errno or 0).lower()}")
    return error
