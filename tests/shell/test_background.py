"""A command that runs beside a prompt."""

import queue

import pytest

from actors.errors import OperationalError
from shell.background import Background

PATIENCE_S = 20.0
BUSY = ("sh", "-c", 'trap "exit 3" TERM; echo "begun: $*"; while :; do sleep 0.05; done', "sh")


def test_a_command_beside_the_prompt_is_loop_itself_and_its_lines_are_shown():
    lines: list[str] = []
    running = Background(lines.append)
    running.start("cost", "1", "--all")
    running.wait()
    running.close()
    assert "loop cost takes RUN or --all, not both" in lines[0]


def test_a_second_command_is_refused_while_the_first_one_runs_and_the_prompt_takes_it_along():
    lines: queue.Queue[str] = queue.Queue()
    running = Background(lines.put, BUSY)
    running.start("verify", "7")
    assert lines.get(timeout=PATIENCE_S) == "begun: verify 7"
    with pytest.raises(OperationalError, match="loop verify is running: wait for its end"):
        running.start("verify", "7")
    running.close()
    running.wait()
    running.start("verify", "7")
    assert lines.empty()  # a closed prompt starts nothing
