"""A short seed of the chaos, and what is left of it and of the benchmark when they are ended; `scripts/chaos` plays
longer ones.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from supervisor.run_tree import CHILDREN
from tests.lab.world import kill

ROOT = Path(__file__).parents[2]
CHAOS = [sys.executable, "-m", "scripts.chaos"]
LINUX = pytest.mark.skipif("sys.platform != 'linux'", reason="the chaos needs prlimit and /proc")


@LINUX
@pytest.mark.timeout(300)  # half a minute on an idle machine
def test_runs_of_two_seeds_that_are_hit_again_and_again_lose_nothing_and_do_nothing_twice():
    command = [*CHAOS, "--kills", "10", "--seeds", "2-3", "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    # Of a run that ends before all of its hits, the rest go to another one.
    assert re.search(r"^\d runs, 10 hits, 10 recovered", done.stdout, re.MULTILINE)
    assert "0 lost, 0 repeated, 0 orphans" in done.stdout


@LINUX
@pytest.mark.timeout(300)
def test_runs_with_troubles_end_as_their_troubles_explain():
    command = [*CHAOS, "--trouble", "--runs", "2", "--seeds", "6,19", "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^seed 6, run 1: ok, .*: failed: .*--no-wait", done.stdout, re.MULTILINE)
    assert re.search(r"^seed 19, run 1: ok, .*: completed: review approved", done.stdout, re.MULTILINE)
    assert "2 runs, 2 ended as their troubles explain, " in done.stdout
    assert "0 lost, 0 repeated, 0 orphans" in done.stdout


@LINUX
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--seeds", "9-3"], "'9-3' is no seed and no range of seeds: give one as 1-20"),
        (["--seeds", "1-3", "--run", "4"], "--run 4 is a run of one seed, and there are 3: give one --seed"),
    ],
)
def test_a_campaign_that_cannot_be_is_refused_with_what_was_wrong(words: list[str], complaint: str):
    done = subprocess.run([*CHAOS, *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert complaint in done.stderr


@contextmanager
def playing(script: str, words: list[str], folder: Path, runs: int) -> Iterator[subprocess.Popen[str]]:
    """The script, once the actors of so many runs in worlds below `folder` are up; nothing of it is left afterwards."""
    command = [sys.executable, "-m", f"scripts.{script}", *words]
    environment = os.environ | {"TMPDIR": str(folder)}
    program = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        with program:
            while sum(map(is_up, folder.glob("loop-*/home/.loop/runs/*/1/log"))) < runs:
                with suppress(subprocess.TimeoutExpired):
                    pytest.fail(f"it has ended before: {program.wait(0.1)}")
            yield program
    finally:
        program.kill()
        kill(left_in(folder))


def is_up(log: Path) -> bool:
    return len(set(re.findall(r"(\w+)#\d+ is ready: pid", log.read_text()))) == len(CHILDREN)


def left_in(folder: Path) -> list[psutil.Process]:
    """What was started in the script's worlds: their homes are in there."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("HOME", "").startswith(f"{folder}/"):
                found.append(process)
    return found


@pytest.mark.parametrize(
    ("script", "words", "runs", "number"),
    [
        pytest.param("chaos", ["--jobs", "2"], 2, signal.SIGTERM, marks=LINUX),
        pytest.param("chaos", ["--run", "1"], 1, signal.SIGINT, marks=LINUX),
        ("bench", ["control"], 1, signal.SIGTERM),
        ("bench", ["control"], 1, signal.SIGHUP),
    ],
)
def test_a_script_that_a_signal_ends_leaves_no_process_and_no_world(
    tmp_path: Path, script: str, words: list[str], runs: int, number: signal.Signals
):
    with playing(script, words, tmp_path, runs) as program:
        program.send_signal(number)
        assert program.wait() == 128 + number
        assert left_in(tmp_path) == []
        assert list(tmp_path.iterdir()) == []


@LINUX
def test_the_runs_of_a_campaign_that_is_killed_end_with_it(tmp_path: Path):
    with playing("chaos", ["--jobs", "2"], tmp_path, 2) as program:
        players = psutil.Process(program.pid).children()
        program.kill()
        psutil.wait_procs(players)
        assert left_in(tmp_path) == []
        assert list(tmp_path.iterdir()) == []
