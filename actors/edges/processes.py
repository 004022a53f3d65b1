"""Processes as the system knows them: identity, descendants, ending them all. Blocks the calling thread; any thread.

The one module that knows what differs between Linux and macOS. It never uses `killpg`: coding agents start shells and
test runners in sessions of their own. It never collects an exit status: the parent of a process waits for it.

A tree is: the process, its descendants, and every member of a session that one of these leads. The last part finds
orphans of parents that died early. It misses daemons, which enter a new session by a second fork. A daemon is found
where the tree's top is a child subreaper (Linux only), or by its record (`record`).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from actors.edges import files
from actors.errors import BadFileError

KILL_TIMEOUT_S = 2.0  # a killed process is gone within milliseconds, unless it is in an uninterruptible sleep
_STOP_TIMEOUT_S = 1.0  # a process stops as soon as its system call is over


def start_time(pid: int) -> str | None:
    """The second half of a process's identity, besides its pid. Compare for equality only. None: no such process."""
    row = _row(pid)
    return None if row is None else f"{_EPOCH}{row.started}"


def is_running(pid: int) -> bool:
    """Whether the process exists and has not ended. A zombie does not run."""
    row = _row(pid)
    return row is not None and not row.ended


def tree(pid: int) -> set[int]:
    """The running processes of the tree of `pid`, except `pid` and the caller. Works after `pid` has ended, too."""
    return _members(_table(), pid) - {pid}


def kill_tree(pid: int, *, itself: bool = True, timeout_s: float = KILL_TIMEOUT_S) -> set[int]:
    """Kills the tree of `pid`, and waits until it is gone. Returns what still runs: mostly other users' processes.

    `itself=False` spares `pid`: an actor ends its own tree this way before it ends.
    """
    deadline = time.monotonic() + timeout_s
    spared = set() if itself else {pid}
    while victims := _stop_tree(pid, spared):
        for victim in victims:
            send(victim, signal.SIGKILL)
        for victim in victims:
            wait_ended(victim, deadline - time.monotonic())
        if time.monotonic() >= deadline:
            break
    return _members(_table(), pid) - spared


def end_stale(pid: int, started: str) -> bool:
    """Kills the tree of `pid` if that process started at `started`. False: it is another process, or gone."""
    if start_time(pid) != started:
        return False
    kill_tree(pid)
    return True


def send(pid: int, number: int) -> bool:
    """Sends a signal. False: the process is gone, or another user's."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


# --- records ------------------------------------------------------------------------------------------------


RECORD_SUFFIX = ".process"  # of the files of `record`, which nothing else in a run's directory has


class ProcessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The file format for a process that must not outlive its actor."""

    pid: int
    started: str


def record(directory: Path, pid: int) -> Path | None:
    """Writes the identity of `pid` to a file of its own in `directory`, which is made. None: the process is gone, or
    the write failed. A record is only a second safety net, so its failure is no error.

    `supervisor.stale_processes.kill` kills what is recorded and removes the file. Stale records are harmless: the
    identity of an ended process never recurs.
    """
    started = start_time(pid)
    if started is None:
        return None
    path = directory / f"{pid}{RECORD_SUFFIX}"
    unfinished = path.with_suffix(".unfinished")  # a reader sees a whole record or none
    try:
        files.make_private(directory)
        descriptor = files.open_own(unfinished, os.O_WRONLY | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(ProcessRecord(pid=pid, started=started)))
        unfinished.replace(path)
    except (OSError, BadFileError):
        return None
    return path


# --- the process table --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    parent: int
    session: int
    ended: bool
    moves: bool  # it runs or may wake up; neither stopped nor ended
    started: str


def _table() -> dict[int, _Row]:
    return {pid: row for pid in _pids() if (row := _row(pid)) is not None}


def _members(table: dict[int, _Row], pid: int) -> set[int]:
    """The running processes of the tree of `pid`, and `pid` itself; never the caller."""
    members = {pid}
    while found := {p for p, r in table.items() if r.parent in members or r.session in members} - members:
        members |= found
    return {p for p in members - {os.getpid()} if p in table and not table[p].ended}


