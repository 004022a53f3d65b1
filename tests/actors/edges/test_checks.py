"""Real shells in a real directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from actors.edges import processes
from actors.edges.check_output import HEAD_BYTES, TAIL_BYTES, CheckOutput, make_room
from actors.edges.checks import NOT_RUN, OUTPUT_TAIL_BYTES, TIMED_OUT, CheckProgress, CheckRun
from actors.machines.run import CheckResult
from tests.patience import PATIENCE_S

ENVIRONMENT = {"PATH": os.environ["PATH"]}
# A server that holds what only one can hold; a second one fails as with "address in use".
TAKE = "import fcntl, os, time; lock = open('lock', 'w'); fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)"
SLEEPER = f"{TAKE}; open('pid', 'w').write(str(os.getpid())); time.sleep(1000)"


def run(cwd: Path, *commands: str, timeout_s: float = 60) -> list[CheckResult]:
    results = CheckRun(commands, cwd, ENVIRONMENT, timeout_s=timeout_s).run(lambda _: None)
    assert results is not None
    return results


def left_behind(cwd: Path) -> bool:
    return processes.is_running(int((cwd / "pid").read_text()))


def test_a_check_is_judged_by_its_exit_status_and_the_first_that_fails_ends_the_round(tmp_path: Path) -> None:
    assert run(tmp_path, "echo good", "echo bad >&2; exit 3", "true") == [
        CheckResult(command="echo good", exit_code=0, output_tail="good\n"),
        CheckResult(command="echo bad >&2; exit 3", exit_code=3, output_tail="bad\n"),
    ]


def test_a_check_that_a_signal_ended_has_failed(tmp_path: Path) -> None:
    [result] = run(tmp_path, "kill -SEGV $$")
    assert result.exit_code == -signal.SIGSEGV


@pytest.mark.parametrize(
    "how",
    [
        "{python} -c '{sleeper}' &",
        "setsid {python} -c '{sleeper}' &",
        "(setsid {python} -c '{sleeper}' &);",
        pytest.param(
            "setsid env -i {python} -c '{sleeper}' &",
            marks=pytest.mark.skipif(not processes.HAS_SUBREAPER, reason="found by its parent, a child subreaper"),
        ),
    ],
)
def test_a_server_that_a_check_leaves_in_the_background_is_gone_before_the_next_check(tmp_path: Path, how: str) -> None:
    start = how.format(python=sys.executable, sleeper=SLEEPER.replace("'", '"'))
    again = f'{sys.executable} -c "{TAKE}"'
    results = run(tmp_path, f"{start} while [ ! -s pid ]; do sleep 0.05; done; ! {again}", again)
    assert [each.exit_code for each in results] == [0, 0]
    assert not left_behind(tmp_path)


def test_a_check_that_never_ends_is_ended_and_has_failed_with_what_it_had_printed(tmp_path: Path) -> None:
    others = psutil.Process().children(recursive=True)
    command = f"""echo working; {sys.executable} -c "{SLEEPER}" & setsid sleep 1000"""
    [result] = run(tmp_path, command, timeout_s=3)  # long enough for it to begin
    assert (result.exit_code, result.output_tail) == (TIMED_OUT, "working\n")
    assert "was ended after 3 s" in result.error
    assert set(psutil.Process().children(recursive=True)) <= set(others)


def test_of_an_output_without_end_only_the_last_part_is_kept(tmp_path: Path) -> None:
    [result] = run(tmp_path, "yes x | head -c 30000000; echo; echo last")
    assert len(result.output_tail) == OUTPUT_TAIL_BYTES
    assert result.output_tail.endswith("\nlast\n")


def test_output_that_is_no_text_is_made_text(tmp_path: Path) -> None:
    [result] = run(tmp_path, r"printf '\377\n'")
    assert result.output_tail == "\N{REPLACEMENT CHARACTER}\n"


def test_the_output_of_each_check_is_kept_in_a_file_of_its_own(tmp_path: Path) -> None:
    commands = ["echo one; echo two >&2", "echo three; (sleep 0.1; echo late) & exit 4"]
    results = CheckRun(commands, tmp_path, ENVIRONMENT, output=tmp_path / "kept", name="checks-2").run(lambda _: None)
    assert results is not None
    assert [each.output for each in results] == [str(tmp_path / "kept" / f"checks-2-{n}.log") for n in (1, 2)]
    assert Path(results[0].output).read_text() == "one\ntwo\n"
    assert Path(results[1].output).read_text().startswith("three\n")
    assert (tmp_path / "kept" / "checks-2-1.log").stat().st_mode & 0o777 == 0o600


def test_of_a_long_output_the_beginning_and_the_end_are_kept(tmp_path: Path) -> None:
    commands = ["echo first; yes x | head -c 30000000; echo last"]
    [result] = CheckRun(commands, tmp_path, ENVIRONMENT, output=tmp_path / "kept").run(lambda _: None) or []
    kept = Path(result.output).read_bytes()
    assert len(kept) < HEAD_BYTES + TAIL_BYTES + 100
    assert kept.startswith(b"first\n")
    assert b"28,800,011 bytes are left out here" in kept
    assert kept.endswith(b"last\n")


def test_the_oldest_outputs_make_room(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"checks-{number}-1.log").touch()
        os.utime(tmp_path / f"checks-{number}-1.log", (number, number))
    make_room(tmp_path, most_files=3)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["checks-3-1.log", "checks-4-1.log"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is /dev/full here")
def test_a_folder_that_cannot_be_made_or_a_full_disk_costs_the_file_and_not_the_check(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    [result] = CheckRun(["echo x"], tmp_path, ENVIRONMENT, output=tmp_path / "kept").run(lambda _: None) or []
    assert (result.exit_code, result.output_tail, result.output) == (0, "x\n", "")
    output = CheckOutput(tmp_path / "other", "x.log")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, next(fd for fd in range(3, 64) if opened(fd) == tmp_path / "other" / "x.log"))
    os.close(full)
    output.add(b"lost")
    output.close()


def opened(descriptor: int) -> Path | None:
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:
        return None


def test_a_check_in_a_directory_that_is_gone_has_failed_with_the_cause(tmp_path: Path) -> None:
    [result] = run(tmp_path / "gone", "true")
    assert result.exit_code == NOT_RUN
    assert result.error == f"could not be run: No such file or directory: {tmp_path / 'gone'}"


@pytest.mark.parametrize("command", ["true\0", "true \ud800"])
def test_a_check_that_no_system_can_start_has_failed(tmp_path: Path, command: str) -> None:
    [result] = run(tmp_path, command)
    assert result.exit_code == NOT_RUN
    assert "could not be run" in result.error


def test_a_check_that_still_runs_tells_its_last_line(tmp_path: Path) -> None:
    told: list[CheckProgress] = []

    def tell(progress: CheckProgress) -> None:
        told.append(progress)
        if progress.line:
            (tmp_path / "seen").touch()

    command = "echo half; while [ ! -e seen ]; do sleep 0.05; done"
    results = CheckRun([command], tmp_path, ENVIRONMENT, progress_s=0.1).run(tell)
    assert [each.exit_code for each in results or []] == [0]
    assert told[0] == CheckProgress(command=command, number=1)
    assert told[-1].line == "half"
    assert told[-1].seconds > 0


def test_checks_that_are_broken_off_have_no_result_and_leave_nothing(tmp_path: Path) -> None:
    begun = threading.Event()
    checks = CheckRun([f'{sys.executable} -c "{SLEEPER}"', "true"], tmp_path, ENVIRONMENT, progress_s=0.05)
    results: list[object] = []

    def tell(_: CheckProgress) -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            begun.set()

    thread = threading.Thread(target=lambda: results.append(checks.run(tell)))
    thread.start()
    assert begun.wait(PATIENCE_S)
    checks.cancel()
    thread.join(PATIENCE_S)
    assert results == [None]
    assert not left_behind(tmp_path)


def test_a_check_has_the_signals_that_a_shell_gives_it(tmp_path: Path) -> None:
    [result] = run(tmp_path, "yes | head -n 1; test ! -e /proc/self/status || grep SigIgn /proc/self/status")
    assert result.exit_code == 0
    ignored = [int(line.split()[1], 16) for line in result.output_tail.splitlines() if line.startswith("SigIgn")]
    assert [each & 0x7FFFFFFF for each in ignored] in ([0], [])  # the two above are the C library's own


KILLED = """
import os, signal, sys
from pathlib import Path
from actors.edges.checks import CheckRun

def tell(progress):
    if Path("pid").exists() and Path("pid").read_text():
        os.kill(os.getpid(), signal.SIGKILL)

CheckRun([sys.argv[1]], Path.cwd(), dict(os.environ), progress_s=0.05).run(tell)
"""


def test_a_check_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    command = f'{sys.executable} -c "{SLEEPER}"'
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, command], cwd=tmp_path, env=environment, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    gone, alive = psutil.wait_procs(found(int((tmp_path / "pid").read_text())), timeout=PATIENCE_S)
    assert alive == [], gone


def found(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []
