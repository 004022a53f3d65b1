"""What runs have cost, from their journals: each turn once, also one that was cut or runs."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import msgspec

from actors.machines import turn
from actors.messages import Purpose, Record, TurnOutcome, Usage
from actors.settings import Price
from shell import costs
from tests.actors.machines.test_run import settings

RUNS = Path(__file__).parent.parent / "recordings" / "runs"
DAY_MS = 86_400_000


def record(event: turn.LedgerEvent, day: int = 0) -> Record:
    name = getattr(event, "stored_as", type(event).__name__)
    return Record(event_id="e", at_ms=day * DAY_MS, kind=name, body=msgspec.json.encode(event).decode())


def began(name: str, purpose: Purpose = "work", model: str = "") -> list[Record]:
    return [
        record(turn.TurnIntended(turn_id=name, purpose=purpose, prompt="p", model=model)),
        record(turn.TurnSubmitted(turn_id=name, message_id=name)),
    ]


def ended(name: str, usage: Usage, day: int = 0, model: str = "") -> Record:
    outcome = TurnOutcome(status="finished", usage=usage, model=model)
    return record(turn.SessionTurnSettled(turn_id=name, outcome=outcome), day)


def test_turns_are_summed_by_agent_kind_model_and_day() -> None:
    some = Usage(input_tokens=10, cost_usd=0.5)
    records = [
        *(*began("a"), ended("a", some, model="big")),
        *(*began("b", "mail"), ended("b", some, day=1, model="big")),
        *(*began("c", model="small"), ended("c", some, day=1)),
    ]
    rows = costs.merged(costs.of_session(records, settings(), "worker", UTC))
    assert [(each.day, each.agent, each.turn, each.model) for each in rows] == [
        ("1970-01-01", "codex", "work", "big"),
        ("1970-01-02", "codex", "mail", "big"),
        ("1970-01-02", "codex", "work", "small"),
    ]
    assert costs.summed(rows, "day")["1970-01-02"] == (2, Usage(input_tokens=20, cost_usd=1.0))


def test_a_turn_that_runs_counts_as_far_as_it_was_reported_and_a_price_makes_money_of_it() -> None:
    seen = turn.TurnSpent(turn_id="a", usage=Usage(input_tokens=1_000_000, cost_known=False))
    records = [*began("a"), record(seen), record(turn.TurnCut(turn_id="a", next_message_id="m"), 1)]
    priced = settings(prices={"codex": Price(input=2, output=1)})
    [row] = costs.of_session(records, priced, "worker", UTC)
    assert (row.turns, row.day, row.usage.cost_usd) == (0, "1970-01-02", 2.0)


def test_the_cost_of_a_recorded_run_is_that_of_its_ledgers() -> None:
    directory = RUNS / "finished"
    found = costs.read(directory, "1", {}, UTC)
    assert found.rows
    assert all(each.turns for each in found.rows)
    assert not costs.read(directory.parent / "nowhere", "2", {}).is_known
