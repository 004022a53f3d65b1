"""A run's journal, read by somebody who is not its writer."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from actors.edges.journal import Journal
from actors.edges.journal_reader import read_streams
from actors.errors import JournalError
from actors.messages import Record
from tests.patience import PATIENCE_S

# Writes two records and says so; then waits to be killed, or ends in order.
WRITER = """
import sys
from pathlib import Path
from actors.edges.journal import Journal
from actors.messages import Record
journal = Journal(Path(sys.argv[1]) / "journal.sqlite", generation=1)
for version in range(2):
    body = '{"number": %d}' % version
    journal.append("mail", 1, version, [Record(event_id=f"e{version}", at_ms=version, kind="Event", body=body)])
print("written", flush=True)
if sys.stdin.readline():
    journal.close()
"""


@pytest.fixture
def writer(tmp_path):
    """Has written, and lives."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "written\n"
    yield process
    process.kill()
    process.communicate(timeout=PATIENCE_S)


def end(writer):
    writer.communicate("end\n", timeout=PATIENCE_S)
    assert writer.returncode == 0


def kill(writer):
    writer.send_signal(signal.SIGKILL)
    writer.wait(PATIENCE_S)


def bodies(directory):
    return [record.body for record in read_streams(directory, ["mail"])["mail"]]


def files(directory):
    return sorted(path.name for path in directory.iterdir())


BOTH = ['{"number": 0}', '{"number": 1}']


def test_a_live_run_is_read_while_it_goes_on(tmp_path, writer):
    assert bodies(tmp_path) == BOTH
    end(writer)


@pytest.mark.parametrize("how", [end, kill])
@pytest.mark.parametrize("writable", [True, False])
def test_a_run_that_is_over_is_read_and_nothing_is_left_behind(tmp_path, writer, how, writable):
    how(writer)
    before = files(tmp_path)
    if not writable:
        tmp_path.chmod(0o555)
    try:
        assert bodies(tmp_path) == BOTH
        assert files(tmp_path) == before
    finally:
        tmp_path.chmod(0o755)


def test_what_a_killed_writer_left_in_its_log_is_read_without_the_index_of_the_log(tmp_path, writer):
    kill(writer)
    assert (tmp_path / "journal.sqlite-wal").stat().st_size > 0
    (tmp_path / "journal.sqlite-shm").unlink()
    before = files(tmp_path)
    assert bodies(tmp_path) == BOTH
    assert files(tmp_path) == before


def test_the_run_can_go_on_after_somebody_has_read_it(tmp_path, writer):
    kill(writer)
    bodies(tmp_path)
    journal = Journal(tmp_path / "journal.sqlite", generation=2)
    journal.append("mail", 1, 2, [Record(event_id="e2", at_ms=2, kind="Event", body="{}")])
    assert bodies(tmp_path) == [*BOTH, "{}"]
    journal.close()


def test_a_stream_that_does_not_exist_is_empty(tmp_path, writer):
    assert read_streams(tmp_path, ["mail", "nothing"])["nothing"] == []


def test_a_run_without_a_journal_has_no_records(tmp_path):
    assert read_streams(tmp_path, ["mail"]) == {"mail": []}


def test_a_file_that_is_no_journal_is_named(tmp_path):
    (tmp_path / "journal.sqlite").write_text("this is not a database")
    with pytest.raises(JournalError, match=r"cannot read the journal .*journal\.sqlite"):
        read_streams(tmp_path, ["mail"])


def test_a_column_of_another_type_is_a_journal_that_cannot_be_read(tmp_path: Path):
    journal = Journal(tmp_path / "journal.sqlite", generation=1)
    journal.append("run", 1, 0, [Record(event_id="e", at_ms=1, kind="Thing", body="{}")])
    journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db, db:
        db.execute("UPDATE events SET body = x'ff', at_ms = 'noon'")
    with pytest.raises(JournalError, match="cannot read the journal"):
        read_streams(tmp_path, ["run"])
