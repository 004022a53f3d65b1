"""Grants: near the end of a budget one turn runs at a time, and none begins before what has ended is counted."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from actors.machines import run
from actors.machines.run import budgets, machine
from actors.messages import Purpose, TurnOutcome, Usage
from actors.settings import Role
from tests.actors.machines.test_run import DONE, INTERRUPTED, PASS, Run, finished, settings


def story(**changes: Any) -> Run:
    return Run(**{"max_tokens": 6_500, "grants_turns": True, "cooldown_ms": 0, **changes})


def used(tokens: int, text: str = "") -> TurnOutcome:
    return TurnOutcome(status="finished", text=text, usage=Usage(input_tokens=tokens))


def wants(
    told: Run, turn_id: str, role: Role = "worker", purpose: Purpose | Literal[""] = "work", after: str = ""
) -> list[str]:
    """The session's claim, and the turns that are granted with it."""
    told.happens(run.TurnWanted(role=role, turn_id=turn_id, purpose=purpose, after=after))
    return [each.turn_id for each in told.all(run.GrantTurn)]


def mail_cost(told: Run, turn_id: str, tokens: int, role: Role = "reviewer") -> None:
    usage = Usage(input_tokens=tokens)
    told.happens(run.UsageGrew(role=role, turn_id=turn_id, purpose="mail", model="", usage=usage))


def in_review(tokens: int = 1_000, **changes: Any) -> Run:
    """Both reviewers' turns are out, and no session has asked yet."""
    told = story(**changes)
    first = told.open().turn_id
    assert wants(told, first) == [first]
    told.settle(used(tokens, DONE))
    wants(told, "", after=first)
    assert len(told.state.open_turns) == 2
    return told


def test_a_turn_is_granted_once_and_a_repeated_claim_changes_nothing() -> None:
    told = story()
    turn_id = told.open().turn_id
    assert wants(told, turn_id) == [turn_id]
    before = told.state
    assert wants(told, turn_id) == []
    assert told.state == before
    assert [each.turn_id for each in run.grants_of(told.state, "worker", turn_id)] == [turn_id]


def test_two_turns_run_beside_each_other_while_enough_is_left_for_both() -> None:
    told = in_review()
    mine, other = told.open().turn_id, told.open("reviewer").turn_id
    assert wants(told, mine) == [mine]
    assert wants(told, other, "reviewer", "review") == [other]


def test_two_turns_do_not_begin_beside_each_other_before_it_is_known_what_a_turn_uses() -> None:
    told = story()
    assert wants(told, "mail-1", "reviewer", "mail") == ["mail-1"]
    assert wants(told, told.open().turn_id) == []
    assert told.state.claims[1].turn_id == told.open().turn_id
    assert "codex's work turn waits for claude's to end: little of the budget is left" in run.describe(told.state)


def test_near_the_end_of_the_budget_a_turn_waits_for_the_other_ones_end() -> None:
    told = in_review(tokens=3_400)
    mine, other = told.open().turn_id, told.open("reviewer").turn_id
    assert wants(told, mine) == [mine]
    assert wants(told, other, "reviewer", "review") == []
    told.settle(used(1_000, PASS))
    assert [each.turn_id for each in told.all(run.GrantTurn)] == [other]


def test_after_the_turn_that_crosses_the_budget_no_other_one_begins() -> None:
    told = in_review(tokens=3_400, interactive=True)
    mine, other = told.open().turn_id, told.open("reviewer").turn_id
    wants(told, mine)
    wants(told, other, "reviewer", "review")
    told.settle(used(3_400, PASS))
    assert [each.turn_id for each in told.all(run.InterruptTurn)] == [other]
    assert wants(told, "", after=mine) == []
    told.settle(INTERRUPTED, "reviewer")
    assert told.state.asking
    assert wants(told, "mail-1", "worker", "mail") == []
    told.happens(run.QuestionAnswered(text="20k"))
    assert [each.turn_id for each in told.all(run.GrantTurn)] == ["mail-1"]
    assert told.one(run.StartTurn).purpose == "review"


