"""The cost of all turns of a run, by agent and by model. Pure.

The run's own turns report it when they settle (`TurnSettled`). The session owner reports the others (mail, users'
messages, role prompts) by `UsageGrew`, and again after a restart: each counts once. A turn without cost is not
reported.
"""

from __future__ import annotations

from msgspec.structs import replace

from actors.machines import usage
from actors.machines.run import budgets
from actors.machines.run.events import TimePassed, UsageGrew
from actors.machines.run.jobs.base import Event
from actors.machines.run.jobs.turn import TurnJob, TurnSettled
from actors.machines.run.state import RunState
from actors.machines.turn_ledger import MAIL_MEMORY
from actors.messages import Spent, Usage
from actors.settings import Role


def turn_settled(state: RunState, event: Event) -> RunState:
    """The state with the cost of the run's own turn, if the event ends one."""
    if not isinstance(event, TurnSettled):
        return state
    state = _ended(state, event.turn_id)
    if event.outcome.usage == Usage():
        return state
    job = next(job for job in state.jobs if job.id == event.turn_id)
    assert isinstance(job, TurnJob), f"{job.id} is a {type(job).__name__}"
    return _add(state, job.role, job.model or event.outcome.model, event.outcome.usage)


def usage_grew(state: RunState, event: UsageGrew) -> RunState:
    """Adds the usage once. A session owner repeats at most `MAIL_MEMORY` turns, so that many of each are remembered."""
    this = (event.role, event.turn_id)
    if this in state.counted:
        return state
    others = tuple(each for each in state.counted if each[0] != event.role)
    own = tuple(each for each in state.counted if each[0] == event.role)
    state = replace(state, counted=(*others, *(*own, this)[-MAIL_MEMORY:]))
    return _add(_ended(state, event.turn_id), event.role, event.model, event.usage)


def time_passed(state: RunState, event: TimePassed) -> RunState:
    """Adds the time."""
    return replace(state, time_ms=state.time_ms + event.ms)


def _ended(state: RunState, turn_id: str) -> RunState:
    """What the turn has used is known now."""
    if not state.running:
        return state
    return replace(state, running=tuple(each for each in state.running if each.turn_id != turn_id))


def _add(state: RunState, role: Role, model: str, amount: Usage) -> RunState:
    agent = state.run.worker if role == "worker" else state.run.reviewer
    amount = budgets.priced(state.run, agent, model, amount)
    state = budgets.grown(state, amount)
    row = next((each for each in state.spent if (each.role, each.model) == (role, model)), None)
    if row is None:
        return replace(state, spent=(*state.spent, Spent(role=role, model=model, turns=1, usage=amount)))
    grown = replace(row, turns=row.turns + 1, usage=usage.together([row.usage, amount]))
    return replace(state, spent=tuple(grown if each is row else each for each in state.spent))
