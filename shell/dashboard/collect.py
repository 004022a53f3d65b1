"""Collects what the dashboard shows, from the runs' files, their roots, and the machine. Gives no order.

`look_once` is for forms that print and end: it waits for the roots, but not for long. `Collector` is for the live
forms: it reads each source in a thread of its own, about once a second, and `snapshot` combines what is known at that
moment. So a source that hangs makes only its own part old.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from actors.clock import wall_ms
from actors.edges import run_dir
from actors.errors import LoopError
from shell import log_lines, mails, run_files, tables
from shell.dashboard import view
from shell.dashboard.agent_files import AgentFiles
from shell.dashboard.disk import Disk, Stamp, journal_stamp, log_of, transcript_tail
from shell.dashboard.live_reports import Heard, LiveReports
from shell.dashboard.machine import Processes, tmux_sessions
from shell.dashboard.panel import run_lines
from shell.dashboard.view import Around, ProcessView, RunView, Seen, SessionFile, Snapshot, TmuxView
from shell.run_files import RunFiles
from supervisor.control.protocol import MailReport, ShowMail

LOOK_S = 1.0
ROOTS_S = 2.0  # how long a form that prints and ends waits for slow roots
SILENT_S = 3.0  # a root without an answer for longer is shown as silent
LINES = 300  # of a transcript or log
GONE = 50  # processes that were seen to end


def look_once(home: Path, environment: Mapping[str, str], *, all_journals: bool) -> Snapshot:
    """The present state of everything, within `ROOTS_S` plus the time to read files and journals."""
    disk = Disk(run_dir.runs_root(home))
    runs = disk.look(journals_s=60.0 if all_journals else LOOK_S)
    heard: dict[str, Heard] = {}
    if disk.endpoints:
        live_reports = LiveReports()
        try:
            live_reports.follow(disk.endpoints)
            live_reports.wait(ROOTS_S)
            heard = live_reports.heard()
        finally:
            live_reports.close()
    runs = _with_reports(runs, heard)
    files = AgentFiles(home, environment)
    machine = _Machine(files)
    owners = disk.owners()
    seen, known = machine.look(owners, runs)
    around = Around(seen=seen, owners=owners, files=known, tmux=tmux_sessions())
    return view.snapshot(wall_ms(), str(disk.runs_in), runs, around)


class Collector:
    """Collects from its construction until `close`. Its methods are for one thread, the owner's."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._disk = Disk(run_dir.runs_root(home))
        self._machine = _Machine(AgentFiles(home, environment))
        self._live_reports = LiveReports()
        self._runs: list[RunView] | None = None
        self._owners: dict[int, tuple[str, str]] = {}
        self._seen: list[Seen] = []
        self._files: list[SessionFile] = []
        self._tmux: list[TmuxView] = []
        self._living: dict[int, ProcessView] = {}
        self._gone: list[ProcessView] = []
        self._selected: RunView | None = None
        self._details: Details | None = None
        self._reader = Reader()
        self._selecting = _Repeating("the details", self._look_at_selected)
        self._repeating = [
            self._selecting,
            _Repeating("the files", self._look_at_files),
            _Repeating("the processes", self._look_at_processes),
            _Repeating("tmux", self._look_at_tmux),
        ]

    def snapshot(self) -> Snapshot | None:
        """The data that is known now; None before the first read of the files is over. Returns immediately."""
        runs = self._runs
        if runs is None:
            return None
        runs = _with_reports(runs, self._live_reports.heard())
        trouble = "; ".join(each.trouble for each in self._repeating if each.trouble)
        around = Around(self._seen, self._owners, self._files, self._gone, self._tmux, trouble)
        made = view.snapshot(wall_ms(), str(self._disk.runs_in), runs, around)
        self._remember(made.processes)
        return made

    def _remember(self, living: list[ProcessView]) -> None:
        """Notes processes that have ended since the last look."""
        now = {each.pid: each for each in living}
        gone = [each for pid, each in self._living.items() if pid not in now]
        self._gone = [*self._gone, *gone][-GONE:]
        self._living = now

    def select(self, run: RunView | None) -> None:
        """Selects the run for `details` from now on."""
        before, self._selected = self._selected, run
        if (run.key if run else "") != (before.key if before else ""):
            self._live_reports.select(run.key if run is not None else "")
            self._selecting.look()

    def details(self) -> Details | None:
        """The details of the selected run, or still of the previous one. The same object until they change."""
        return self._details

    def close(self) -> None:
        """Ends the collecting. Idempotent. Does not wait for a source that hangs."""
        for each in self._repeating:
            each.close()
        self._live_reports.close()

    # --- threads of the sources -------------------------------------------------------------------------------------

    def _look_at_files(self) -> None:
        runs = self._disk.look()
        self._live_reports.follow(self._disk.endpoints)
        self._owners = self._disk.owners()
        self._runs = runs

    def _look_at_processes(self) -> None:
        self._seen, self._files = self._machine.look(self._owners, self._runs or [])

    def _look_at_tmux(self) -> None:
        self._tmux = tmux_sessions()

    def _look_at_selected(self) -> None:
        run = self._selected
        if run is not None:
            made = self._reader.details(run, self._live_reports.mail(run.key))
            if made != self._details:
                self._details = made


