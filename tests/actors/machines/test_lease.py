import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import UserError
from actors.machines import lease
from actors.machines.lease import MARGIN_S, Granted, Held

moments = st.floats(0, 1_000, allow_nan=False)


def test_a_lease_runs_from_the_question_and_not_from_its_answer():
    held = Held(stop_after_s=30, until_s=30)
    number = held.ask(10)
    held.granted(number, 12.5)  # whenever it arrives
    assert held.until_s == 40
    assert held.round_trip_s == 2.5


def test_an_answer_to_no_question_prolongs_nothing():
    held = Held(stop_after_s=30, until_s=30)
    held.granted(7, 8)
    assert held.until_s == 30
    assert held.round_trip_s is None


def test_an_older_answer_that_comes_later_shortens_nothing():
    held = Held(stop_after_s=30, until_s=30)
    first, second = held.ask(5), held.ask(10)
    held.granted(second, 11)
    held.granted(first, 12)
    assert held.until_s == 40


@given(st.lists(st.tuples(moments, moments), max_size=30), st.floats(1, 100), st.floats(MARGIN_S, 100))
def test_a_host_has_ended_before_home_gives_it_up(questions, stop_after_s, margin_s):
    """Whatever is lost or late: (when the host asks, how long the way takes). Both clocks are the same one here."""
    held = Held(stop_after_s=stop_after_s, until_s=stop_after_s)
    granted = Granted(lost_after_s=stop_after_s + margin_s, at_s=0)
    now_s = 0.0
    for wait_s, way_s in questions:
        now_s += wait_s
        if now_s >= held.until_s:
            break
        number = held.ask(now_s)
        granted.at_s = max(granted.at_s, now_s + way_s)
        held.granted(number, now_s + way_s)
    assert held.until_s + margin_s <= granted.at_s + granted.lost_after_s + 1e-6


def test_the_next_question_is_due_several_times_within_a_lease():
    held = Held(stop_after_s=30, until_s=30)
    assert held.next_ask_s(0) == 6
    held.ask(6)
    assert held.next_ask_s(6) == 6
    assert held.next_ask_s(20) == 0


@pytest.mark.parametrize(
    ("stop", "lost", "words"),
    [
        (0.5, 60, "stop_after_s is 0.5: give 1 to 86,400 seconds"),
        (math.nan, 60, "stop_after_s is nan: give 1 to"),
        (30, math.nan, "lost_after_s is nan: give 1 to"),
        (math.inf, math.inf, "stop_after_s is inf: give 1 to"),
        (30, 1e300, r"lost_after_s is 1e\+300: give 1 to"),
        (30, 31, "at least stop_after_s"),
    ],
)
def test_spans_with_which_two_could_write_are_refused(stop, lost, words):
    with pytest.raises(UserError, match=words):
        lease.check("big", stop, lost)
