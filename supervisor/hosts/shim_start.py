"""The start of the program of a host. It forks the forkserver of the actors off, then imports the rest.

So the two import side by side, and the forkserver has nothing to import again that is there already. It must not have
home's words: neither stdin, which is the lifeline, nor stdout.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from supervisor.launcher_parts import OnEvent
from supervisor.launchers import Launcher, fork_early, forks, make_launcher

# The actors' imports, in pieces: the first actor starts between two of them, and imports the rest itself.
PRELOAD = ("zmq", "pykka", "loguru", "actors.actor_process", "actors.agent")


def run(begin: str) -> NoReturn:
    """The whole program. `begin`: home's first words in hexadecimal digits, "" = they come over stdin."""
    reader, writer = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    early = fork_early(PRELOAD, [reader, writer]) if forks() else None

    def make(on_event: OnEvent, runtime_dir: Path) -> Launcher:
        return make_launcher(on_event, runtime_dir=runtime_dir, preload=PRELOAD, early=early)

    from supervisor.hosts import shim

    sys.exit(shim.main(bytes.fromhex(begin), reader, writer, make))


if __name__ == "__main__":
    run(sys.argv[1] if sys.argv[1:] else "")
