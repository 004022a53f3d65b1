"""What a session does next, whether a message goes into the turn that runs, what an error comes to. Pure."""

from __future__ import annotations

import msgspec

from actors.adapters.causes import cause_of
from actors.errors import AgentUnavailableError, LoopError
from actors.machines import turn
from actors.messages import TurnOutcome


def next_step(
    ledger: turn.Ledger, now_ms: int, *, is_running: bool, is_resting: bool, is_held: bool, is_finishing: bool = False
) -> turn.Send | turn.Look | None:
    """None: nothing, until something happens. While held nothing is sent; what is in doubt is cleared up all the same.

    `is_resting`: the agent's program is not to be started now. `is_finishing`: while held, a turn that was begun and
    cut is taken up, since its end is waited for.
    """
    if is_running or is_resting:
        return None
    if is_held and is_finishing:
        begun = {turn_id: entry for turn_id, entry in ledger.open.items() if entry.cuts or entry.status != "intended"}
        return turn.next_action(msgspec.structs.replace(ledger, open=begun), now_ms)
    action = turn.next_action(ledger, now_ms)
    return None if is_held and isinstance(action, turn.Send) else action


def why_not_steered(
    ledger: turn.Ledger, *, running: str | None, has_agent: bool, can_steer: bool, is_held: bool
) -> str:
    """What a message waits for, for the user; "" when the running turn takes it, or it has a turn of its own now.

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
    """The turn that met it. An agent that cannot be started here cannot tomorrow either, unless its words say why."""
    cause = cause_of(str(error)) or ("unavailable" if isinstance(error, AgentUnavailableError) else "")
    return TurnOutcome(status="failed", error=str(error), cause=cause)
