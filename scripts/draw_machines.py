#!/usr/bin/env python3
"""Prints the state diagrams of the pure machines as Mermaid, for the README, from the machines' own tables.

    python scripts/draw_machines.py            all of them, each under its name
    python scripts/draw_machines.py run        one, bare

Not drawn, since it is the same in every live phase of a run: pause, resume, mail and reopening; a stop, which leads to
`stopped` once nothing runs any more; and an agent that cannot work, which leads to `failed` in the same way.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable

from actors.machines import run, turn
from actors.messages import TurnOutcome

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
    turn.TurnReturned: turn.TurnReturned(turn_id="t"),
    turn.TurnWithdrawn: turn.TurnWithdrawn(turn_id="t"),
    turn.TurnCut: turn.TurnCut(turn_id="t", next_message_id="n"),
    turn.TurnDeferred: turn.TurnDeferred(turn_id="t", next_message_id="n", at_ms=1, not_before_ms=2),
    turn.TurnMoved: turn.TurnMoved(turn_id="t", next_message_id="n", prompt="p"),
    turn.TurnConcluded: turn.TurnConcluded(turn_id="t", outcome=TurnOutcome(status="finished")),
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


DIAGRAMS: dict[str, Callable[[], list[str]]] = {"run": run_diagram, "turn": turn_diagram}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in DIAGRAMS]
    if unknown:
        print(f"no machine is called {unknown[0]!r}; there are: {', '.join(DIAGRAMS)}", file=sys.stderr)
        return 2
    for name in names or DIAGRAMS:
        if not names:
            print(f"### {name}\n\n```mermaid")
        print("\n".join(["stateDiagram-v2", *DIAGRAMS[name]()]))
        if not names:
            print("```\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
