"""A command that runs beside a prompt."""

import queue

import pytest

from actors.errors import OperationalError
from shell.background import Background
from tests.patience import PATIENCE_S

BUSY = ("sh", "-c", 'trap "exit 3" TERM; echo begun; while :; do sleep 0.05; done')


def test_a_second_command_is_refused_while_the_first_one_runs_and_the_prompt_takes_it_along():
    lines: queue.Queue[str] = queue.Queue()
    running = Background(lines.put)
    running.start("verify", BUSY)
    assert lines.get(timeout=PATIENCE_S) == "begun"
    with pytest.raises(OperationalError, match="verify is running: wait for its end"):
        running.start("verify", BUSY)
    running.close()
    running.wait()
    running.start("verify", BUSY)
    assert lines.empty()  # a closed prompt starts nothing
