"""Finds and ends what a program of ours started, even outside its process tree. Blocks the calling thread.

Every descendant of an agent's program has `MARK_VARIABLE` in its environment, with a value unique to that program.
Descendants of a check have `CHECK_MARK_VARIABLE`. So a command with a session of its own is found even after the
program was killed. Otherwise it would run on against the resumed session, as long as the owner lives. macOS hides the
environment of the system's own programs; `supervisor.stale_processes` ends those.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from actors.edges import processes

MARK_VARIABLE = "LOOP_AGENT_MARK"
CHECK_MARK_VARIABLE = "LOOP_CHECK_MARK"  # separate: a check that an agent's own `loop` runs belongs to that agent

Identity = tuple[int, str]  # pid and start time: pids are reused


def identified(pids: Iterable[int]) -> set[Identity]:
    """The live processes among these, with their start times."""
    return {(pid, started) for pid in pids if (started := processes.start_time(pid)) is not None}


def marked(mark: str, variable: str = MARK_VARIABLE) -> set[int]:
    """The running processes with this mark, except the caller."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone meanwhile, or not readable for us
            if process.environ().get(variable) == mark and processes.is_running(process.pid):
                found.add(process.pid)
    return found - {os.getpid()}


def marked_since(mark: str, moment_s: float) -> set[int]:
    """Those that were started after this moment, on the scale of `begun_s`."""
    found = set()
    for pid in marked(mark):
        with suppress(psutil.Error, OSError):
            if psutil.Process(pid).create_time() > moment_s:
                found.add(pid)
    return found


def begun_s(pid: int) -> float:
    """When the process was started; 0 when it is gone. The system's own scale, up to a second beside Unix time."""
    with suppress(psutil.Error, OSError):
        return float(psutil.Process(pid).create_time())
    return 0.0


def sweep(family: Iterable[Identity], mark: str, timeout_s: float, variable: str = MARK_VARIABLE) -> None:
    """Kills the family and all marked processes; returns when all are gone, or soon after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    for pid, started in family:
        processes.end_stale(pid, started)
    while (left := marked(mark, variable)) and time.monotonic() < deadline:
        for pid in left:
            processes.kill_tree(pid, timeout_s=max(0.0, deadline - time.monotonic()))
