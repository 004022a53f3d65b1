"""Finds and ends what a program of ours started, also what left its process tree. Blocks the calling thread.

Every process that descends from an agent's program has `MARK_VARIABLE` in its environment, with a value of that
program's own; what descends from a check has `CHECK_MARK_VARIABLE`. So a command that got a session of its own is found
when the program was killed and nothing else leads to it: while the owner lives on, nobody else would end it, and it
would work against the resumed session. macOS hides the environment of the system's own programs; what it hides is left
to `supervisor.stale_processes`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from actors.edges import processes

MARK_VARIABLE = "LOOP_AGENT_MARK"
CHECK_MARK_VARIABLE = "LOOP_CHECK_MARK"  # another one: a check that an agent's own `loop` runs stays that agent's

Identity = tuple[int, str]  # pid and start time: pids are used again


def identified(pids: Iterable[int]) -> set[Identity]:
    """Those of the processes that are there, with their start times."""
    return {(pid, started) for pid in pids if (started := processes.start_time(pid)) is not None}


def marked(mark: str, variable: str = MARK_VARIABLE) -> set[int]:
    """What runs with this mark; never the caller."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone meanwhile, or not ours to look at
            if process.environ().get(variable) == mark and processes.is_running(process.pid):
                found.add(process.pid)
    return found - {os.getpid()}


def sweep(family: Iterable[Identity], mark: str, timeout_s: float, variable: str = MARK_VARIABLE) -> None:
    """Kills the family and whatever bears the mark; returns when all are gone, or soon after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    for pid, started in family:
        processes.end_stale(pid, started)
    while (left := marked(mark, variable)) and time.monotonic() < deadline:
        for pid in left:
            processes.kill_tree(pid, timeout_s=max(0.0, deadline - time.monotonic()))
