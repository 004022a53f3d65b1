"""The runs of a home, from real files; a run is live while another process holds its lock."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.edges import processes, run_dir
from shell.dashboard.disk import Disk, tail_lines, transcript_tail
from supervisor import stale_processes
from supervisor.run_tree import launch_name

REPO = "greeting-0123456789ab"
JOURNAL = Path(__file__).parents[2] / "recordings" / "journal-m001.sqlite"
HOLD = """
import sys
from pathlib import Path
from actors.edges.run_lock import lock_run
lock_run(Path(sys.argv[1]), lambda generation: f"ipc:///tmp/control-{generation}")
print("held", flush=True)
sys.stdin.read()
"""


class Home:
    def __init__(self, path: Path) -> None:
        self.runs = path
        self.holders: list[subprocess.Popen[str]] = []

    def make(self, run_id: str, **manifest: object) -> Path:
        directory = self.runs / REPO / run_id
        directory.mkdir(parents=True, exist_ok=True)
        values = {"state": "completed", "createdAt": f"2026-01-01T00:00:0{len(run_id)}.000Z", "cwd": "/work"}
        run_dir.write_manifest(directory, values | manifest)
        return directory

    def hold(self, directory: Path) -> subprocess.Popen[str]:
        root = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.holders.append(root)
        assert root.stdout is not None
        assert root.stdout.readline() == "held\n"
        return root


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "runs")
    yield made
    for root in made.holders:
        root.kill()
        root.communicate()


def test_a_home_without_runs_has_none(home: Home):
    assert Disk(home.runs).look() == []


def test_a_run_is_shown_as_its_manifest_and_transcript_say(home: Home):
    directory = home.make(
        "7",
        mode="paired",
        agents={"reviewer": "claude", "worker": "codex"},
        sessions={"reviewer": "r", "worker": ""},
        tmuxSession="greeting-loop-7",
        updatedAt="2026-01-01T01:00:00.000Z",
    )
    (directory / "transcript.jsonl").write_text(
        '{"at": "2026-01-01T00:30:00.000Z", "from": "codex", "to": "claude", "message": "look"}\n'
        '{"at": "2026-01-01T00:59:00.000Z", "kind": "status", "state": "completed", "detail": "approved"}\n{"torn'
    )
    (run,) = Disk(home.runs).look()
    assert (run.key, run.repository, run.stands, run.mode) == (f"{REPO}/7", "greeting", "completed", "paired")
    assert (list(run.agents), run.sessions) == (["worker", "reviewer"], {"reviewer": "r"})
    assert (run.last_event, run.last_event_at_ms) == ("completed approved", 1_767_229_140_000)
    assert run.tmux_session == "greeting-loop-7"


def test_a_run_of_the_original_is_shown_with_its_sessions(home: Home):
    home.make("7", claudeSessionId="c", codexThreadId="")
    (run,) = Disk(home.runs).look()
    assert (run.agents, run.sessions, run.trouble) == ({}, {"claude": "c"}, "")


def test_a_run_lives_while_its_root_holds_it(home: Home):
    disk = Disk(home.runs)
    directory = home.make("7", state="working")
    home.make("88")
    assert [(run.run_id, run.stands) for run in disk.look()] == [("88", "completed"), ("7", "down")]
    root = home.hold(directory)
    first, _ = disk.look()
    assert (first.run_id, first.running, first.root_pid) == ("7", True, root.pid)
    assert disk.endpoints == {f"{REPO}/7": "ipc:///tmp/control-1"}
    root.kill()
    root.wait()
    assert [run.stands for run in disk.look()] == ["completed", "down"]
    assert disk.endpoints == {}
    home.hold(directory)
    disk.look()
    assert disk.endpoints == {f"{REPO}/7": "ipc:///tmp/control-2"}


def test_a_run_that_has_only_just_begun_has_no_manifest_yet(home: Home):
    directory = home.runs / REPO / "7"
    directory.mkdir(parents=True)
    assert Disk(home.runs).look() == []
    home.hold(directory)
    (run,) = Disk(home.runs).look()
    assert (run.run_id, run.running) == ("7", True)


def test_what_changes_on_disk_is_seen_at_the_next_look(home: Home):
    disk = Disk(home.runs)
    home.make("7", state="working")
    assert [run.state for run in disk.look()] == ["working"]
    home.make("7", state="failed")
    assert [run.state for run in disk.look()] == ["failed"]
    for file in (home.runs / REPO / "7").iterdir():
        file.unlink()
    assert disk.look() == []


def test_what_an_ended_run_has_spent_is_read_from_its_journal_when_there_is_time(home: Home):
    disk = Disk(home.runs)
    directory = home.make("7")
    (directory / "journal.sqlite").write_bytes(JOURNAL.read_bytes())
    (run,) = disk.look(journals_s=0.0)
    assert run.report is None
    (run,) = disk.look()
    assert run.report is not None
    (again,) = disk.look(journals_s=0.0)  # it is known now
    assert again.report is run.report
    assert not (directory / "journal.sqlite-shm").exists()  # it only looks


def test_a_damaged_journal_is_a_word_of_its_run_and_no_error(home: Home):
    directory = home.make("7")
    home.make("88")
    (directory / "journal.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    other, damaged = Disk(home.runs).look()
    assert "cannot read the journal" in damaged.line
    assert other.trouble == ""


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"'])
def test_a_run_whose_manifest_is_none_is_shown_as_damaged_and_a_file_is_no_run(home: Home, content: str):
    (home.make("7") / "manifest.json").write_text(content)
    (home.runs / "a file").write_text("")
    (view,) = Disk(home.runs).look()
    assert (view.run_id, view.state) == ("7", "damaged")
    assert "manifest.json: it" in view.trouble


def test_the_processes_that_loop_has_recorded_belong_to_its_live_runs(home: Home):
    disk = Disk(home.runs)
    directory = home.make("7")
    place = stale_processes.records_directory(directory, launch_name(f"{REPO}/7", "reviewer"))
    root = home.hold(directory)
    processes.record(place, root.pid)
    disk.look()
    assert disk.owners() == {root.pid: (f"{REPO}/7", "reviewer")}


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path):
    path = tmp_path / "transcript.jsonl"
    path.write_text("".join(f'{{"n": {number}}}\n' for number in range(50_000)) + '{"n": "torn')
    assert [entry["n"] for entry in transcript_tail(tmp_path, 3)] == [49_997, 49_998, 49_999]
    assert len(tail_lines(path)) < 10_000
    assert tail_lines(tmp_path / "missing") == []
