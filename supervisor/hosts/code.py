"""Our own code as a wheel, for hosts that do not have it, and the digest by which two installations are the same.

A host that is reached waits for the digest: what only a wheel needs is imported with it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

PACKAGES = ("actors", "shell", "supervisor")
NAME = "pairloop"
_SUFFIXES = (".py", ".toml", ".sql", ".typed")
_TOP = Path(__file__).parents[2]


def sources(top: Path = _TOP) -> Iterator[tuple[str, bytes]]:
    """Names and contents of our files, in their order. An editor's lock beside one is a link to nowhere."""
    cut = len(f"{top}/")
    for package in PACKAGES:
        for folder, folders, names in os.walk(top / package):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(names):
                if name.endswith(_SUFFIXES):
                    path = f"{folder}/{name}"
                    with suppress(FileNotFoundError):
                        yield path[cut:], Path(path).read_bytes()


@cache
def digest() -> str:
    """Of names and contents of all our files: 20 hex digits."""
    found = hashlib.sha256()
    for name, content in sources():
        found.update(f"{name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:20]


def wheel_name() -> str:
    """As pip needs it."""
    from importlib.metadata import distribution

    return f"{NAME}-{distribution(NAME).version}-py3-none-any.whl"


def wheel() -> bytes:
    """A wheel of this installation, an editable one included."""
    import io
    import zipfile
    from importlib.metadata import distribution

    info = distribution(NAME)
    folder = f"{NAME}-{info.version}.dist-info"
    entries = [
        *sources(),
        (f"{folder}/METADATA", (info.read_text("METADATA") or "").encode()),
        (f"{folder}/WHEEL", b"Wheel-Version: 1.0\nGenerator: loop\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        (f"{folder}/entry_points.txt", (info.read_text("entry_points.txt") or "").encode()),
    ]
    rows = [f"{name},sha256={_hash(content)},{len(content)}" for name, content in entries]
    entries.append((f"{folder}/RECORD", "\n".join([*rows, f"{folder}/RECORD,,", ""]).encode()))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return packed.getvalue()


def _hash(content: bytes) -> str:
    import base64

    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
