"""The end of a throw-away world, whose processes may end by themselves at any moment."""

import subprocess
import sys
from pathlib import Path

import psutil

from actors.edges import processes
from tests.lab.world import PATIENCE_S, World, described, kill


def test_a_process_that_has_ended_by_itself_is_no_obstacle_to_ending_the_others():
    ended = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    other = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    looked_at = [psutil.Process(ended.pid), psutil.Process(other.pid)]
    ended.communicate()
    kill(looked_at)
    with other:
        assert other.wait(PATIENCE_S) == -9
    assert described(looked_at[0]) == f"{ended.pid} (gone)"


def test_a_world_that_is_left_has_ended_what_was_started_in_it_whatever_session_that_went_to(tmp_path: Path):
    fork = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)"
    with World(tmp_path) as world:
        world.start_program(sys.executable, "-c", fork).process.wait(PATIENCE_S)
        (sleeper,) = world.survivors()
    assert not processes.is_running(sleeper.pid)
    assert world.survivors() == []
