"""What a session does next, and what goes into a turn that runs, in every state."""

from itertools import product
from typing import get_args

import pytest

from actors.errors import AgentError, AgentUnavailableError, AgentUnusableError
from actors.machines import turn
from actors.messages import ROLE_PROMPT, Purpose
from actors.session import choices

NOW_MS = 1_000


def entry(turn_id: str, purpose: Purpose = "work", status: turn.Status = "intended", **more) -> turn.Entry:
    return turn.Entry(
        turn_id=turn_id, purpose=purpose, prompt="p", model="", message_id=f"m-{turn_id}", status=status, **more
    )


def ledger(*entries: turn.Entry) -> turn.Ledger:
    return turn.Ledger(open={each.turn_id: each for each in entries})


WAITING, DOUBTFUL = entry("new"), entry("old", status="submitted")
NEXT = {
    "nothing": (ledger(), None),
    "a turn": (ledger(WAITING), turn.Send(entry=WAITING)),
    "a doubt": (ledger(WAITING, DOUBTFUL), turn.Look(entry=DOUBTFUL)),
    "a turn put off": (ledger(entry("late", not_before_ms=NOW_MS + 1)), None),
}


@pytest.mark.parametrize(("open_", "is_held"), [*product(NEXT, [False, True])])
def test_what_is_in_doubt_comes_first_and_nothing_is_sent_while_held(open_: str, is_held: bool):
    state, expected = NEXT[open_]
    step = choices.next_step(state, NOW_MS, is_running=False, is_resting=False, is_held=is_held)
    assert step == (None if is_held and open_ == "a turn" else expected)


@pytest.mark.parametrize("is_finishing", [False, True])
def test_a_turn_that_was_cut_is_taken_up_while_the_run_pauses_and_no_other_begins(is_finishing: bool):
    cut = entry("cut", cuts=1)
    state = ledger(entry("mail", "mail"), cut)
    step = choices.next_step(state, NOW_MS, is_running=False, is_resting=False, is_held=True, is_finishing=is_finishing)
    assert step == (turn.Send(entry=cut) if is_finishing else None)


@pytest.mark.parametrize("purpose", get_args(Purpose))
def test_the_turn_that_the_run_waits_for_begins_while_it_pauses_whatever_else_waits_before_it(purpose: Purpose):
    asked = entry("asked", purpose)
    state = ledger(entry("m", "mail"), asked, entry("h", "human"))
    step = choices.next_step(state, NOW_MS, is_running=False, is_resting=False, is_held=True, is_finishing=True)
    assert step == (None if purpose in ("mail", "human", ROLE_PROMPT) else turn.Send(entry=asked))


@pytest.mark.parametrize(("is_running", "is_resting"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("open_", NEXT)
def test_nothing_is_begun_while_a_turn_runs_or_the_program_rests(open_: str, is_running: bool, is_resting: bool):
    state, _ = NEXT[open_]
    assert choices.next_step(state, NOW_MS, is_running=is_running, is_resting=is_resting, is_held=False) is None


RUNNING: list[Purpose] = ["work", "plan", "mail", "human", "review", "plan-review"]


@pytest.mark.parametrize("purpose", RUNNING)
def test_a_message_goes_into_a_turn_that_runs_unless_that_ends_with_a_verdict(purpose: Purpose):
    why = choices.why_not_steered(
        ledger(entry("t", purpose, "running")), running="t", has_agent=True, can_steer=True, is_held=False
    )
    disturbs = purpose in ("review", "plan-review")
    assert why == (f"the end of the {purpose} turn, which is not disturbed" if disturbs else "")


@pytest.mark.parametrize("purpose", RUNNING)
def test_an_agent_that_takes_nothing_in_the_middle_of_a_turn_is_waited_for(purpose: Purpose):
    assert (
        choices.why_not_steered(
            ledger(entry("t", purpose, "running")), running="t", has_agent=True, can_steer=False, is_held=True
        )
        == f"the end of the {purpose} turn: this agent takes nothing in the middle of one"
    )


@pytest.mark.parametrize(
    ("has_agent", "is_held", "why"),
    [
        (False, False, "the agent's program"),
        (False, True, "the agent's program"),
        (True, True, "the run to resume"),
        (True, False, ""),
    ],
)
def test_an_idle_agent_gives_a_message_a_turn_of_its_own_as_soon_as_it_may(has_agent: bool, is_held: bool, why: str):
    assert (
        choices.why_not_steered(ledger(), running=None, has_agent=has_agent, can_steer=has_agent, is_held=is_held)
        == why
    )


@pytest.mark.parametrize(
    ("error", "cause", "gave_up"),
    [
        (AgentError("it went wrong"), "", False),
        (AgentUnavailableError("no program 'codex'"), "unavailable", False),
        (AgentUnusableError("no session zzz"), "unavailable", True),
        (AgentError("HTTP 529: overloaded_error"), "transient", False),
    ],
)
def test_an_error_fails_its_turn_with_what_helps(error: AgentError, cause: str, gave_up: bool):
    outcome = choices.outcome_of(error)
    assert (outcome.status, outcome.error, outcome.cause) == ("failed", str(error), cause)
    assert outcome.gave_up == gave_up  # nothing tries it again
