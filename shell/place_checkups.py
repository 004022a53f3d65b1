"""The checks of `loop doctor` for the places that a run needs: its files, its sockets, its ports. See checkups.py."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from actors.edges import environments
from actors.edges.scratch import scratch
from actors.errors import UserError
from shell.findings import Finding

if TYPE_CHECKING:
    from shell.checkups import Place

CONNECT_S = 10.0


def files(place: Place) -> Iterator[Finding]:
    """Checks that runs can write below ~/.loop. Does not create it."""
    folder = place.home / ".loop"
    there = next(each for each in (folder / "runs", folder, *folder.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"\0" * 4096)
            file.flush()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        yield Finding("places", "files", "problem", f"{there}: {why}", "make room there, or make it yours", blocks=True)
    else:
        yield Finding("places", "files", "ok", f"{folder} is writable", facts={"path": str(folder)})


def sockets(_place: Place) -> Iterator[Finding]:
    """Checks the directory for sockets: its path is short enough, and no other user can write to it."""
    from supervisor.private_socket import MAX_PATH_BYTES
    from supervisor.runtime_dirs import check_base, runtime_base, runtime_path

    base = runtime_base()
    longest = runtime_path(Path("any"), 999_999) / "console.sock"
    length = len(os.fsencode(longest))
    if length > MAX_PATH_BYTES:
        text = f"{longest} has {length} bytes, a socket's path at most {MAX_PATH_BYTES}"
        yield Finding("places", "sockets", "problem", text, "set XDG_RUNTIME_DIR to a shorter directory", blocks=True)
        return
    try:
        environments.check_open_files(environments.FILES_OF_A_ROOT)
        if base.exists():
            check_base(base)
        where = base if base.exists() else base.parent
        with scratch(where) as folder, closing(socket.socket(socket.AF_UNIX)) as probe:
            probe.bind(f"{folder}/s")
    except UserError as error:
        yield Finding("places", "sockets", "problem", str(error), blocks=True)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        hint = "set XDG_RUNTIME_DIR to a directory that you own"
        yield Finding("places", "sockets", "problem", f"{base}: {why}", hint, blocks=True)
    else:
        facts = {"path": str(base), "longest": length, "limit": MAX_PATH_BYTES}
        yield Finding("places", "sockets", "ok", f"{base}, paths of {length} bytes of {MAX_PATH_BYTES}", facts=facts)


def ports(_place: Place) -> Iterator[Finding]:
    """Checks that the bridge can listen on loopback."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=CONNECT_S).close()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        hint = "bring the loopback interface up (ip link set lo up), and allow its ports"
        yield Finding("places", "ports", "problem", f"127.0.0.1: {why}", hint, blocks=True)
    else:
        yield Finding("places", "ports", "ok", "127.0.0.1 accepts connections")
