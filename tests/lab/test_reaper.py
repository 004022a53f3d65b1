"""A test run that is killed leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.edges import processes
from tests.lab.reaper import ROOT, VARIABLE
from tests.lab.world import PATIENCE_S, described, marked

HANGS = """
[[turn]]
when = ""
step = [{fault = {hang = true, times = 99}}]
"""
KILLED = """
import signal
from pathlib import Path
from tests.lab.world import World

def test_it(tmp_path):
    base = tmp_path / "world"
    base.mkdir()
    (base / "hangs.toml").write_text(Path(__file__).with_name("hangs.toml").read_text())
    with World(base) as world:
        world.play_embedded(base / "hangs.toml")
        world.run("submit", "--agent", "embedded", "make it polite")
        serve = world.start("serve")
        serve.wait_for("/1 .*session")
        print("at work", world.mark, flush=True)
        signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_test_run_that_is_killed_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "hangs.toml").write_text(HANGS)
    (tmp_path / "test_killed.py").write_text(KILLED)
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-p", "tests.conftest"),
            *(f"--rootdir={ROOT}", f"--basetemp={tmp_path / 'temporary'}", str(tmp_path / "test_killed.py")),
        ],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != VARIABLE},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None
    with run, run.stdout as output:
        mark = next(line.split()[2] for line in output if line.startswith("at work"))
        left = marked(mark)
        assert any("serve" in described(process) for process in left)
        assert any("actors.embedded.agent" in described(process) for process in left)
        os.kill(run.pid, number)
        assert run.wait(PATIENCE_S) == -number
        while left:  # with those that were started meanwhile
            assert [described(each) for each in left if not processes.wait_ended(each.pid, PATIENCE_S)] == []
            left = marked(mark)
