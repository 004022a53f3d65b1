"""A home with a good run and damaged ones, read by everything that lists, shows, queues and resumes runs.

An agent can write to each of these files, and a power cut or a full disk leaves halves. The damaged run may be refused
(`LoopError`), shown as far as it can be read, or left out; the good one must be shown as always. Most inputs go to the
functions that the commands use; some are real commands in this process. All damaged runs of a batch are listed
together; then each is shown, read by the dashboard, or resumed.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from actors import persistence
from actors.edges import git, run_dir, run_lock
from actors.edges.journal import FILE_NAME, Journal
from actors.errors import LoopError
from actors.machines import mail, projection, run, turn
from actors.machines.stored import stored_name
from actors.messages import Record
from actors.settings import RunSettings
from fuzz_surfaces import inputs as make
from fuzz_surfaces.oracle import Failed
from fuzz_surfaces.structs import example
from fuzz_surfaces.surface import Surface
from shell import exits, leftovers, mails, run_files, tables
from shell.commands.grammar import Invocation
from shell.dashboard import panel
from shell.dashboard.collect import Reader
from shell.dashboard.disk import Disk
from shell.dashboard.view import RunView
from supervisor import stale_processes, submissions
from supervisor.control.protocol import ShowMail
from supervisor.submissions import Submission

NOW = 1_760_000_000_000
GOOD, DAMAGED = "7", "8"  # the first of them
MANIFEST = {
    "agents": {"reviewer": "claude", "worker": "codex"}, "claudeSessionId": "c", "codexThreadId": "d",
    "createdAt": "2026-01-31T12:00:00.123Z", "cwd": "/work", "mode": "paired", "pid": 1, "repoId": "r-1", "runId": GOOD,
    "sessions": {"claude": "c", "codex": "d"}, "state": "working", "status": "running", "tmuxSession": "t",
    "updatedAt": "2026-01-31T12:00:01.123Z", "worktree": "/work", "workspace": True,
}  # fmt: skip
LINE = {"at": "2026-01-31T12:00:00.123Z", "kind": "say", "text": "x", "from": "codex", "to": "claude", "message": "hi"}
LOCK = {"pid": 4_000_000, "endpoint": "ipc:///nowhere/console.sock", "generation": 3}
RECORD = {"pid": 4_000_000, "started": "12345"}
LOG = "2026-01-31 12:00:00.123 INFO     17 r-1/7/root supervisor.control.server:7 worker: say: all is well\n"
STREAMS: dict[str, tuple[type, ...]] = {
    "run": run.EVENTS, "turns/worker": turn.EVENTS, "turns/reviewer": turn.EVENTS, "mail": mail.EVENTS,
}  # fmt: skip
NAMES = (
    "manifest.json", "transcript.jsonl", FILE_NAME, "root.lock", "journal.lock", submissions.FILE, "log", "processes",
)  # fmt: skip
ODD_NAMES = ("9" * 255, "-", ".x", "a b", "\udcff", "\x1b[31m", "x\ny", "0", "007", "\u0661")
SPECIAL = ("directory", "fifo", "socket", "zero", "loop", "dangling", "parent", "large", "empty", "closed")
COMMANDS: tuple[Invocation, ...] = (
    Invocation(name="runs"), Invocation(name="runs", json=True), Invocation(name="status", run=DAMAGED),
    Invocation(name="status", run=DAMAGED, json=True), Invocation(name="mailbox", actor="worker", run=DAMAGED),
    Invocation(name="mail", action="list", run=DAMAGED), Invocation(name="logs", run=DAMAGED),
    Invocation(name="status"), Invocation(name="dashboard", once=True),
    Invocation(name="dashboard", once=True, json=True), Invocation(name="worktree", action="list"),
    Invocation(name="worktree", action="list", json=True),
)  # fmt: skip


class RunFilesSurface(Surface):
    """See the module."""

    name = "run-files"
    batch = 20
    settle_each = 500

    def open(self) -> None:
        self.home = self.folder / "home"
        work = self.folder / "work"
        work.mkdir()
        os.chdir(work)
        subprocess.run(["git", "init", "-q"], check=True)
        self.runs = run_dir.runs_root(self.home) / git.repository_id(work)
        self.runs.mkdir(mode=0o700, parents=True)
        for each in (self.home / ".loop", self.home / ".loop" / "runs"):
            each.chmod(0o700)
        _make_run(self.runs / GOOD)
        self.journal = (self.runs / GOOD / FILE_NAME).read_bytes()

    def make(self, rng: Random) -> dict[str, Any]:
        """Names of files, and what each of them is; "way" is what is done with the run."""
        found: dict[str, Any] = {
            "way": rng.choice(("show", "watch", "take up")) if rng.random() < 0.995 else rng.choice(COMMANDS),
            "manifest.json": ("content", make.as_json(rng, MANIFEST)),
        }
        for name in rng.sample(NAMES, rng.choice((1, 1, 2, 3))):
            how = rng.random()
            if how < 0.08:
                found[name] = ("special", rng.choice(SPECIAL))
            elif name == FILE_NAME and how < 0.5:
                found[name] = ("records", _records(rng))
            else:
                found[name] = ("content", self._content(rng, name))
        if rng.random() < 0.02:
            found["name"] = rng.choice(ODD_NAMES)
        return found

    def _content(self, rng: Random, name: str) -> bytes:
        match name:
            case "transcript.jsonl":
                lines = [make.encoded(rng, LINE, lambda each: make.as_json(rng, each)) for _ in range(3)]
                return b"\n".join(lines) + rng.choice((b"", b"\n"))
            case "log":
                return make.mutated_bytes(rng, LOG.encode() * 2)
            case _ if name == FILE_NAME:
                return make.mutated_bytes(rng, self.journal)
        tree: Any = {"root.lock": LOCK, "manifest.json": MANIFEST, "processes": RECORD}.get(name, {})
        if name == submissions.FILE:
            tree = example(rng, Submission)
        return make.encoded(rng, tree, lambda each: make.as_json(rng, each))

    def feed(self, inputs: Sequence[dict[str, Any]]) -> None:
        try:
            for number, given in enumerate(inputs, int(DAMAGED)):
                self._damage(self.runs / str(number), given)
            views = self._list()
            for number, given in enumerate(inputs, int(DAMAGED)):
                match given["way"]:
                    case "show":
                        _show(self.runs / str(number))
                    case "watch":
                        _watch(views.get(str(number)))
                    case "take up":
                        _take_up(self.runs / str(number))
                    case Invocation() as invocation:
                        _command(invocation._replace(run=str(number) if invocation.run else ""))
        finally:
            self._mend()

    def _damage(self, directory: Path, given: dict[str, Any]) -> None:
        directory.mkdir(mode=0o700)
        for name, what in given.items():
            if name == "name":
                with suppress(OSError):  # the file system takes no such name, or another has it
                    (self.runs / what).mkdir()
                continue
            if name == "way":
                continue
            path = directory / name
            if name == "processes" and what[0] == "content":
                path = path / "of x" / "4000000.json"
                path.parent.mkdir(parents=True)
            match what:
                case "content", bytes(content):
                    path.write_bytes(content)
                case "records", list(records):
                    _write_records(path, self.journal, records)
                case "special", str(kind):
                    _put(path, kind, self.folder)

    def _mend(self) -> None:
        for each in self.runs.iterdir():
            if each.name != GOOD:
                shutil.rmtree(each, ignore_errors=True)
        if left := [str(each) for each in self.runs.iterdir() if each.name != GOOD]:
            raise Failed(f"cannot be removed: {left}")

    # --- what reads them ---

    def _list(self) -> dict[str, RunView]:
        """Lists the runs, which must not fail for one of them. Returns the dashboard's views by run id."""
        listed = run_files.all_runs(self.runs)
        run_files.run_lines(listed)
        self._check_listed([each.run_id for each in listed], "the list of runs")
        disk = Disk(run_dir.runs_root(self.home))
        views = disk.look(journals_s=60.0)
        self._check_listed([each.run_id for each in views], "the dashboard")
        disk.owners()
        for view in views:
            if view.run_id == GOOD and (view.report is None or view.trouble):
                raise Failed(f"the good run is shown with {view.trouble!r}")
            panel.run_lines(view, now_ms=NOW)
        if [each.name for each in submissions.queued(self.home) if each.name == GOOD] != [GOOD]:
            raise Failed("the good run is not in the queue any more")
        leftovers._held(self.home)
        run_dir.find_run(self.runs, "c")
        return {view.run_id: view for view in views}

    def _check_listed(self, names: list[str], where: str) -> None:
        if GOOD not in names:
            raise Failed(f"the good run is not in {where}")

    def settle(self) -> None:
        said = _command(Invocation(name="runs"))
        if not said.startswith(f"{GOOD} "):
            raise Failed(f"loop runs says {said!r}")
        said = _command(Invocation(name="status", run=GOOD))
        if not said.startswith(f"run {GOOD} "):
            raise Failed(f"loop status says {said!r}")

    def reopen(self) -> None:
        self._mend()


