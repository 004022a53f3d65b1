"""Decides a session's next step, whether a message is steered into the running turn, and an error's outcome. Pure."""

from __future__ import annotations

import msgspec

from actors.adapters.causes import cause_of
from actors.errors import AgentUnavailableError, AgentUnusableError, LoopError
from actors.machines import turn
from actors.messages import ROLE_PROMPT, TurnOutcome


def next_step(
    ledger: turn.Ledger, now_ms: int, *, is_running: bool, is_resting: bool, is_held: bool, is_finishing: bool = False
) -> turn.Send | turn.Look | None:
    """The next step; None: wait for an event. While held nothing is sent, but entries in doubt are still resolved.

    `is_resting`: the agent's program must not start now. `is_finishing`: while held, the run waits for the end of what
    was begun and cut, and of each turn that it has asked for: those are done, and nothing else.
    """
    if is_running or is_resting:
        return None
    if is_held and is_finishing:
        awaited = {turn_id: entry for turn_id, entry in ledger.open.items() if _is_awaited(entry)}
        return turn.next_action(msgspec.structs.replace(ledger, open=awaited), now_ms)
    action = turn.next_action(ledger, now_ms)
    return None if is_held and isinstance(action, turn.Send) else action


def _is_awaited(entry: turn.Entry) -> bool:
    is_of_the_run = entry.purpose not in ("mail", "human", ROLE_PROMPT)
    return is_of_the_run or bool(entry.cuts) or entry.status != "intended"


def why_not_steered(
    ledger: turn.Ledger, *, running: str | None, has_agent: bool, can_steer: bool, is_held: bool
) -> str:
    """What a message waits for, for the user; "" when the running turn accepts it, or it gets its own turn now.

    `running`: id of the turn that runs.
    """
    if not has_agent:
        return "the agent's program"
    if running is None:
        return "the run to resume" if is_held else ""
    purpose = ledger.open[running].purpose
    if not can_steer:
        return f"the end of the {purpose} turn: this agent takes nothing in the middle of one"
    if not turn.may_carry(ledger, running):
        return f"the end of the {purpose} turn, which is not disturbed"
    return ""


def outcome_of(error: LoopError) -> TurnOutcome:
    """The outcome of a turn that met this error. An agent that cannot start here counts as permanently unavailable,
    unless its text names another cause. It is asked again all the same, unless each try would meet the same.
    """
    cause = cause_of(str(error)) or ("unavailable" if isinstance(error, AgentUnavailableError) else "")
    return TurnOutcome(status="failed", error=str(error), cause=cause, gave_up=isinstance(error, AgentUnusableError))
