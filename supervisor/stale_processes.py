"""Ends what a killed actor, launcher or root has left behind, by the process records from its lifetime.

Runs in the root, in the calling thread. It kills only a process whose pid and start time are those of a record, never
one that has reused the pid. Records are written by `actors.edges.processes.record`: by actors for their agents'
programs, by launchers for the actors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec

from actors.edges import files, processes
from actors.errors import BadFileError, MissingFileError

FORKSERVER, SPARE = "forkserver", "spare"  # beside the directories of the children, each of which begins with "of "


def records_root(runtime_dir: Path) -> Path:
    """The records that a root ends at its start: all of its predecessor."""
    return runtime_dir / "processes"


def records_directory(runtime_dir: Path, child: str) -> Path:
    """The directory for the process records of a child. The child's id may be any text."""
    return records_root(runtime_dir) / f"of {quote(child, safe='')}"


def left(directory: Path) -> list[int]:
    """The pids that `kill` would kill. Changes nothing."""
    return [record.pid for _, record in _records(directory) if record and _still_runs(record)]


def _still_runs(record: processes.ProcessRecord) -> bool:
    return processes.start_time(record.pid) == record.started and processes.is_running(record.pid)


def _records(directory: Path) -> Iterator[tuple[Path, processes.ProcessRecord | None]]:
    for path in sorted(directory.rglob(f"*{processes.RECORD_SUFFIX}")):
        try:
            yield path, msgspec.json.decode(files.read_bytes(path), type=processes.ProcessRecord)
        except MissingFileError:  # removed by its owner
            continue
        except BadFileError:  # not one of our records
            continue
        except (ValueError, RecursionError):  # emptied by a power cut, which ended its process as well
            yield path, None


def kill(directory: Path) -> list[int]:
    """Kills the trees of all processes that are recorded in `directory` or below it and still run; removes the records.

    Returns their pids. Call it only when no process writes records there: an actor has ended, or a root is starting and
    holds the lock of its runtime directory.
    """
    running = left(directory)  # first: one end causes others, and unreaped processes stay zombies
    for path, record in _records(directory):
        if record:
            processes.end_stale(record.pid, record.started)
        path.unlink(missing_ok=True)
    return running
