"""The live collector over a real home: what it knows comes from threads of its own."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.edges import run_dir
from shell.dashboard import collect
from shell.dashboard.collect import Collector, Details, Reader, _Repeating, look_once
from shell.dashboard.disk import Disk
from shell.dashboard.live_reports import Heard
from shell.dashboard.view import Snapshot
from supervisor.control.protocol import MailReport
from tests.patience import PATIENCE_S
from tests.shell.dashboard.made import live, report

REPO = "greeting-0123456789ab"


def until(find: Callable[[], Snapshot | Details | None], met: Callable[..., bool]) -> Snapshot | Details:
    deadline = time.monotonic() + PATIENCE_S
    while (found := find()) is None or not met(found):
        if time.monotonic() > deadline:
            raise TimeoutError(found)
    return found


def make(home: Path, run_id: str) -> Path:
    directory = run_dir.runs_root(home) / REPO / run_id
    directory.mkdir(parents=True)
    run_dir.write_manifest(directory, {"state": "stopped", "cwd": "/work", "createdAt": "2026-01-01T00:00:00.000Z"})
    return directory


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    made = Collector(tmp_path, {})
    yield made
    made.close()
    made.close()


def test_a_run_that_comes_is_seen_soon(collector: Collector, tmp_path: Path):
    until(collector.snapshot, lambda found: found.runs == [])
    make(tmp_path, "7")
    found = until(collector.snapshot, lambda found: len(found.runs) == 1)
    assert isinstance(found, Snapshot)
    assert (found.runs[0].run_id, found.trouble) == ("7", "")


def test_the_details_are_of_the_selected_run_and_new_only_when_they_change(collector: Collector, tmp_path: Path):
    first, second = make(tmp_path, "7"), make(tmp_path, "8")
    (second / "transcript.jsonl").write_text(
        '{"at": "2026-01-01T00:00:00.000Z", "kind": "status", "state": "working"}\n'
    )
    (first / "log").write_text("2026-01-01 00:00:00.000 INFO     1 g/7/root a:1 hello\n")
    found = until(collector.snapshot, lambda found: len(found.runs) == 2)
    assert isinstance(found, Snapshot)
    runs = {run.run_id: run for run in found.runs}
    collector.select(runs["8"])
    known = until(collector.details, lambda known: known.key == f"{REPO}/8")
    assert isinstance(known, Details)
    assert known.texts["transcript"] == ["00:00:00 status  working"]
    assert known.texts["mail"] == ["no mail yet"]
    assert known.texts["run"][-1] == "  to resume it: cd /work && loop --run-id 8"
    collector.select(runs["7"])
    until(collector.details, lambda known: known.key == f"{REPO}/7")


def test_a_source_that_fails_says_so_and_is_looked_at_again():
    calls = []

    def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("nonsense")

    source = _Repeating("nothing", work)
    deadline = time.monotonic() + PATIENCE_S
    while not source.trouble:
        if time.monotonic() > deadline:
            raise TimeoutError
    assert source.trouble == "cannot read nothing: ValueError: nonsense"
    source.look()
    while source.trouble:
        if time.monotonic() > deadline:
            raise TimeoutError
    source.close()


def test_the_journal_of_an_ended_run_is_read_again_only_when_it_has_changed(tmp_path: Path):
    directory = make(tmp_path, "7")
    (run,) = Disk(run_dir.runs_root(tmp_path)).look()
    (directory / "journal.sqlite").write_bytes(b"nonsense")
    reader = Reader()
    (line,) = reader.details(run, None).texts["mail"]
    assert "cannot read the journal" in line
    before = reader._mail
    reader.details(run, None)
    assert reader._mail is before
    (directory / "journal.sqlite").unlink()
    assert reader.details(run, None).texts["mail"] == ["no mail yet"]


def test_the_mail_of_a_live_run_is_what_its_bridge_says(tmp_path: Path):
    directory = make(tmp_path, "7")
    run = live(directory=str(directory))
    assert "no answer from the bridge yet" in Reader().details(run, None).texts["mail"][0]
    told = MailReport(mails=[], left_out=3)
    assert Reader().details(run, told).texts["mail"] == ["(3 older finished mails are not shown)"]


def test_a_home_is_looked_at_once_without_making_anything(tmp_path: Path):
    found = look_once(tmp_path, {}, all_journals=True)
    assert (found.runs, found.runs_in) == ([], str(tmp_path / ".loop" / "runs"))
    assert list(tmp_path.iterdir()) == []


def test_how_long_a_root_was_silent_is_said(tmp_path: Path):
    silent = collect._with_report(live(report=None), Heard(None, 9.0))
    assert silent.trouble == "its root has not answered for 9 s"
    old = collect._with_report(live(report=None), Heard(report(), 9.0))
    assert (old.trouble, old.report is not None) == ("its root has not answered for 9 s", True)
    assert collect._with_report(live(), Heard(report(), 0.5)).trouble == ""
    assert collect._with_report(live(), None).trouble == "asking its root"
