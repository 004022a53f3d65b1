"""All runs of a home, as their files show them. It only reads, and reads a file again only after a change. So 200 ended
runs cost one scan of the directory.

Belongs to the thread that created it. The spending of an ended run is in its journal, which takes longest to read. So
each look reads some journals, until all are known.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from actors.clock import wall_ms
from actors.edges import files, run_dir, run_lock
from actors.edges.processes import RECORD_SUFFIX
from actors.errors import BadFileError, LoopError
from shell import run_files
from shell.dashboard.view import RunView, in_order, repository_name, since_ms, with_report
from shell.run_files import RunFiles
from supervisor import stale_processes
from supervisor.control.protocol import Report
from supervisor.run_tree import launch_name

TAIL_BYTES = 64 * 1024
JOURNALS_S = 0.2  # time per look for the journals of ended runs

Stamp = tuple[int, ...]  # of files: changed when they have


@dataclass
class _Known:
    """The data of a run, and the stamps of its files at that time."""

    stamp: Stamp | None = None
    view: RunView | None = None
    lock: Stamp = ()  # of a root.lock without a holder
    journal: Stamp = ()
    report: Report | None = None
    trouble: str = ""
    damage: str = ""  # why its files are of no use


@dataclass
class Disk:
    """The files of a home. `endpoints`: the live runs' control servers by key, as of the last look."""

    runs_in: Path
    endpoints: dict[str, str] = field(default_factory=dict)
    _known: dict[Path, _Known] = field(default_factory=dict)

    def look(self, *, journals_s: float = JOURNALS_S) -> list[RunView]:
        """Live runs first, then the newest. Reads journals for at most about `journals_s`."""
        self.endpoints = {}
        directories = set(_run_directories(self.runs_in))
        self._known = {each: self._known.get(each, _Known()) for each in directories}
        views = in_order(view for each in directories if (view := self._view(each)) is not None)
        until = time.monotonic() + journals_s
        return [self._with_journal(view, read=time.monotonic() < until) for view in views]

    def owners(self) -> dict[int, tuple[str, str]]:
        """The agents of live runs: pid → key and role, by loop's process records."""
        found: dict[int, tuple[str, str]] = {}
        for key in self.endpoints:
            for role in run_files.ROLES:
                place = stale_processes.records_directory(self.runs_in / key, launch_name(key, role))
                with suppress(OSError):
                    for path in place.iterdir():
                        if path.suffix == RECORD_SUFFIX and path.stem.isdigit():
                            found[int(path.stem)] = (key, role)
        return found

    def _view(self, directory: Path) -> RunView | None:
        known = self._known[directory]
        holder = None
        lock = stamp(directory / "root.lock")
        if lock != known.lock or not lock:
            # Taking a lock changes the file: an unheld lock that has not changed is still unheld.
            holder = run_lock.holder(directory)
            known.lock = lock if holder is None else ()
        now = stamp(directory / "manifest.json", directory / "transcript.jsonl")
        if now != known.stamp:
            seen = run_dir.look(directory)
            known.stamp = now
            known.damage = seen.damage
            known.view = None
            if seen.damage or seen.manifest is not None:
                state = {"state": "damaged"} if seen.damage else {}
                known.view = _of_manifest(directory, {**(seen.manifest or {}), **state})
        view = known.view
        if holder is None:
            return view
        view = view or _of_manifest(directory, {})  # it has just begun
        self.endpoints[view.key] = holder.endpoint
        return replace(view, running=True, root_pid=holder.pid)

    def _with_journal(self, view: RunView, *, read: bool) -> RunView:
        if view.running:
            return view
        directory = Path(view.directory)
        known = self._known[directory]
        if known.damage:
            return replace(view, trouble=known.damage)
        journal = journal_stamp(directory)
        if read and journal != known.journal:
            known.journal, known.report, known.trouble = journal, None, ""
            try:
                found = RunFiles(directory=directory, manifest=run_dir.read_manifest(directory) or {}, pid=0)
                known.report = run_files.report(found, wall_ms())
            except LoopError as error:
                known.trouble = str(error)
        view = replace(view, trouble=known.trouble)
        return view if known.report is None else with_report(view, known.report)


def _run_directories(runs_in: Path) -> Iterator[Path]:
    yield from run_dir.directories(runs_in, levels=2)


def stamp(*paths: Path) -> Stamp:
    """The stamp of these files; empty when none exists."""
    found: list[int] = []
    for path in paths:
        with suppress(OSError):
            state = path.stat()
            found += [state.st_mtime_ns, state.st_size, state.st_ino]
    return tuple(found)


def journal_stamp(directory: Path) -> Stamp:
    """The stamp of the run's journal."""
    return stamp(directory / "journal.sqlite", directory / "journal.sqlite-wal")


def _of_manifest(directory: Path, manifest: run_dir.Manifest) -> RunView:
    last = next(iter(transcript_tail(directory, 1)), {})
    return RunView(
        key=f"{directory.parent.name}/{directory.name}",
        run_id=directory.name,
        repository=repository_name(directory.parent.name),
        directory=str(directory),
        cwd=str(manifest.get("cwd") or ""),
        state=str(manifest.get("state") or "working"),
        running=False,
        mode=str(manifest.get("mode") or ""),
        created_at_ms=since_ms(manifest.get("createdAt")),
        updated_at_ms=since_ms(manifest.get("updatedAt")),
        tmux_session=str(manifest.get("tmuxSession") or ""),
        agents=_by_role(manifest.get("agents")),
        sessions=_by_role(manifest.get("sessions")) or run_dir.session_ids(manifest),
        last_event=_words(last),
        last_event_at_ms=since_ms(last.get("at")),
    )


def _by_role(found: object) -> dict[str, str]:
    return {role: str(found[role]) for role in run_files.ROLES if found.get(role)} if isinstance(found, dict) else {}


def _words(line: Mapping[str, object]) -> str:
    """A short text for a line of the transcript."""
    if "from" in line:
        return f"mail from {line['from']} to {line.get('to')}: {line.get('message')}"
    return " ".join(str(value) for key, value in line.items() if key not in ("at", "kind"))


def transcript_tail(directory: Path, count: int) -> list[dict[str, object]]:
    """The last lines of transcript.jsonl, however long it is."""
    found: list[dict[str, object]] = []
    for line in reversed(tail_lines(directory / "transcript.jsonl")):
        entry = run_dir.transcript_entry(line)
        if entry is not None:
            found.append(entry)
        if len(found) == count:
            break
    return found[::-1]


def tail_lines(path: Path, most_bytes: int = TAIL_BYTES) -> list[str]:
    """The whole lines at the end of a file; none for a missing file."""
    try:
        content, is_cut = files.tail(path, most_bytes)
    except (BadFileError, OSError):
        return []
    return content.decode(errors="replace").split("\n")[1 if is_cut else 0 : -1]


def log_of(directory: Path) -> Iterable[str]:
    """The end of the run's log, line by line."""
    return (f"{line}\n" for line in tail_lines(directory / "log"))
