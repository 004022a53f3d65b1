"""Ctrl-C once and twice, SIGTERM, max iterations, a second root, and going on afterwards."""

import os
import signal

import pytest

from tests.end_to_end.conftest import CHECK, TASK, World

WORKING = r"iteration 1 of 20: waits for"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_in_order_and_the_run_can_be_resumed(embedded: World, number: signal.Signals):
    loop = embedded.start("--agent", "embedded", "--check", CHECK, TASK)
    loop.wait_for(WORKING)
    loop.signal(number)
    assert loop.wait() == 130
    assert (embedded.manifest()["state"], embedded.manifest()["status"]) == ("stopped", "stopped")
    assert "[loop] to resume: loop --run-id 1" in loop.output
    assert embedded.survivors() == []
    resumed = embedded.run("--run-id", "1")  # as the hint says: the run knows its agents
    assert resumed.process.returncode == 0, resumed.output
    assert embedded.manifest()["state"] == "completed"


def test_the_second_signal_ends_everything_at_once(hanging: World):
    loop = hanging.start("--agent", "embedded", TASK)
    loop.wait_for("are ready")
    os.kill(loop.pid_of("worker"), signal.SIGSTOP)  # else the first signal may have ended everything already
    loop.signal(signal.SIGINT)
    loop.wait_for("repeat it to stop immediately")
    loop.signal(signal.SIGINT)
    assert loop.wait() == 130
    assert "stopping immediately" in loop.output
    assert hanging.survivors() == []


def test_a_turn_that_hangs_is_interrupted_by_a_stop(hanging: World):
    loop = hanging.start("--agent", "embedded", TASK)
    loop.wait_for("planning: waits for")
    loop.wait_for("session .*-")
    loop.signal(signal.SIGINT)
    assert loop.wait() == 130
    assert "did not end in time" not in loop.output
    assert hanging.manifest()["state"] == "stopped"
    assert hanging.survivors() == []


def test_a_run_has_one_root(embedded: World):
    first = embedded.start("--agent", "embedded", TASK)
    first.wait_for(WORKING)
    second = embedded.run("--agent", "embedded", "--run-id", "1")
    assert second.process.returncode == 2
    assert f"already active in process {first.process.pid}" in second.output
    assert first.wait() == 0


def test_two_runs_of_one_repository_have_numbers_of_their_own(hanging: World):
    first = hanging.start("--agent", "embedded", TASK)
    first.wait_for("planning")
    second = hanging.start("--agent", "embedded", TASK, LOOP_RUN_ID="other")
    second.wait_for("planning")
    first.signal(signal.SIGINT)
    second.signal(signal.SIGINT)
    assert {first.wait(), second.wait()} == {130}
    assert {hanging.manifest("1")["runId"], hanging.manifest("other")["runId"]} == {"1", "other"}


def test_a_session_id_finds_its_run(embedded: World):
    loop = embedded.start("--agent", "embedded", TASK)
    loop.wait_for(WORKING)
    loop.signal(signal.SIGINT)
    loop.wait()
    session = embedded.manifest()["sessions"]["reviewer"]
    refused = embedded.run("--agent", "claude", "--session", session)
    assert (refused.process.returncode, len(refused.lines)) == (2, 1)
    assert "--agent claude: run 1 is one of embedded and embedded" in refused.lines[0]
    resumed = embedded.run("--session", session)
    assert resumed.process.returncode == 0, resumed.output
    assert embedded.manifest()["state"] == "completed"
    unknown = embedded.run("--agent", "embedded", "--session", "zzz", TASK)
    assert unknown.process.returncode == 1
    assert "without --session a new one begins" in unknown.lines[-3], unknown.output
    assert "retry" not in unknown.output  # it would meet the same
    said = [line for line in unknown.lines if "cannot load session zzz" in line]
    assert len(said) == 3, said  # the agent before its first turn, how the run ended, and the last word of loop


def test_out_of_iterations_without_a_terminal_the_run_stops_and_more_of_them_let_it_go_on(embedded: World):
    loop = embedded.run("--agent", "embedded", "--check", CHECK, "-m", "1", TASK)
    assert loop.process.returncode == 1
    assert embedded.manifest()["state"] == "stopped"
    resumed = embedded.run("--run-id", "1", "-m", "20")  # the default counts as well, when it is typed
    assert resumed.process.returncode == 0, resumed.output
    assert "iteration 2 of 20" in resumed.output
    assert f"check $ {CHECK}" in resumed.output
    assert embedded.manifest()["state"] == "completed"


def test_a_run_is_found_from_another_directory_and_goes_along_with_its_repository(hanging: World):
    first = hanging.start("--agent", "embedded", TASK)
    first.wait_for("planning: waits for embedded")
    second = hanging.start("--agent", "embedded", TASK)
    second.wait_for(r"run 1 works in this directory as well: loop shell 1 attaches to it, and --worktree gives")
    for loop in (first, second):
        loop.signal(signal.SIGINT)
        loop.wait()
    anywhere = f"cd {hanging.project} && loop --run-id 1"
    key = f"{hanging.run_directory().parent.name}/1"
    assert f"to resume it: {anywhere}" in hanging.run("status", key, cwd=str(hanging.base)).output
    elsewhere = hanging.run("--run-id", "1", cwd=str(hanging.base))
    assert (elsewhere.process.returncode, elsewhere.lines) == (
        2, [f"[loop] error: no run '1' in this repository, but elsewhere: {anywhere}"],
    )  # fmt: skip
    moved = hanging.base / "moved" / "project"
    moved.parent.mkdir()
    hanging.project.rename(moved)
    again = hanging.start("--run-id", "1", cwd=str(moved))
    again.wait_for(f"run 1 was in another place, which is gone: it continues here, in {moved}")
    again.wait_for("planning: waits for embedded")
    again.signal(signal.SIGINT)
    again.wait()
    assert hanging.manifest()["cwd"] == str(moved)
