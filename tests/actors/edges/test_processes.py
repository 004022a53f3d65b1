"""Real process trees: plain children, own sessions, orphans and daemons, and what finds and ends them."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

from actors.edges import processes
from tests.patience import PATIENCE_S

# Prints the pids of what it has below it, one JSON object, then sleeps. A daemon is forked twice, with a session of
# its own between; an orphan is forked twice in the session it was born in.
TREE = """
import json, os, sys, time

def fork(do):
    pid = os.fork()
    if pid == 0:
        do()
        os._exit(0)
    return pid

def sleep():
    os.close(1)  # so that the reader sees the end of our output
    time.sleep(1000)

def through(between):
    "The pid of a grandchild whose parent has ended."
    r, w = os.pipe()
    def parent():
        between()
        os.write(w, str(fork(sleep)).encode())
    os.waitpid(fork(parent), 0)
    return int(os.read(r, 20))

def new_session_with_child():
    "The pid of the leader of a new session, once it has a child."
    r, w = os.pipe()
    def leader():
        os.setsid()
        fork(sleep)
        os.write(w, b".")
        sleep()
    pid = fork(leader)
    os.read(r, 1)
    return pid

below = {
    "plain": fork(sleep),
    "own session": new_session_with_child(),
    "orphan": through(lambda: None),
    "daemon": through(os.setsid),
}
print(json.dumps(below), flush=True)
"""
SLEEP = "os.close(1); time.sleep(1000)"


@pytest.fixture
def run_python():
    """Starts programs, each a session leader; at the end ends them and all pids which they printed."""
    started, seen = [], {}

    def run(program):
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        said = json.loads(process.stdout.readline())
        seen.update((pid, processes.start_time(pid)) for pid in said.values() if isinstance(pid, int))
        return process, said

    yield run
    for process in started:
        processes.kill_tree(process.pid)
        process.kill()
        process.wait()
        process.stdout.close()
    for pid, born in seen.items():
        if born is not None:
            processes.end_stale(pid, born)


def ended(pid):
    return processes.wait_ended(pid, PATIENCE_S)


def test_a_process_is_known_by_its_pid_and_start_time(run_python):
    process, said = run_python(TREE + SLEEP)
    assert processes.start_time(process.pid) == processes.start_time(process.pid)
    assert processes.start_time(os.getpid()) != processes.start_time(process.pid)
    process.kill()
    process.wait()
    assert processes.start_time(process.pid) is None
    assert not processes.is_running(process.pid)
    assert processes.is_running(said["plain"])


def test_a_process_that_has_ended_and_was_not_waited_for_does_not_run(run_python):
    process, _ = run_python(TREE + SLEEP)
    process.kill()
    assert ended(process.pid)
    assert processes.start_time(process.pid) is not None
    assert not processes.is_running(process.pid)
    assert process.wait() == -signal.SIGKILL  # its status was left to us


def test_waiting_for_a_process_that_runs_ends_at_the_time_out(run_python):
    process, _ = run_python(TREE + SLEEP)
    assert not processes.wait_ended(process.pid, 0.01)


def test_a_tree_has_children_of_other_sessions_and_orphans_of_its_own(run_python):
    process, said = run_python(TREE + SLEEP)
    found = processes.tree(process.pid)
    assert {said["plain"], said["own session"], said["orphan"]} <= found
    assert process.pid not in found
    assert os.getpid() not in processes.tree(os.getppid())  # the caller would end before its work is done


def test_killing_a_tree_leaves_none_of_it_and_nothing_else_is_touched(run_python):
    other, _ = run_python(TREE + SLEEP)
    process, _ = run_python(TREE + SLEEP)
    before = processes.tree(process.pid)
    assert len(before) >= 4  # the three, and the child of the one with its own session
    assert processes.kill_tree(process.pid) == set()
    assert not any(map(processes.is_running, [process.pid, *before]))
    assert process.wait() == -signal.SIGKILL
    assert processes.is_running(other.pid)


def test_the_tree_of_a_process_that_has_ended_is_what_is_left_of_its_session(run_python):
    process, said = run_python(TREE + SLEEP)
    process.kill()
    process.wait()
    assert {said["plain"], said["orphan"]} <= processes.tree(process.pid)
    processes.kill_tree(process.pid)
    assert ended(said["plain"])
    assert ended(said["orphan"])


def test_a_tree_that_forks_while_it_is_killed_does_not_escape(run_python):
    spawner = """
        import os, time
        print('{"forks": 0}', flush=True)
        os.close(1)
        while True:
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(1000)
                time.sleep(1000)
            time.sleep(0.001)
        """
    for number in range(5):
        program = f"# spawner {number} of {os.getpid()}" + textwrap.dedent(spawner)
        process, _ = run_python(program)
        assert processes.kill_tree(process.pid) == set()
        process.wait()
        escaped = [p.pid for p in psutil.process_iter(["cmdline"]) if program in (p.info["cmdline"] or ())]
        for pid in escaped:
            os.kill(pid, signal.SIGKILL)
        assert escaped == []


def test_a_stopped_tree_is_killed_as_well(run_python):
    process, said = run_python(TREE + SLEEP)
    for pid in (process.pid, said["own session"]):
        os.kill(pid, signal.SIGSTOP)
    processes.kill_tree(process.pid)
    assert ended(process.pid)
    assert ended(said["own session"])


@pytest.mark.parametrize("program", ["sys.exit(7)", SLEEP])
def test_the_caller_kills_its_tree_and_lives_on(run_python, program):
    """As an actor does when its lifeline ends. With a child subreaper that includes daemons."""
    kills = """
