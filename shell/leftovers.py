"""Leftovers of dead runs: finds them, and cleans them up on request.

A run is dead when no root holds its lock; a live one is never touched. Processes are killed by pid and start time
(supervisor/stale_processes.py), under the run's lock, so that no root resumes the run meanwhile. The run itself stays,
and can be resumed.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from actors.clock import wall_ms
from actors.edges import processes, run_dir, run_lock
from actors.errors import OperationalError
from actors.run_states import FINAL_STATES
from shell.checkups import Place
from shell.run_files import resume_command
from supervisor import stale_processes, submissions
from supervisor.leases import clear
from supervisor.runtime_dirs import runtime_base, runtimes_of

# A starting root creates its directory first, and its lock in there a moment later.
YOUNG_S = 60.0
CALL_S = 1.0


@dataclass(frozen=True)
class Leftover:
    """One leftover. `clean` removes it and returns what was done; raises `LoopError` when its owner is alive."""

    subject: str
    text: str
    clean: Callable[[], str]
    note: bool = False  # only reported: not ours to clean


def find(place: Place) -> list[Leftover]:
    """All leftovers. Blocks for as long as tmux takes."""
    held = _held(place.home)
    return [*_runs(place.home, held), *_stray_sockets(held), *_sessions(place, held)]


def _held(home: Path) -> dict[Path, bool]:
    """Every run's directory, and the one of `loop serve`, each with whether a root holds it now."""
    serve = submissions.serve_directory(home)
    directories = run_dir.directories(run_dir.runs_root(home), levels=2)
    return {each: run_lock.is_active(each) for each in [*directories, *([serve] if serve.is_dir() else [])]}


# --- runs -----------------------------------------------------------------------------------------------------------


def _runs(home: Path, held: dict[Path, bool]) -> Iterator[Leftover]:
    serve = submissions.serve_directory(home)
    for directory, live in held.items():
        if live:
            continue
        subject = "loop serve" if directory == serve else f"run {directory.parent.name}/{directory.name}"
        manifest = run_dir.read_manifest(directory) or {}
        says = f"says {manifest.get('state')}"
        pid = _pid(manifest)
        if pid and not (directory / "root.lock").exists() and processes.is_running(pid):
            # A run of the original loop, which takes no lock: it may be live, or its pid may be reused.
            if _unfinished(directory, manifest):
                text = f"{says}, and may still run in process {pid}: not touched"
                yield Leftover(subject, text, lambda: "", note=True)
            continue
        pids = stale_processes.left(stale_processes.records_root(directory))
        found = []
        if _unfinished(directory, manifest):
            found.append(f"{says}, but its root process is gone")
        if pids:
            found.append(f"{_count(len(pids), 'process', 'processes')} still running ({', '.join(map(str, pids))})")
        if sockets := runtimes_of(directory):
            found.append(f"sockets of it in {', '.join(map(str, sockets))}")
        if found:
            yield Leftover(subject, "; ".join(found), _cleaner(directory))
        if damage := run_dir.look(directory).damage:
            yield Leftover(subject, f"is damaged: {damage}", lambda: "", note=True)


def _unfinished(directory: Path, manifest: run_dir.Manifest) -> bool:
    """Whether the manifest says that the run is running. A queued run resumes by itself, and is no leftover."""
    return bool(manifest) and manifest["state"] not in FINAL_STATES and submissions.read(directory) is None


def _pid(manifest: run_dir.Manifest) -> int:
    pid = manifest.get("pid")
    return pid if isinstance(pid, int) and pid > 0 else 0


def _cleaner(directory: Path) -> Callable[[], str]:
    def clean() -> str:
        ended = clear(directory, lambda: _say_stopped(directory))
        done = [f"ended {_count(len(ended), 'process', 'processes')}"] if ended else []
        manifest = run_dir.read_manifest(directory)
        if manifest is not None:
            how = "" if manifest["state"] == "completed" else f"; to resume it: {resume_command(directory, manifest)}"
            done.append(f"it is {manifest['state']}{how}")
        return "; ".join(done) or "removed"

    return clean


def _say_stopped(directory: Path) -> None:
    if _unfinished(directory, run_dir.read_manifest(directory) or {}):
        run_dir.set_state(directory, "stopped", wall_ms())


# --- sockets --------------------------------------------------------------------------------------------------------


def _stray_sockets(held: dict[Path, bool]) -> Iterator[Leftover]:
    """Socket directories of runs that were removed, or of another home."""
    base = runtime_base()
    known = {path for directory in held for path in runtimes_of(directory)}
    stray = [path for path in sorted(base.iterdir()) if path not in known and _is_dead(path)] if base.is_dir() else []
    if stray:
        which = _count(len(stray), "directory that belongs", "directories that belong")
        text = f"{base} has {which} to no run, and nothing listens there"
        yield Leftover("sockets", text, lambda: _remove(stray))


def _remove(stray: list[Path]) -> str:
    dead = [path for path in stray if _is_dead(path)]
    for path in dead:
        shutil.rmtree(path)
    return f"removed {_count(len(dead), 'directory', 'directories')}"


def _is_dead(path: Path) -> bool:
    """Whether no process listens at any socket in `path`. A directory that others can open is not loop's."""
    try:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or time.time() - status.st_mtime < YOUNG_S:
            return False
        return not any(_answers(each) for each in path.rglob("*") if each.is_socket())
    except OSError:
        return False


def _answers(path: Path) -> bool:
    """Whether a process listens: connects and hangs up immediately. A datagram socket refuses in another way."""
    with closing(socket.socket(socket.AF_UNIX)) as call:
        call.settimeout(CALL_S)  # a stopped root accepts nothing, and is alive
        try:
            call.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


# --- tmux -----------------------------------------------------------------------------------------------------------


def _sessions(place: Place, held: dict[Path, bool]) -> Iterator[Leftover]:
    """Sessions in which nothing runs: they only show how their runs ended. Asks the tmux server of this terminal."""
    tmux = place.find("tmux")
    if tmux is None:
        return
    form = "#{session_name}\t#{@loop_run}\t#{session_attached}"
    for row in place.ask(tmux, "list-sessions", "-F", form).out.splitlines():
        name, run, attached = (row.split("\t") + [""] * 3)[:3]
        if not run or attached != "0" or not Path(run).is_relative_to(run_dir.runs_root(place.home)):
            continue
        if not held.get(Path(run), False) and _is_over(place, tmux, name, run):
            text = f"{name} shows how run {Path(run).name} ended, and nothing runs in it"
            yield Leftover("tmux session", text, _ender(place, tmux, name, run))


def _is_over(place: Place, tmux: str, name: str, run: str) -> bool:
    form = "#{pane_dead} #{session_attached} #{@loop_run}"
    panes = place.ask(tmux, "list-panes", "-s", "-t", f"={name}", "-F", form)
    rows = set(panes.out.splitlines())
    return panes.code == 0 and rows == {f"1 0 {run}"} and not run_lock.is_active(Path(run))


def _ender(place: Place, tmux: str, name: str, run: str) -> Callable[[], str]:
    def clean() -> str:
        if not _is_over(place, tmux, name, run):
            raise OperationalError(f"something runs in tmux session {name} now: left alone")
        if place.ask(tmux, "kill-session", "-t", f"={name}").code != 0:
            raise OperationalError(f"tmux session {name} could not be ended: tmux kill-session -t {name}")
        return f"ended {name}"

    return clean


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
