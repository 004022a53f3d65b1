"""When an agent counts as silent: the rules as a table, with the time as an argument."""

from __future__ import annotations

import pytest

from actors.messages import Patience, TurnOutcome, Usage
from actors.session import silence
from actors.session.silence import Again, NoOutput, Overdue, Silent, Watch, judge

TEN_MINUTES = Patience(silence_ms=600_000, tool_ms=7_200_000)
SLEEP = {"call-1": "shell sleep 1200"}


@pytest.mark.parametrize(
    ("watch", "now_s", "finding"),
    [
        (Watch(heard_s=100), 101, Again(700)),
        (Watch(heard_s=100), 699.9, Again(700)),
        (Watch(heard_s=100), 700, Silent("nothing was heard from it for 10 m")),
        (Watch(heard_s=650), 700, Again(1_250)),
        (Watch(heard_s=100, asks=True), 9_999, Again(None)),
        # a tool that runs is not silence: the user is told once, and only the tool's own limit ends it
        (Watch(heard_s=100, running=SLEEP), 699, Again(700)),
        (Watch(heard_s=100, running=SLEEP), 700, NoOutput("shell sleep 1200")),
        (Watch(heard_s=100, running=SLEEP, told_s=700), 700, Again(7_300)),
        (Watch(heard_s=100, running=SLEEP, told_s=700), 1_300, Again(7_300)),
        (Watch(heard_s=800, running=SLEEP, told_s=700), 1_400, NoOutput("shell sleep 1200")),
        (
            Watch(heard_s=100, running=SLEEP, told_s=700),
            7_300,
            Silent("nothing was heard from it for 2 h, while this ran: shell sleep 1200"),
        ),
        # the turn's own limit counts whatever happens, a question to the user too
        (Watch(heard_s=699, until_s=700), 700, Overdue()),
        (Watch(heard_s=699, until_s=700, asks=True), 700, Overdue()),
        (Watch(heard_s=100, until_s=400), 200, Again(400)),
        # background tasks that nobody has named
        (Watch(heard_s=100, background_s=100), 700, NoOutput("a background task")),
        # the agent's answer to the question is not a new beginning
        (Watch(heard_s=702, background_s=100, asked=True), 1_302, Again(7_300)),
        (Watch(heard_s=702, background_s=100, asked=True), 7_300, Silent("nothing was heard from it for 2 h")),
    ],
)
def test_what_is_wrong_with_a_turn_follows_from_what_was_heard_and_what_runs(
    watch: Watch, now_s: float, finding: silence.Finding
) -> None:
    assert judge(watch, TEN_MINUTES, now_s) == finding


def test_nothing_is_silence_in_a_run_without_limits_but_background_tasks_end() -> None:
    assert judge(Watch(heard_s=0), Patience(), 999_999) == Again(None)
    assert judge(Watch(heard_s=0, running=SLEEP), Patience(), 600) == Again(1_200)
    assert isinstance(judge(Watch(heard_s=0, running=SLEEP, background_s=0), Patience(), 600), Silent)


def test_a_tool_may_run_without_limit_where_only_silence_has_one() -> None:
    patience = Patience(silence_ms=600_000)
    assert judge(Watch(heard_s=0, running=SLEEP), patience, 600) == NoOutput("shell sleep 1200")
    assert judge(Watch(heard_s=0, running=SLEEP, told_s=600), patience, 999_999) == Again(1_000_599)


def test_the_time_in_which_this_process_was_stopped_does_not_count() -> None:
    watch = Watch(heard_s=100, until_s=900)
    woken = silence.woken(watch, due_s=700, now_s=4_300)
    assert (woken.heard_s, woken.until_s) == (4_300, 4_500)
    assert judge(woken, TEN_MINUTES, 4_300) == Again(4_500)
    assert silence.woken(watch, due_s=700, now_s=701) == watch
    assert silence.woken(watch, due_s=700, now_s=150) == watch


def test_a_resumed_turn_has_what_is_left_of_its_time_but_some_time_in_any_case() -> None:
    assert silence.time_left_ms(3_600_000, 0, 99) == 3_600_000
    assert silence.time_left_ms(3_600_000, 1_000, 601_000) == 3_000_000
    assert silence.time_left_ms(3_600_000, 1_000, 99_999_000) == 900_000
    assert silence.time_left_ms(3_600_000, 5_000, 1_000) == 3_600_000  # the clock was set back
    assert silence.time_left_ms(0, 1_000, 601_000) == 0


def test_the_shortest_of_several_limits_counts() -> None:
    assert silence.shortest(0, 5, 3) == 3
    assert silence.shortest(0, 0) == 0


def test_a_silent_turn_is_tried_in_its_session_and_in_a_new_one_and_then_given_up() -> None:
    counts = [1]
    for _ in range(2):
        counts.append(silence.count(counts[-1], lived_s=1))
    assert [silence.remedy(count) for count in counts] == ["same session", "new session", "give up"]
    assert silence.remedy(silence.count(2, lived_s=silence.HEALTHY_S)) == "same session"


def test_a_turn_that_is_given_up_says_why_and_keeps_what_it_cost() -> None:
    cost = Usage(output_tokens=7)
    outcome = silence.given_up(
        Silent("nothing was heard from it for 10 m"), TurnOutcome(status="interrupted", usage=cost)
    )
    assert (outcome.status, outcome.cause, outcome.usage) == ("failed", "silent", cost)
    assert outcome.error.startswith("the agent is silent: nothing was heard from it for 10 m")
