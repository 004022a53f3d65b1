"""Runs whose journal is of another version, or was never begun: taken up, or refused in one line and left alone."""

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from actors.edges import git, journal, run_dir
from tests.end_to_end.conftest import CHECK, TASK, World

RECORDINGS = Path(__file__).parents[1] / "recordings"


def run_directory(world: World) -> Path:
    """Of a run that an earlier root has left, with nothing in it yet but its manifest."""
    directory = run_dir.runs_root(world.home) / git.repository_id(world.project) / "1"
    directory.mkdir(parents=True)
    manifest = {"runId": "1", "state": "working", "agents": {"worker": "embedded", "reviewer": "embedded"}}
    run_dir.write_manifest(directory, manifest)
    return directory


def contents(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def test_a_run_with_a_journal_of_the_first_schema_goes_on_where_it_was(embedded: World):
    directory = run_directory(embedded)
    shutil.copy(RECORDINGS / "journal-m001.sqlite", directory / journal.FILE_NAME)
    loop = embedded.run("--agent", "embedded", "--run-id", "1")
    assert loop.process.returncode == 0, loop.output
    assert "planning" not in loop.output
    assert "review round 1" not in loop.output
    assert "review round 2" in loop.output
    assert embedded.manifest()["state"] == "completed"
    reviews = [line for line in embedded.transcript() if line.get("kind") == "review"]
    assert len(reviews) == 4  # two of the recording, two of now


def cut(path: Path, after: str) -> None:
    """Takes away what came after the first event of the run of this kind, as if nothing else had become durable."""
    with closing(sqlite3.connect(path)) as db, db:
        (last,) = db.execute("SELECT min(seq) FROM events WHERE stream = 'run' AND kind = ?", (after,)).fetchone()
        db.execute("DELETE FROM events WHERE seq > ?", (last,))
        db.execute(
            "UPDATE streams SET version = (SELECT count(*) FROM events WHERE events.stream = streams.stream)",
        )
        db.execute("DELETE FROM transcript WHERE number > 1")


def test_a_run_that_was_killed_before_it_had_read_its_plan_reads_it_when_it_goes_on(embedded: World):
    directory = run_directory(embedded)
    shutil.copy(RECORDINGS / "journal-m001.sqlite", directory / journal.FILE_NAME)
    cut(directory / journal.FILE_NAME, after="TurnSettled")
    (embedded.project / "PLAN.md").write_text("# Plan\n\n1. greeting.py: comma and exclamation mark\n")
    loop = embedded.run("--agent", "embedded", "--run-id", "1")
    assert loop.process.returncode == 0, loop.output
    assert "plan review: waits for embedded-reviewer" in loop.output
    assert embedded.manifest()["state"] == "completed"


def test_a_journal_of_a_newer_version_is_refused_in_one_line_and_nothing_is_changed(embedded: World):
    directory = run_directory(embedded)
    shutil.copy(RECORDINGS / "journal-m001.sqlite", directory / journal.FILE_NAME)
    with closing(sqlite3.connect(directory / journal.FILE_NAME)) as db, db:
        db.execute("INSERT INTO migrations VALUES ('m999_future')")
    before = contents(directory)
    loop = embedded.run("--agent", "embedded", "--run-id", "1", TASK)
    assert loop.process.returncode == 1
    assert len(loop.lines) == 1
    assert "was written by a newer version of loop (it has m999_future): update loop, then resume" in loop.lines[0]
    assert contents(directory) == before


def test_a_run_with_an_event_of_another_version_is_refused_before_anything_starts(embedded: World):
    directory = run_directory(embedded)
    shutil.copy(RECORDINGS / "journal-m001.sqlite", directory / journal.FILE_NAME)
    with closing(sqlite3.connect(directory / journal.FILE_NAME)) as db, db:
        db.execute("UPDATE events SET kind = 'Martian' WHERE stream = 'run'")
    before = contents(directory)
    loop = embedded.run("--agent", "embedded", "--run-id", "1")
    assert loop.process.returncode == 1
    assert len(loop.lines) == 1
    assert "the event 'Martian' is unknown to this version of loop: update loop, then resume" in loop.lines[0]
    assert contents(directory) == before


def test_a_start_failure_that_cannot_change_ends_the_run_at_once_with_its_cause(embedded: World):
    directory = run_directory(embedded)
    shutil.copy(RECORDINGS / "journal-m001.sqlite", directory / journal.FILE_NAME)
    with closing(sqlite3.connect(directory / journal.FILE_NAME)) as db, db:
        db.execute(
            "UPDATE events SET kind = 'Martian' WHERE seq = (SELECT min(seq) FROM events WHERE stream = 'turns/worker')"
        )
    loop = embedded.run("--agent", "embedded", "--run-id", "1")
    assert loop.process.returncode == 1
    (last,) = [line for line in loop.lines if line.startswith("[loop] run 1 failed: ")]
    assert "worker cannot start: event kind 'Martian'" in last
    assert "unknown to this version of loop: update loop" in last
    assert not [line for line in loop.lines if "restart" in line or "giving up" in line]
    assert "#2" not in (directory / "log").read_text()
    assert embedded.manifest()["state"] == "failed"


def test_a_run_that_was_killed_before_it_had_begun_asks_for_its_task_and_then_begins(embedded: World):
    directory = run_directory(embedded)
    journal.Journal(directory / journal.FILE_NAME).close()  # a first start came this far
    refused = embedded.run("--agent", "embedded", "--run-id", "1")
    assert refused.process.returncode == 2
    assert len(refused.lines) == 1
    assert "run 1 was ended before it had begun: give its task again" in refused.lines[0]
    loop = embedded.run("--agent", "embedded", "--run-id", "1", "--check", CHECK, TASK)
    assert loop.process.returncode == 0, loop.output
    assert embedded.manifest()["state"] == "completed"


def test_a_file_that_is_no_journal_is_refused_in_one_line(embedded: World):
    directory = run_directory(embedded)
    (directory / journal.FILE_NAME).write_text("this is not a database, and it is longer than a header " * 10)
    loop = embedded.run("--agent", "embedded", "--run-id", "1")
    assert loop.process.returncode == 1
    assert len(loop.lines) == 1
    assert "cannot read the journal" in loop.lines[0]