def _watch(view: RunView | None) -> None:
    """Reads what the dashboard shows of a selected run."""
    if view is not None:
        Reader().details(view, None)


def _mailbox_lines(found: run_files.RunFiles, actor: str) -> object:
    return tables.mailbox_lines(run_files.mailbox(found, actor, NOW), now_ms=NOW)


def _show(directory: Path) -> None:
    found = run_files.look_at(directory)
    if found is None:
        return
    run_files.resume_hint(found)
    _refusable(lambda: tables.report_lines(run_files.report(found, NOW), now_ms=NOW, state=found.state))
    for actor in ("worker", "bridge"):
        _refusable(partial(_mailbox_lines, found, actor))
    request = ShowMail()
    _refusable(lambda: mails.lines(request, mails.from_files(found, request), now_ms=NOW))


def _take_up(directory: Path) -> None:
    """Does what a root and its persistence actor do with a resumed run."""
    stale_processes.left(stale_processes.records_root(directory))
    _refusable(lambda: run_lock.lock_run(directory, lambda generation: f"ipc://{generation}").release())
    with suppress(LoopError):
        journal = Journal(directory / FILE_NAME, generation=5)
        with closing(journal):
            _refusable(lambda: _fold(journal))
    _refusable(lambda: _complete(directory))
    _refusable(lambda: run_dir.set_state(directory, "stopped", NOW))


