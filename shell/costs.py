"""What the turns of runs have cost: read from the journals, summed by agent, kind of turn, model and day.

Reads files only, so a run need not be running; of one that is, it has all that is journalled. `summed` is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from actors.machines import run, turn
from actors.machines.run import budgets
from actors.machines.stored import by_stored_name
from actors.messages import BudgetUse, Record, Usage
from actors.settings import Price, Role, RunSettings, display_names
from shell.spending import together

if TYPE_CHECKING:
    from pathlib import Path

ROLES: tuple[Role, ...] = ("worker", "reviewer")


class TurnCost(msgspec.Struct, frozen=True, kw_only=True):
    """One turn, or several of the same kind."""

    agent: str
    turn: str  # its purpose
    model: str  # "" = the agent's own default
    day: str  # on which it ended; for one that runs, of its last report
    turns: int  # that have ended
    usage: Usage


class RunCost(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    run: str
    budgets: tuple[BudgetUse, ...] = ()
    rows: tuple[TurnCost, ...] = ()
    is_known: bool = True  # false of a run without a journal

    @property
    def usage(self) -> Usage:
        """The sum."""
        return together(each.usage for each in self.rows)


def read(directory: Path, name: str, prices: Mapping[str, Price], zone: tzinfo | None = None) -> RunCost:
    """The cost of a run; nothing for one without a journal. `prices`: of today, where the run has none of its own.

    Raises `LoopError` for a journal that cannot be read.
    """
    from actors.edges.journal_reader import read_streams
    from shell.run_files import events

    streams = read_streams(directory, ("run", *(f"turns/{role}" for role in ROLES)))
    if not streams["run"]:
        return RunCost(run=name, is_known=False)
    state = run.fold(events(streams["run"], run.EVENTS))
    settings = replace(state.run, prices={**prices, **state.run.prices})
    rows = [row for role in ROLES for row in of_session(streams[f"turns/{role}"], settings, role, zone)]
    return RunCost(run=name, budgets=budgets.uses(state), rows=merged(rows))


def of_session(records: Iterable[Record], settings: RunSettings, role: Role, zone: tzinfo | None) -> list[TurnCost]:
    """The turns of one session. What runs counts as far as it was reported."""
    label = display_names(settings.worker, settings.reviewer)[role]
    agent = settings.worker if role == "worker" else settings.reviewer
    known = by_stored_name(turn.EVENTS)
    ledger, day = turn.Ledger(), ""
    rows: list[TurnCost] = []

    def add(entry: turn.Entry, usage: Usage, model: str, turns: int) -> None:
        model = entry.model or model
        priced = budgets.priced(settings, agent, model, usage)
        rows.append(TurnCost(agent=label, turn=entry.purpose, model=model, day=day, turns=turns, usage=priced))

    for record in records:
        event = msgspec.json.decode(record.body, type=known[record.kind])
        day = f"{datetime.fromtimestamp(record.at_ms / 1_000, zone).astimezone(zone):%Y-%m-%d}"
        if isinstance(event, turn.SessionTurnSettled):
            entry = ledger.open[event.turn_id]
            has_begun = turn.has_begun(entry, event.outcome)
            if has_begun or event.outcome.usage != Usage():
                add(entry, event.outcome.usage, event.outcome.model, turns=has_begun)
        ledger = turn.apply(ledger, event)
    for entry in ledger.open.values():
        cost = turn.running_cost(entry)
        if cost.usage != Usage():
            add(entry, cost.usage, "", turns=0)
    return rows


def merged(rows: Iterable[TurnCost]) -> tuple[TurnCost, ...]:
    """One row for each agent, kind of turn, model and day."""
    return tuple(
        replace(group[0], turns=sum(each.turns for each in group), usage=together(each.usage for each in group))
        for group in _groups(rows, lambda each: (each.day, each.agent, each.turn, each.model)).values()
    )


def summed(rows: Iterable[TurnCost], by: str) -> dict[str, tuple[int, Usage]]:
    """Turns and usage for each value of this field."""
    return {
        key[0]: (sum(each.turns for each in group), together(each.usage for each in group))
        for key, group in _groups(rows, lambda each: (str(getattr(each, by)),)).items()
    }


def _groups(
    rows: Iterable[TurnCost], key: Callable[[TurnCost], tuple[str, ...]]
) -> dict[tuple[str, ...], list[TurnCost]]:
    found: dict[tuple[str, ...], list[TurnCost]] = {}
    for each in rows:
        found.setdefault(key(each), []).append(each)
    return dict(sorted(found.items()))
