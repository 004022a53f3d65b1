"""When an agent's program is started again, and when it is given up: the whole table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.machines import turn
from actors.messages import Purpose, TurnOutcome
from actors.session import keeping
from actors.session.keeping import (
    DOUBT_DELAY_S,
    REOPEN_DELAYS_S,
    CouldNotServe,
    EndedIdle,
    GiveUp,
    Keeping,
    LeftInDoubt,
    LostInTurn,
    Rest,
    Rested,
    TurnAnswered,
)

FAILS = CouldNotServe(permanent=False)
CANNOT = CouldNotServe(permanent=True)
EVENTS = [TurnAnswered(), LostInTurn(), EndedIdle(), FAILS, CANNOT, LeftInDoubt(), Rested()]


def after(*events: keeping.Event) -> tuple[Keeping, list[Rest | GiveUp]]:
    """The state, and all that was ordered."""
    state, commands = Keeping(), []
    for event in events:
        state, command = keeping.decide(state, event)
        if command is not None:
            commands.append(command)
    return state, commands


@pytest.mark.parametrize(
    ("events", "waits_s"),
    [
        ([LostInTurn()], [0.0]),
        ([LostInTurn()] * 7, [0.0, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]),
        ([LostInTurn(), LostInTurn(), TurnAnswered(), LostInTurn()], [0.0, 0.5, 0.0]),
        ([EndedIdle()], [0.5]),
        ([EndedIdle()] * 6, [0.5, 1.0, 2.0, 5.0, 5.0, 5.0]),
        ([EndedIdle(), TurnAnswered(), EndedIdle()], [0.5, 0.5]),
        ([FAILS] * 4, [0.0, 0.5, 1.0, 2.0]),
        ([LostInTurn(), FAILS], [0.0, 0.5]),
        ([EndedIdle(), FAILS], [0.5, 0.0]),
        ([FAILS, Rested(), FAILS], [0.0, 0.5]),
        ([LeftInDoubt()], [DOUBT_DELAY_S]),
    ],
)
def test_a_program_is_started_again_after_a_pause_that_grows_until_it_is_of_use(events, waits_s):
    state, commands = after(*events)
    assert commands == [Rest(wait_s) for wait_s in waits_s]
    assert state.resting


def test_a_program_that_fails_once_more_than_there_are_pauses_is_given_up():
    state, commands = after(*[FAILS] * len(REOPEN_DELAYS_S))
    assert commands[-1] == GiveUp()
    assert state.failures == 0


def test_a_program_that_cannot_run_here_is_given_up_at_once():
    assert after(CANNOT)[1] == [GiveUp()]


def test_after_giving_up_the_next_failure_begins_a_new_series():
    assert after(CANNOT, FAILS)[1] == [GiveUp(), Rest(0.0)]


@pytest.mark.parametrize("event", [TurnAnswered(), Rested()])
def test_what_is_no_failure_orders_nothing(event):
    assert after(event)[1] == []


def test_a_turn_that_comes_back_ends_no_pause():
    assert after(EndedIdle(), TurnAnswered())[0] == Keeping(resting=True)


def test_a_pause_ends_when_it_is_over():
    assert after(EndedIdle(), Rested())[0] == Keeping(endings=1)


@given(st.lists(st.sampled_from(EVENTS), max_size=60))
def test_whatever_happens_a_pause_is_ordered_exactly_when_one_begins(events):
    state = Keeping()
    for event in events:
        state, command = keeping.decide(state, event)
        if isinstance(command, Rest):
            assert state.resting
            assert 0 <= command.delay_s <= DOUBT_DELAY_S
        if isinstance(event, Rested):
            assert not state.resting


# --- what waits for it ------------------------------------------------------------------------------------------------


def entry(purpose: Purpose, status: turn.Status = "intended") -> turn.Entry:
    return turn.Entry(turn_id="t", purpose=purpose, prompt="p", model="", message_id="m", status=status)


@pytest.mark.parametrize("status", ["intended", "submitted", "running"])
@pytest.mark.parametrize("purpose", ["work", "review", "plan", "brief", "human", "mail"])
def test_only_mail_that_the_agent_may_have_is_left_in_doubt_when_it_is_given_up(purpose: Purpose, status: turn.Status):
    expected = "failed" if purpose != "mail" else "withdrawn" if status == "intended" else "in doubt"
    assert keeping.fate(entry(purpose, status)) == expected


@pytest.mark.parametrize(
    ("ledger", "first", "wanted"),
    [
        (turn.Ledger(), None, None),
        (turn.Ledger(), "of the user", "of the user"),
        (turn.Ledger(session_id="own"), "of the user", "own"),
        (turn.Ledger(session_id="own", full=True), "of the user", None),
    ],
)
def test_the_sessions_own_is_opened_before_the_users_and_none_that_is_full(ledger: turn.Ledger, first, wanted):
    assert keeping.wanted_session(ledger, first) == wanted


def test_a_session_that_is_gone_is_missed_only_when_the_agent_had_something():
    assert not keeping.is_missed(turn.Ledger(open={"t": entry("work")}))
    assert keeping.is_missed(turn.Ledger(open={"t": entry("work", "submitted")}))
    assert keeping.is_missed(turn.Ledger(settled={"t": TurnOutcome(status="finished")}))
