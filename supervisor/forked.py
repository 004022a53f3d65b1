"""What a fresh process becomes: an actor, by the request that its launcher was sent.

Runs in the actor's own process, before anything of the actor does. Its only words to the launcher go over the lifeline.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from supervisor.spawning import SpawnRequest

# What a forked process says to its launcher just before the entry is called; any other words are a reason.
RUNNING = b"\0"

_MOST_BYTES = 65_536  # of a reason
_EXIT_NOT_STARTED = 71


@dataclass(frozen=True, kw_only=True)
class Forked:
    """What a fresh process becomes. Returned up to `main`, so that an actor's stack has nothing of its parent."""

    request: SpawnRequest
    lifeline: socket.socket
    root_end: int | None  # of a socket pair whose other end the root holds; None: the lifeline is the root's already
    listen_fd: int | None


def become(forked: Forked) -> None:
    """The life of an actor process: it says that it runs, or why it cannot, then calls its entry."""
    request, lifeline = forked.request, forked.lifeline
    try:
        if request.log_path:
            _redirect_output(request.log_path)
        module, _, function = request.entry.partition(":")
        entry = getattr(importlib.import_module(module), function)
    except BaseException as error:  # a module may even exit
        traceback.print_exc()
        lifeline.sendall(f"{type(error).__name__}: {error}".encode()[:_MOST_BYTES])
        sys.exit(_EXIT_NOT_STARTED)
    lifeline.sendall(RUNNING)
    lifelines = (lifeline.detach(), *([] if forked.root_end is None else [forked.root_end]))
    entry(request.arguments, lifelines, forked.listen_fd)


def _redirect_output(path: Path) -> None:
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for standard in (1, 2):
        os.dup2(log, standard)
    os.close(log)
