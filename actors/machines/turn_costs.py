"""What turns have used, over all attempts (`actors.machines.turn`). Pure."""

from __future__ import annotations

import msgspec

from actors.machines import usage
from actors.machines.turn_events import TurnSpent
from actors.machines.turn_ledger import ITS_OWN_AFFAIR, Cost, Entry
from actors.messages import TurnOutcome, Usage


def last_usage(entry: Entry, outcome: TurnOutcome) -> Usage:
    """The usage of the last attempt. An agent that was lost, and a transcript, may report less than was seen before."""
    last = max((outcome.usage, entry.spent), key=lambda each: (each.input_tokens + each.output_tokens, each.cost_usd))
    if last.cost_usd < outcome.usage.cost_usd:
        cost, is_known = outcome.usage.cost_usd, outcome.usage.cost_known
        return msgspec.structs.replace(last, cost_usd=cost, cost_known=is_known)
    return last


def attempt_spent(entry: Entry, outcome: TurnOutcome) -> tuple[TurnSpent, ...]:
    """The event before the one that begins another attempt: what this one has used, where that is not known yet."""
    used = last_usage(entry, outcome)
    known = used == entry.spent or entry.status == "intended"
    return () if known else (TurnSpent(turn_id=entry.turn_id, usage=used),)


def with_all_attempts(entry: Entry, outcome: TurnOutcome) -> TurnOutcome:
    """The outcome with the usage of the whole turn."""
    total = usage.together([entry.spent_before, last_usage(entry, outcome)])
    return msgspec.structs.replace(outcome, usage=total)


def running_cost(entry: Entry) -> Cost:
    """What the turn has used so far."""
    total = usage.together([entry.spent_before, entry.spent])
    return Cost(turn_id=entry.turn_id, purpose=entry.purpose, model=entry.model, usage=total)


def costs_of(entry: Entry, outcome: TurnOutcome) -> tuple[Cost, ...]:
    """The cost to report: none, if it cost nothing or the run is told of its end anyway."""
    if entry.purpose not in ITS_OWN_AFFAIR or outcome.usage == Usage():
        return ()
    return (
        Cost(turn_id=entry.turn_id, purpose=entry.purpose, model=entry.model or outcome.model, usage=outcome.usage),
    )