from actors.edges import processes
adopts = processes.become_subreaper()
"""
    reports = """
left = processes.kill_tree(os.getpid(), itself=False)
print(json.dumps({"adopts": adopts, "left": sorted(left)}), flush=True)
"""
    process, said = run_python(kills + TREE + reports + program)
    report = json.loads(process.stdout.readline())
    assert report["left"] == []
    assert report["adopts"] == (sys.platform == "linux")
    gone = ["plain", "own session", "orphan"] + ["daemon"] * report["adopts"]
    assert not any(processes.is_running(said[name]) for name in gone)
    if program == SLEEP:
        assert processes.is_running(process.pid)
    else:
        assert process.wait() == 7


def test_children_are_those_of_this_process_with_the_ended_ones(run_python):
    process, said = run_python(TREE + SLEEP)
    assert process.pid in processes.children()
    assert said["plain"] not in processes.children()
    process.kill()
    assert ended(process.pid)
    assert process.pid in processes.children()
    process.wait()
    assert process.pid not in processes.children()


def test_a_stale_process_is_ended_only_under_its_own_identity(run_python):
    process, said = run_python(TREE + SLEEP)
    born = processes.start_time(process.pid)
    assert not processes.end_stale(process.pid, born + "0")
    assert processes.is_running(process.pid)
    assert processes.end_stale(process.pid, born)
    assert ended(process.pid)
    assert ended(said["plain"])
    process.wait()
    assert not processes.end_stale(process.pid, born)


def test_a_record_holds_pid_and_start_time_and_is_written_again_for_the_next_owner_of_the_pid(run_python, tmp_path):
    process, _ = run_python(TREE + SLEEP)
    directory = tmp_path / "records" / "worker"
    assert processes.record(directory, process.pid)
    assert processes.record(directory, process.pid)
    (path,) = directory.iterdir()
    assert json.loads(path.read_text()) == {"pid": process.pid, "started": processes.start_time(process.pid)}
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_process_that_is_gone_is_not_recorded(run_python, tmp_path):
    process, _ = run_python(TREE + SLEEP)
    process.kill()
    process.wait()
    assert not processes.record(tmp_path / "records", process.pid)
    assert not (tmp_path / "records").exists()


def test_a_record_that_finds_no_room_costs_nobody_his_life(tmp_path):
    (tmp_path / "full").write_text("no directory can be made here")
    assert processes.record(tmp_path / "full" / "of worker", os.getpid()) is None