def _refusable(work: Callable[[], object]) -> None:
    with suppress(LoopError):
        work()


def _fold(journal: Journal) -> None:
    """Folds the journal, as the persistence actor does at its start."""
    journal.fact("foreign_lines")
    journal.lines()
    state = run.initial()
    for record in journal.read("run"):
        event = persistence._event(record)
        before = state
        state, _ = run.decide(before, event, record.at_ms)
        projection.project(before, event, state, run_dir.iso(record.at_ms))


def _complete(directory: Path) -> None:
    transcript = run_dir.TranscriptFile(directory)
    with closing(transcript):
        transcript.restore(0, ['{"kind":"say"}'])


def _command(invocation: Invocation) -> str:
    """Runs a command in this process and returns its output, which must not be a traceback."""
    from shell.one_shot import run_subcommand

    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        status = exits.reported(lambda: run_subcommand(invocation))
    if status not in (0, 1, 2):
        raise Failed(f"{invocation.name} ended with {status}: {errors.getvalue()}")
    if status and invocation.name in ("runs", "dashboard", "worktree"):
        raise Failed(f"{invocation.name} is refused for a damaged run: {errors.getvalue()[:500]}")
    return out.getvalue()


# --- files --------------------------------------------------------------------------------------------------------


def _make_run(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    run_dir.write_manifest(directory, MANIFEST)
    (directory / "log").write_text(LOG)
    rng = Random(0)
    tree = {**example(rng, Submission), "submitted_at_ns": 1, "settings": None}
    (directory / submissions.FILE).write_bytes(make.as_json(rng, tree))
    settings = RunSettings(
        run_uid="00000000-0000-4000-8000-000000000001", task="x", needs_plan=False, worker="codex", reviewer="claude"
    )
    journal = Journal(directory / FILE_NAME, generation=1)
    body = msgspec.json.encode(run.RunStarted(settings=settings)).decode()
    record = Record(event_id="e0", at_ms=NOW, kind="RunStarted", body=body)
    journal.append("run", 1, 0, [record], [])
    journal.close()


def _records(rng: Random) -> list[tuple[str, str, Any]]:
    """Stream, kind and body of events: of those that there are, with nasty values in some."""
    found = []
    for _ in range(rng.randrange(1, 6)):
        stream = rng.choice(tuple(STREAMS))
        cls = rng.choice(STREAMS[stream])
        body = make.encoded(rng, example(rng, cls), lambda each: make.as_json(rng, each))
        kind = stored_name(cls) if rng.random() < 0.95 else make.text(rng)
        found.append((stream, kind, body.decode("utf-8", "replace") if rng.random() < 0.97 else body))
    return found


def _write_records(path: Path, journal: bytes, records: list[tuple[str, str, Any]]) -> None:
    path.write_bytes(journal)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("BEGIN")
        for number, (stream, kind, body) in enumerate(records, 10):
            valid = kind.encode("utf-8", "replace").decode()
            db.execute(
                "INSERT INTO events (stream, version, event_id, epoch, at_ms, kind, body) VALUES (?, ?, ?, 1, ?, ?, ?)",
                (stream, number, f"e{number}", NOW, valid, body),
            )
        db.execute("COMMIT")


def _put(path: Path, kind: str, folder: Path) -> None:
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with closing(socket.socket(socket.AF_UNIX)) as bound, suppress(OSError):  # its path may be too long
                bound.bind(str(path))
        case "zero":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
        case "dangling":
            path.symlink_to(folder / "nowhere")
        case "parent":
            path.symlink_to(path.parent.parent)
        case "large":
            with path.open("wb") as file:
                file.truncate(1 << 26)
        case "empty":
            path.touch()
        case "closed":
            path.touch(mode=0)
            path.chmod(stat.S_IWUSR)
