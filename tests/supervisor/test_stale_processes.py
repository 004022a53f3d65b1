"""What is recorded and still runs is killed with its tree; a process that only has the same pid is not."""

import subprocess
import sys

import msgspec
import pytest

from actors.edges import processes
from supervisor.stale_processes import FORKSERVER, kill, left, records_directory, records_root

TREE = "import os, time; pid = os.fork(); pid and print(pid, flush=True); os.close(1); time.sleep(1000)"


@pytest.fixture
def run_tree():
    """Starts a process with a child, both in a session of their own; returns it and the child's pid."""
    started = []

    def run():
        process = subprocess.Popen(
            [sys.executable, "-c", TREE], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process, int(process.stdout.readline())

    yield run
    for process in started:
        processes.kill_tree(process.pid)
        process.wait()
        process.stdout.close()


def test_recorded_processes_are_killed_with_their_trees_and_the_records_removed(run_tree, tmp_path):
    (one, below_one), (two, below_two) = run_tree(), run_tree()
    processes.record(records_directory(tmp_path, "run/worker"), one.pid)
    processes.record(records_directory(tmp_path, "run/reviewer"), two.pid)
    assert sorted(kill(tmp_path)) == sorted([one.pid, two.pid])
    assert not any(map(processes.is_running, [one.pid, below_one, two.pid, below_two]))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert kill(tmp_path) == []


def test_only_the_records_of_one_child_are_reaped_when_asked_for_it(run_tree, tmp_path):
    (one, _), (two, _) = run_tree(), run_tree()
    processes.record(records_directory(tmp_path, "run/worker"), one.pid)
    processes.record(records_directory(tmp_path, "run/reviewer"), two.pid)
    assert kill(records_directory(tmp_path, "run/worker")) == [one.pid]
    assert processes.is_running(two.pid)


def test_a_process_that_has_the_pid_of_a_recorded_one_is_left_alone(run_tree, tmp_path):
    process, below = run_tree()
    path = processes.record(tmp_path, process.pid)
    record = msgspec.json.decode(path.read_bytes(), type=processes.ProcessRecord)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, started=record.started + "1")))
    assert kill(tmp_path) == []
    assert processes.is_running(process.pid)
    assert processes.is_running(below)
    assert not path.exists()


def test_a_process_that_ended_by_itself_leaves_a_record_that_does_nothing(run_tree, tmp_path):
    process, _ = run_tree()
    path = processes.record(tmp_path, process.pid)
    processes.kill_tree(process.pid)
    process.wait()
    assert kill(tmp_path) == []
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid": "7"}', b"\xff"])
def test_a_record_that_cannot_be_read_is_removed(tmp_path, content):
    (tmp_path / "7.process").write_bytes(content)
    assert kill(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    kill(tmp_path)
    assert (tmp_path / "manifest.json").exists()


def test_a_directory_that_was_never_made_holds_nothing(tmp_path):
    assert kill(tmp_path / "missing") == []


def test_children_with_awkward_names_have_directories_of_their_own(tmp_path):
    names = ["a/b", "a", "..", "a%2Fb", "ä b", "forkserver", ""]
    directories = {records_directory(tmp_path, name) for name in names}
    assert len(directories) == len(names)
    assert all(directory.resolve().parent == records_root(tmp_path).resolve() for directory in directories)
    assert records_root(tmp_path) / FORKSERVER not in directories


def test_what_would_be_killed_can_be_looked_at_and_is_left_as_it_is(run_tree, tmp_path):
    (one, below), (two, _) = run_tree(), run_tree()
    processes.record(records_directory(tmp_path, "run/worker"), one.pid)
    ended = processes.record(records_directory(tmp_path, "run/reviewer"), two.pid)
    processes.kill_tree(two.pid)
    (records_root(tmp_path) / "7.process").write_bytes(b"{")
    assert left(tmp_path) == [one.pid]
    assert ended.exists()
    assert all(map(processes.is_running, [one.pid, below]))
    assert left(tmp_path / "missing") == []
