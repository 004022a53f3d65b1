"""What the turns of a run have cost: all of them, by agent and by model. Pure.

The run's own turns say it when they settle (`TurnSettled`). Those that the run does not wait for (mail, what the user
says to an agent, an agent's part) are reported by the session's owner (`UsageGrew`), and again after it was restarted:
each counts once. Of a turn that cost nothing there is no report.
"""

from __future__ import annotations

from msgspec.structs import replace

from actors.machines import usage
from actors.machines.run.events import UsageGrew
from actors.machines.run.jobs.base import Event
from actors.machines.run.jobs.turn import TurnJob, TurnSettled
from actors.machines.run.state import RunState
from actors.machines.turn import MAIL_MEMORY
from actors.messages import Spent, Usage
from actors.settings import Role


def turn_settled(state: RunState, event: Event) -> RunState:
    """The same state with the cost of the run's own turn, if the event is the end of one."""
    if not isinstance(event, TurnSettled) or event.outcome.usage == Usage():
        return state
    job = next(job for job in state.jobs if job.id == event.turn_id)
    assert isinstance(job, TurnJob), f"{job.id} is a {type(job).__name__}"
    return _add(state, job.role, job.model, event.outcome.usage)


def usage_grew(state: RunState, event: UsageGrew) -> RunState:
    """A session owner has at most `MAIL_MEMORY` turns to report again, so that many of each are remembered."""
    this = (event.role, event.turn_id)
    if this in state.counted:
        return state
    others = tuple(each for each in state.counted if each[0] != event.role)
    own = tuple(each for each in state.counted if each[0] == event.role)
    state = replace(state, counted=(*others, *(*own, this)[-MAIL_MEMORY:]))
    return _add(state, event.role, event.model, event.usage)


def _add(state: RunState, role: Role, model: str, amount: Usage) -> RunState:
    row = next((each for each in state.spent if (each.role, each.model) == (role, model)), None)
    if row is None:
        return replace(state, spent=(*state.spent, Spent(role=role, model=model, turns=1, usage=amount)))
    grown = replace(row, turns=row.turns + 1, usage=usage.together([row.usage, amount]))
    return replace(state, spent=tuple(grown if each is row else each for each in state.spent))
