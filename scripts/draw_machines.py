#!/usr/bin/env python3
"""Writes the state diagrams of docs/architecture.md, and its table of jobs, from the machines' own tables.

    python -m scripts.draw_machines            writes them
    python -m scripts.draw_machines --check    exit status 1 when they are out of date

Not drawn, since it is the same in every live phase of a run: pause, resume, mail, the usage of a turn, and reopening;
a stop, which leads to `stopped` as soon as nothing runs; and a hold of a run that cannot continue by itself, which
leads to `failed` where no user can be asked.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from actors.machines import run, turn
from actors.machines.run import jobs
from actors.messages import TurnOutcome, Usage
from scripts.draw_tables import Part, code, draw, table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"

Arrow = tuple[str, str, str]  # from, to, event


def run_diagram() -> list[str]:
    common = set.intersection(*(set(run.TRANSITIONS[phase]) for phase in run.LIVE_PHASES))
    arrows = [
        (_state(phase), _state(target), event.__name__)
        for phase, rows in run.TRANSITIONS.items()
        for event, rule in rows.items()
        for target in sorted(rule.to, key=list(run.Phase).index)
        if event not in common and phase is not target
    ]
    ends = [f"    {_state(phase)} --> [*]" for phase in run.Phase if phase in run.FINAL_PHASES]
    return [f"    [*] --> {_state(run.Phase.NEW)}", *_arrows(arrows), *ends]


def _state(phase: run.Phase) -> str:
    return phase.value.replace("-", "_")  # Mermaid reads a hyphen as the beginning of an arrow


def turn_diagram() -> list[str]:
    """The table says where an event is legal; where it leads, the machine itself is asked."""
    arrows: list[Arrow] = []
    for event, statuses in turn.TRANSITIONS.items():
        for status in statuses:
            after = turn.apply(_ledger(status), _TURN_EVENTS[event]).open.get("t")
            target = after.status if after else "settled"
            if target != status:
                arrows.append((status, target, event.__name__))
    return ["    [*] --> intended: TurnIntended", *_arrows(arrows), "    settled --> [*]"]


_TURN_EVENTS = {
    turn.TurnSubmitted: turn.TurnSubmitted(turn_id="t", message_id="m"),
    turn.TurnSeen: turn.TurnSeen(turn_id="t"),
    turn.TurnSpent: turn.TurnSpent(turn_id="t", usage=Usage()),
    turn.TurnReturned: turn.TurnReturned(turn_id="t"),
    turn.TurnWithdrawn: turn.TurnWithdrawn(turn_id="t"),
    turn.TurnCut: turn.TurnCut(turn_id="t", next_message_id="n"),
    turn.TurnDeferred: turn.TurnDeferred(turn_id="t", next_message_id="n", at_ms=1, not_before_ms=2),
    turn.TurnMoved: turn.TurnMoved(turn_id="t", next_message_id="n", prompt="p"),
    turn.TurnHandedOver: turn.TurnHandedOver(turn_id="t", next_message_id="n", prompt="p"),
    turn.SessionTurnSettled: turn.SessionTurnSettled(turn_id="t", outcome=TurnOutcome(status="finished")),
}


def _ledger(status: turn.Status) -> turn.Ledger:
    entry = turn.Entry(turn_id="t", purpose="work", prompt="p", model="", message_id="m", status=status)
    return turn.Ledger(open={"t": entry})


def _arrows(arrows: Iterable[Arrow]) -> list[str]:
    """One arrow for each pair of states, with all events that take it."""
    events: dict[tuple[str, str], list[str]] = defaultdict(list)
    for source, target, event in arrows:
        events[source, target].append(event)
    return [f"    {source} --> {target}: {', '.join(names)}" for (source, target), names in events.items()]


def _diagram(lines: list[str]) -> Iterator[str]:
    yield from ("```mermaid", "stateDiagram-v2", *lines, "```")


def jobs_table() -> Iterator[str]:
    """What a run can wait for."""
    rows = [
        (
            code(kind.__module__.rpartition(".")[2]),
            _first_sentence(sys.modules[kind.__module__].__doc__),
            code(kind.answer.__name__),
            "is taken back" if kind.withdrawable else "is interrupted",
            "is taken back" if kind.idle else "comes to its end",
        )
        for kind in jobs.KINDS
    ]
    return table(("job", "what it is", "its answer", "at a stop", "at a pause"), rows)


def _first_sentence(docstring: str | None) -> str:
    return " ".join((docstring or "").split()).partition(". ")[0]


PARTS: dict[str, Part] = {
    "run": lambda: _diagram(run_diagram()),
    "turn": lambda: _diagram(turn_diagram()),
    "jobs": jobs_table,
}

if __name__ == "__main__":
    sys.exit(draw(PAGE, PARTS, sys.argv[1:], again="python -m scripts.draw_machines"))
