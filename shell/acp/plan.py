"""The plan of a session: the steps of PLAN.md among the phases of the run. Pure.

A step's own check box says that it is done. Without boxes the steps are done when the work is approved: nothing else
proves it.
"""

from __future__ import annotations

import re

from acp import plan_entry
from acp.schema import PlanEntry, PlanEntryStatus

MOST_STEPS = 20
LONGEST_STEP = 200

_STEP = re.compile(r"(?:[-*+] +\[(?P<box>[ xX])\]|[0-9]{1,3}[.)]) +(?P<text>\S.*)")
_PLANNING = ("new", "awaiting-task", "clearing", "planning", "reading-plan", "plan-review", "reading-reviewed-plan")
_ORDER = ("plan", "work", "checks", "review", "publish", "done")
_PLACES = {
    **dict.fromkeys(_PLANNING, "plan"),
    "checking": "checks",
    "reviewing": "review",
    "pull-request": "publish",
    "completed": "done",
}


def entries(plan: str, phase: str, *, iteration: int) -> list[PlanEntry]:
    """The entries for a run in this phase, with this PLAN.md; "" = there is none."""
    place = _PLACES.get(phase, "work")
    steps = _steps(plan) if place != "plan" else []
    found = [_entry("Plan", "plan", place)]
    found += _with_status(steps, place)
    found.append(_entry(f"Work, iteration {iteration}" if iteration else "Work", "work", place))
    found.append(_entry("Checks", "checks", place))
    return [*found, _entry("Review", "review", place), _entry("Publish the work", "publish", place)]


def _entry(text: str, own: str, place: str) -> PlanEntry:
    behind = _ORDER.index(place) - _ORDER.index(own)
    status: PlanEntryStatus = "completed" if behind > 0 else "in_progress" if behind == 0 else "pending"
    return plan_entry(text, priority="high", status=status)


def _steps(plan: str) -> list[tuple[str, bool]]:
    hits = [hit for line in plan.splitlines() if (hit := _STEP.fullmatch(line.rstrip()))]
    return [(hit["text"][:LONGEST_STEP], (hit["box"] or "").lower() == "x") for hit in hits[:MOST_STEPS]]


def _with_status(steps: list[tuple[str, bool]], place: str) -> list[PlanEntry]:
    all_done = _ORDER.index(place) >= _ORDER.index("publish")
    return [plan_entry(text, status="completed" if all_done or ticked else "pending") for text, ticked in steps]
