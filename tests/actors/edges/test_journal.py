import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from actors.edges import journal as journal_module
from actors.edges.journal import Journal
from actors.errors import JournalConflictError, JournalError, JournalUnusableError
from actors.messages import Record


def record(name: str) -> Record:
    return Record(event_id=name, at_ms=1, kind="Thing", body="{}")


@pytest.fixture
def journal(tmp_path: Path):
    opened = Journal(tmp_path / "journal.sqlite", generation=1)
    yield opened
    opened.close()


def test_events_come_back_in_the_order_of_writing(journal: Journal):
    assert journal.append("run", 1, 0, [record("a"), record("b")]) == 2
    assert journal.append("run", 1, 2, [record("c")]) == 3
    assert [entry.event_id for entry in journal.load("run", 1)[0]] == ["a", "b", "c"]


def test_a_long_stream_comes_in_pages(journal: Journal):
    big = "x" * (journal_module.PAGE_BYTES // 3)
    for number in range(5):
        journal.append("run", 1, number, [Record(event_id=str(number), at_ms=1, kind="Thing", body=big)])
    first, more = journal.load("run", 1)
    rest, no_more = journal.load("run", 1, len(first))
    assert (more, no_more) == (True, False)
    assert [entry.event_id for entry in first + rest] == list("01234")


def test_streams_do_not_share_versions(journal: Journal):
    journal.append("run", 1, 0, [record("a")])
    assert journal.append("mail", 1, 0, [record("b")]) == 1


def test_an_event_that_was_written_is_recognised_by_its_id(journal: Journal):
    journal.append("run", 1, 0, [record("a"), record("b")])
    assert journal.version_of("b") == 2
    assert journal.version_of("never") is None


def test_a_writer_that_expects_another_version_is_refused_and_nothing_is_written(journal: Journal):
    journal.append("run", 1, 0, [record("a")])
    with pytest.raises(JournalConflictError, match="has 1 records, the writer expected 0"):
        journal.append("run", 1, 0, [record("b")], ["line"])
    assert [entry.event_id for entry in journal.read("run")] == ["a"]
    assert journal.lines() == []


def test_a_writer_of_an_older_epoch_is_fenced_off_once_a_newer_one_has_loaded(journal: Journal):
    journal.append("run", 1, 0, [record("a")])
    journal.load("run", 2)
    with pytest.raises(JournalConflictError, match="newer incarnation"):
        journal.append("run", 1, 1, [record("b")])
    assert journal.append("run", 2, 1, [record("b")]) == 2


def test_a_new_root_starts_its_epochs_over_and_still_fences_the_old_ones(tmp_path: Path):
    first = Journal(tmp_path / "journal.sqlite", generation=1)
    first.load("run", 7)
    first.close()
    second = Journal(tmp_path / "journal.sqlite", generation=2)
    assert second.load("run", 1) == ([], False)
    second.close()
    stale = Journal(tmp_path / "journal.sqlite", generation=1)
    with pytest.raises(JournalConflictError):
        stale.append("run", 7, 0, [record("a")])
    stale.close()


def test_transcript_lines_are_kept_in_order_and_a_note_only_once(journal: Journal):
    journal.append("run", 1, 0, [record("a")], ["one", "two"])
    assert journal.note("worker:1", "three")
    assert not journal.note("worker:1", "three")
    assert journal.lines() == ["one", "two", "three"]


def test_a_journal_of_a_newer_version_is_refused_in_one_line_and_left_alone(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO migrations VALUES ('m999_future')")
    db.close()
    with pytest.raises(JournalError, match=r"newer version of loop \(it has m999_future\): update loop"):
        Journal(path)


def test_migrations_are_applied_once(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    for _ in range(2):
        Journal(path).close()
    db = sqlite3.connect(path)
    assert db.execute("SELECT name FROM migrations").fetchall() == [
        (migration.__name__,) for migration in journal_module.MIGRATIONS
    ]
    db.close()


def test_a_file_that_is_no_database_is_refused_in_one_line(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    path.write_text("this is not a database, and it is longer than a header " * 10)
    with pytest.raises(JournalError, match="cannot open the journal"):
        Journal(path)


def test_commits_are_synchronous_with_the_disk(journal: Journal):
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


WRITER = """
import sys
from pathlib import Path
from actors.edges.journal import Journal
from actors.messages import Record
journal = Journal(Path(sys.argv[1]), generation=1)
for number in range(100_000):
    journal.append("run", 1, number, [Record(event_id=str(number), at_ms=1, kind="Thing", body="{}")])
    print(number, flush=True)
"""


def test_no_acknowledged_event_is_lost_when_the_writer_is_killed(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = -1
    for line in writer.stdout:
        acknowledged = int(line)
        if acknowledged >= 200:
            break
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    writer.stdout.close()
    writer.wait()
    journal = Journal(path, generation=1)
    ids = [int(entry.event_id) for entry in journal.read("run")]
    journal.close()
    assert ids == list(range(len(ids)))
    assert len(ids) > acknowledged


def test_a_torn_write_ahead_log_costs_only_what_was_never_acknowledged(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, generation=1)
    for number in range(50):
        journal.append("run", 1, number, [record(str(number))])
    log = path.with_name("journal.sqlite-wal").read_bytes()
    database = path.read_bytes()
    journal.close()
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "journal.sqlite").write_bytes(database)
    (torn / "journal.sqlite-wal").write_bytes(log + log[-5000:-2500])  # a half-written transaction at its end
    again = Journal(torn / "journal.sqlite", generation=1)
    assert len(list(again.read("run"))) == 50
    again.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE facts",
        "UPDATE events SET body = x'ff'",
        "UPDATE events SET at_ms = 'noon'",
        "UPDATE streams SET version = 'two', epoch = 'three'",
    ],
)
def test_a_journal_that_holds_something_else_cannot_be_used_and_says_so(tmp_path: Path, damage: str):
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, generation=1)
    journal.append("run", 1, 0, [record("a")])
    journal.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(damage)
    journal = Journal(path, generation=2)
    with pytest.raises(JournalUnusableError):
        read_all(journal)
    journal.close()


def read_all(journal: Journal) -> None:
    journal.fact("x")
    list(journal.read("run"))
    journal.load("run", 1)


def test_a_damaged_page_is_found_when_it_is_read(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, generation=1)
    journal.append("run", 1, 0, [record(str(number)) for number in range(500)])
    journal.close()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"\xff" * (len(content) - len(content) // 2))
    with pytest.raises(JournalUnusableError, match="the run's files are left as they are"):
        list(Journal(path, generation=2).read("run"))


def test_a_schema_that_is_not_utf_8_is_a_damaged_journal(tmp_path: Path):
    """SQLite quotes it in its message, which Python then cannot decode: that is no `sqlite3.Error`."""
    path = tmp_path / "journal.sqlite"
    Journal(path, generation=1).close()
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CR\xff\xfeTE TABLE"))
    with pytest.raises(JournalUnusableError, match="cannot open the journal"):
        Journal(path, generation=2)