def test_no_turn_begins_before_an_ended_one_is_counted() -> None:
    """The session's claim may overtake the report, when its actor was killed between the two."""
    told = story()
    first = told.open().turn_id
    wants(told, first)
    assert wants(told, "mail-1", purpose="mail", after=first) == []
    assert wants(told, "mail-2", "reviewer", "mail") == []
    told.settle(used(100))
    assert [each.turn_id for each in told.all(run.GrantTurn)] == ["mail-1", "mail-2"]


def test_a_turn_that_was_granted_is_granted_still_when_the_budget_is_used_up_meanwhile() -> None:
    told = in_review(interactive=True)
    mine, other = told.open().turn_id, told.open("reviewer").turn_id
    wants(told, mine)
    wants(told, other, "reviewer", "review")
    told.settle(used(5_600, PASS))
    assert told.all(run.InterruptTurn) == []
    assert [each.turn_id for each in run.grants_of(told.state, "reviewer", other)] == [other]


def test_a_turn_of_the_run_that_mail_has_kept_waiting_is_no_dead_end_at_the_end_of_the_budget() -> None:
    told = story(interactive=True)
    wants(told, "mail-1", "worker", "mail")
    mail_cost(told, "mail-1", 6_600, "worker")
    assert told.one(run.InterruptTurn).turn_id == told.open().turn_id
    told.settle(INTERRUPTED)
    assert told.state.asking


def test_what_a_put_off_mail_has_used_is_counted_before_the_next_turn() -> None:
    told = story(max_tokens=1_000)
    wants(told, "mail-1", "reviewer", "mail")
    usage = Usage(input_tokens=1_000)
    told.happens(run.UsageSeen(role="reviewer", turn_id="mail-1", purpose="mail", model="", usage=usage))
    assert wants(told, "", "reviewer", "") == []
    assert wants(told, told.open().turn_id) == []


@pytest.mark.parametrize(
    "changes", [{"max_tokens": None}, {"grants_turns": False}, {"max_tokens": None, "max_time_ms": 1}]
)
def test_without_a_budget_of_money_or_tokens_and_in_older_runs_nothing_is_asked_for(changes: dict[str, Any]) -> None:
    told = story(**changes)
    assert not run.grants_are_needed(told.state)
    assert wants(told, told.open().turn_id) == []


def test_a_run_of_yesterday_that_is_resumed_today_grants_its_turns() -> None:
    told = story(grants_turns=False)
    told.happens(run.StopRequested())
    told.settle(INTERRUPTED)
    told.happens(run.RunResumed(settings=settings(grants_turns=True, given=("grants_turns",), only_given=True)))
    turn_id = told.open().turn_id
    assert wants(told, turn_id) == [turn_id]


def test_claims_outlive_a_crash_and_a_new_task() -> None:
    told = in_review()
    wants(told, told.open("reviewer").turn_id, "reviewer", "review")
    assert machine.fold(told.journal).claims == told.state.claims
    told.happens(run.RunResumed(settings=settings(task="Another.")))
    assert told.state.claims[-1].is_granted
    assert told.state.most_tokens == 1_000


def test_money_counts_as_tokens_do() -> None:
    told = story(max_tokens=None, max_cost_usd=5.0)
    wants(told, told.open().turn_id)
    told.settle(TurnOutcome(status="finished", usage=Usage(cost_usd=2.0)))
    assert budgets.has_room(told.state)
    told.settle(TurnOutcome(status="finished", usage=Usage(cost_usd=1.5)))
    assert not budgets.has_room(told.state)


def test_an_empty_claim_after_a_turn_without_cost_is_no_grant() -> None:
    told = story()
    first = told.open().turn_id
    wants(told, first)
    told.settle(finished())
    assert wants(told, "", after=first) == []
    assert run.grants_of(told.state, "worker", "") == []
