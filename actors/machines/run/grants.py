"""Grants: with a budget, each turn begins with the run's word. Pure.

An agent may report what a turn has used at its end alone. So turns that begin in the same instant could each exceed
the budget. A session therefore asks before each turn, mail's included, once its reports of ended turns are out. The run
grants the turn when

- it has counted what the turns that have ended used,
- no budget is used up, and
- no other turn has a grant, or what is left is enough for the largest turn so far: so only one turn's tail can exceed
  the budget.

A session that runs no turn, and wants none, gives its grant back. Claims are journalled: a grant outlives its turn's
interruption by a crash, and a grant that is lost with a process is asked for again. The run's own turn that waits for
its grant when the budget is used up has not begun: it is interrupted, and resumes with a higher limit.

Off in older journals (`RunSettings.grants_turns`), and without a budget of money or tokens: then nobody asks.
"""

from __future__ import annotations

from msgspec.structs import replace

from actors.machines.run import budgets
from actors.machines.run.commands import GrantTurn
from actors.machines.run.events import TurnWanted
from actors.machines.run.jobs.turn import TurnJob
from actors.machines.run.state import Claim, RunState
from actors.settings import Role


def are_needed(state: RunState) -> bool:
    """Whether a turn needs the run's word."""
    if state.settings is None or not state.run.grants_turns:
        return False
    return state.run.max_cost_usd is not None or state.run.max_tokens is not None


def wanted(state: RunState, event: TurnWanted) -> RunState:
    """Notes what the session wants next. What it wanted before is over, or waits again."""
    known = next((claim for claim in state.claims if claim.role == event.role), None)
    if known is not None and (known.turn_id, known.after) == (event.turn_id, event.after):
        return state
    is_granted = known is not None and bool(event.turn_id) and known.turn_id == event.turn_id and known.is_granted
    claim = Claim(
        role=event.role, turn_id=event.turn_id, purpose=event.purpose, after=event.after, is_granted=is_granted
    )
    return replace(state, claims=(*(each for each in state.claims if each.role != event.role), claim))


def look(state: RunState) -> RunState:
    """Grants what may begin now, the oldest claim first."""
    if not are_needed(state):
        return state
    if any(claim.turn_id in state.past for claim in state.claims):  # the run's own turn has settled
        state = replace(state, claims=tuple(_left(state, claim) for claim in state.claims))
    for claim in state.claims:
        if claim.turn_id and not claim.is_granted and _may_begin(state):
            granted = replace(claim, is_granted=True)
            state = replace(state, claims=tuple(granted if each is claim else each for each in state.claims))
    return state


def _left(state: RunState, claim: Claim) -> Claim:
    return replace(claim, turn_id="", purpose="", is_granted=False) if claim.turn_id in state.past else claim


def _may_begin(state: RunState) -> bool:
    open_turns = {job.id for job in state.open_turns}
    if budgets.is_used_up(state) or any(claim.after in open_turns for claim in state.claims):
        return False
    return not any(claim.is_granted for claim in state.claims) or budgets.has_room(state)


def cut_ungranted(state: RunState, why: str) -> RunState:
    """Interrupts the run's own turns that have not begun, when no turn may begin: nothing else would end them."""
    if not are_needed(state) or not budgets.is_used_up(state):
        return state
    granted = {claim.turn_id for claim in state.claims if claim.is_granted}
    waiting = [job for job in state.open_turns if job.id not in granted]
    return replace(
        state,
        jobs=tuple(job.interrupted(why) if isinstance(job, TurnJob) and job in waiting else job for job in state.jobs),
    )


def commands(state: RunState) -> list[GrantTurn]:
    """The grants in force."""
    if not are_needed(state):
        return []
    return [GrantTurn(turn_id=claim.turn_id, role=claim.role) for claim in state.claims if claim.is_granted]


def of(state: RunState, role: Role, turn_id: str) -> list[GrantTurn]:
    """The grant of this turn, if it has one."""
    return [each for each in commands(state) if (each.role, each.turn_id) == (role, turn_id)]