def _stop_tree(pid: int, spared: set[int]) -> set[int]:
    """Stops (SIGSTOP) everything in the tree, and returns it. A stopped process cannot fork, so none escapes.

    Scans until all processes found are seen stopped and a further scan finds no new one. A fork in progress completes
    before the signal (Linux since 4.19). Its child may be missing in the same scan.
    """
    stopped: set[int] = set()
    still = True
    patience_until = time.monotonic() + _STOP_TIMEOUT_S
    while True:
        table = _table()
        members = _members(table, pid) - spared
        fresh = {p for p in members - stopped if send(p, signal.SIGSTOP)}
        stopped |= fresh
        if not fresh and (still or time.monotonic() >= patience_until):
            return stopped & members
        still = not any(table[p].moves for p in members & stopped)


if sys.platform == "linux":
    HAS_SUBREAPER = True
    _PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

    # psutil computes a process's start from the wall clock, and the result moves by a second when that is adjusted. The
    # ticks since boot never change; the boot id is included because records outlive a reboot.
    _EPOCH = Path("/proc/sys/kernel/random/boot_id").read_text().strip() + "/"

    def become_subreaper() -> bool:
        """Makes this process the parent of every descendant whose own parent dies. False where unsupported.

        Holds until this process ends; children do not inherit it.
        """
        import ctypes  # few processes need it

        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)

    def wait_ended(pid: int, timeout_s: float | None = None) -> bool:
        """Waits until a process, child or not, has ended, without taking its exit status. False: it still runs."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            poller = select.poll()
            poller.register(handle, select.POLLIN)
            return bool(poller.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000))
        finally:
            os.close(handle)

    def children() -> set[int]:
        """The children of this process, adopted and ended ones included. Reads one file per thread, not /proc."""
        threads = Path("/proc/self/task").iterdir()
        try:
            # Safe for one's own children only: they stay listed until we ourselves have waited for them.
            return {int(pid) for thread in threads for pid in (thread / "children").read_text().split()}
        except OSError:  # a kernel built without it
            return {pid for pid, row in _table().items() if row.parent == os.getpid()}

    def thread_count() -> int:
        """The threads of this process, those of libraries included."""
        return sum(1 for _ in Path("/proc/self/task").iterdir())

    def _pids() -> list[int]:
        return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]

    def _row(pid: int) -> _Row | None:
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None
        fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may hold blanks and brackets; proc(5)
        return _Row(
            parent=int(fields[1]),
            session=int(fields[3]),
            ended=fields[0] in b"ZX",
            moves=fields[0] in b"RS",  # not D either: it cannot wake up by itself
            started=fields[19].decode(),
        )

else:
    import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types

    HAS_SUBREAPER = False
    _EPOCH = ""

    def become_subreaper() -> bool:
        """Returns False: the system does not support it."""
        return False

    def wait_ended(pid: int, timeout_s: float | None = None) -> bool:
        """Waits until a process, child or not, has ended, without taking its exit status. False: it still runs."""
        if not is_running(pid):
            return True
        exits = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        with contextlib.closing(select.kqueue()) as queue:
            try:
                return bool(queue.control([exits], 1, None if timeout_s is None else max(0.0, timeout_s)))
            except ProcessLookupError:
                return True

    def children() -> set[int]:
        """The children of this process, ended ones included."""
        return {pid for pid, row in _table().items() if row.parent == os.getpid()}

    def thread_count() -> int:
        """The threads of this process, those of libraries included."""
        return int(psutil.Process().num_threads())

    def _pids() -> list[int]:
        return list(psutil.pids())

    def _row(pid: int) -> _Row | None:
        try:
            process = psutil.Process(pid)
            status = process.status()
            return _Row(
                parent=process.ppid(),
                session=os.getsid(pid),
                ended=status == psutil.STATUS_ZOMBIE,
                moves=status not in (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED),
                started=f"{process.create_time():.3f}",
            )
        except (psutil.Error, OSError):
            return None
