"""What the chaos takes for a lost move and for a second writer."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

import pytest

from scripts.chaos_moves import AGENT, ROLE, Asked, Writers, faults
from tests.lab.world import MARK, PATIENCE_S

LONG = 1_000.0  # the run ended long after all requests


def asked(role: str = "worker", place: str = "big", *, at: float = 10.0, status: int = 0, text: str = "") -> Asked:
    return Asked(at, role, place, now=False, status=status, text=text)


@pytest.mark.parametrize(
    ("requests", "lines", "places"),
    [
        ([asked()], [], {"worker": "big"}),
        ([asked()], [(11.0, "10:00 loop  worker continues at home: big is given up")], {}),
        ([asked()], [(11.0, "10:00 loop  host big: it does not answer; worker stays at home")], {}),
        ([asked(), asked(place="home", at=20.0)], [], {}),
        ([asked(status=2, text="[loop] error: worker is at big already")], [], {}),
        ([asked(status=1, text="[loop] error: run 1 is not running (working)")], [], {}),
        ([asked(at=LONG - 5)], [], {}),
    ],
)
def test_a_move_that_has_come_true_was_given_up_or_refused_is_no_fault(
    requests: list[Asked], lines: list[tuple[float, str]], places: dict[str, str]
) -> None:
    assert faults(requests, lines, places, LONG) == []


@pytest.mark.parametrize(
    ("request_", "lines", "words"),
    [
        (asked(), [], "lost move: worker to big"),
        (asked(), [(1.0, "10:00 loop  worker continues at home: big is given up")], "lost move"),
        (asked(), [(11.0, "10:00 loop  place worker big: worker stays at home")], "lost move"),
        (asked(status=2, text="[loop] error: KeyError('big')"), [], "exit status 2"),
        (asked(status=2, text="[loop] error: worker is at big already\nTraceback"), [], "not in one line"),
        (asked(status=1, text="[loop] error: worker is at big already"), [], "exit status 1"),
        (asked(status=70), [], "exit status 70"),
    ],
)
def test_a_move_of_which_nothing_came_and_an_answer_that_nobody_understands_are_faults(
    request_: Asked, lines: list[tuple[float, str]], words: str
) -> None:
    (fault,) = faults([request_], lines, {}, LONG)
    assert words in fault


def test_two_agents_of_one_role_at_once_are_seen_and_two_of_two_roles_are_not() -> None:
    writers = Writers("a-mark", [])
    with ExitStack() as stack:

        def agent(role: str) -> None:
            words = [sys.executable, "-c", "import sys; sys.stdin.read()", AGENT, ROLE, role]
            process = stack.enter_context(subprocess.Popen(words, stdin=subprocess.PIPE, env={MARK: "a-mark"}))
            stack.callback(process.kill)

        agent("worker")
        agent("reviewer")
        writers.start()
        stack.callback(writers.stop)
        assert writers.faults == []
        agent("reviewer")
        assert writers.found.wait(PATIENCE_S)
    assert [" of reviewer lived at once" in fault for fault in writers.faults] == [True]