class _Machine:
    """The agents' processes and files. Belongs to one thread."""

    def __init__(self, files: AgentFiles) -> None:
        self._files = files
        self._processes = Processes()

    def look(self, owners: Mapping[int, tuple[str, str]], runs: list[RunView]) -> tuple[list[Seen], list[SessionFile]]:
        sessions = [session for run in runs if run.running for session in run.sessions.values()]
        known = self._files.look(sessions)
        seen = self._processes.look(owners.keys(), self._files)
        more = {each.session_id for each in seen} - {each.session_id for each in known}
        return seen, [*known, *self._files.of(more)]


class _Repeating:
    """Calls `work` repeatedly, with a pause, in a thread of its own that ends with the program.

    `trouble`: the error of the last call, with the name of the source; "" = none.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name = name
        self._work = work
        self.trouble = ""
        self._over = False
        self._wake = threading.Event()
        threading.Thread(target=self._run, name=f"dashboard: {name}", daemon=True).start()

    def _run(self) -> None:
        while not self._over:
            self._wake.clear()
            try:
                self._work()
            except OSError:
                pass  # a file that went away while it was looked at; the next look shows it
            except Exception as error:  # a bug of ours is shown, and must not end the source for good
                self.trouble = f"cannot read {self._name}: {type(error).__name__}: {error}"
            else:
                self.trouble = ""
            self._wake.wait(LOOK_S)

    def look(self) -> None:
        """Triggers a call now, or as soon as the present one is over."""
        self._wake.set()

    def close(self) -> None:
        """Ends the repetition, without waiting for a call in progress."""
        self._over = True
        self._wake.set()


def _with_reports(runs: list[RunView], heard: Mapping[str, Heard]) -> list[RunView]:
    return [_with_report(run, heard.get(run.key)) if run.running else run for run in runs]


def _with_report(run: RunView, heard: Heard | None) -> RunView:
    if heard is None:
        return replace(run, trouble="asking its root")
    if heard.report is not None:
        run = view.with_report(run, heard.report)
    if heard.refusal:
        return replace(run, trouble=heard.refusal)
    if heard.age_s > SILENT_S or heard.report is None:
        return replace(run, trouble=f"its root has not answered for {tables.duration(round(heard.age_s * 1000))}")
    return run


# --- one run --------------------------------------------------------------------------------------------------


class Details(NamedTuple):
    """The details of the run with this key: "run", "transcript", "mail" and "log", each in lines of any length."""

    key: str
    texts: dict[str, list[str]]


class Reader:
    """Reads the details of one run. Belongs to one thread, and may take a while."""

    def __init__(self) -> None:
        self._read: tuple[str, Stamp] = ("", ())  # which run's journal, and what it was like
        self._mail: MailReport | str = ""  # from there, or what is wrong with it

    def details(self, run: RunView, mail: MailReport | None) -> Details:
        """The run's details. `mail`: the answer of a live run's bridge. For other runs it reads the journal, again only
        after a change.
        """
        directory = Path(run.directory)
        found = RunFiles(directory=directory, manifest=run_dir.read_manifest(directory) or {}, pid=run.root_pid)
        hint = "" if run.running or run.state == "completed" else run_files.resume_hint(found)
        records = list(log_lines.records(log_of(directory)))[-LINES:]
        texts = {
            "run": run_lines(run, now_ms=wall_ms(), hint=hint),
            "transcript": [tables.transcript_line(line) for line in transcript_tail(directory, LINES)],
            "mail": _mail_lines(mail if run.running else self._from_files(run, found)),
            "log": [line for record in records for line in log_lines.plain(record).splitlines()],
        }
        return Details(run.key, texts)

    def _from_files(self, run: RunView, found: RunFiles) -> MailReport | str:
        wanted = (run.key, journal_stamp(found.directory))
        if wanted != self._read:
            try:
                self._mail = mails.from_files(found, ShowMail())
            except LoopError as error:
                self._mail = str(error)
            self._read = wanted
        return self._mail


def _mail_lines(mail: MailReport | str | None) -> list[str]:
    match mail:
        case None:
            return ["(no answer from the bridge yet, or the run has a single agent)"]
        case str():
            return [mail]
        case _:
            return mails.lines(ShowMail(), mail, now_ms=wall_ms())
