"""Ends what a program of the tests leaves behind when it is killed: `loop serve`, agents, tmux servers.

`watch` starts a process with a session of its own, which no signal to the program's group reaches. It waits for the
program's end, however that comes, and kills what carries the program's mark. So a killed pytest, or one that `timeout`
ends, leaves nothing.

A program that such a program starts belongs to the outer one: the mark is inherited.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

from actors.edges import marked_processes, processes

ROOT = Path(__file__).parents[2]
# In the environment of everything that the program starts. No name of ours: those are taken out of a world.
VARIABLE = "PAIRLOOP_TESTS_MARK"
SWEEP_S = 20.0
# The shell has ended when this returns, so the reaper is not among the program's children, which tests may count.
_DETACHED = 'nohup "$@" >/dev/null </dev/null &'


def watch() -> None:
    """Whatever this process starts from now on ends with it. Does nothing where an outer program is watched."""
    if VARIABLE in os.environ:
        return
    mark = uuid.uuid4().hex
    program = (sys.executable, "-m", "tests.lab.reaper", str(os.getpid()), mark)
    subprocess.run(["sh", "-c", _DETACHED, "sh", *program], cwd=ROOT, check=True, start_new_session=True)
    os.environ[VARIABLE] = mark


def inherited() -> dict[str, str]:
    """The mark, for an environment that is made from nothing."""
    return {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}


def main(pid: int, mark: str) -> None:
    """Waits for the end of the process, then kills what carries the mark."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes.wait_ended(pid)
    marked_processes.sweep((), mark, SWEEP_S, VARIABLE)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
