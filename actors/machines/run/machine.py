"""The run machine itself: one event in, a state and commands out; see the package for how it is driven. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from actors.errors import IllegalEventError
from actors.machines.run import asking, budgets, grants, hooks, joblist, limits, spending, steps, user_requests
from actors.machines.run.commands import EndRun
from actors.machines.run.events import RunStarted
from actors.machines.run.jobs import NAMED
from actors.machines.run.jobs.base import Command, Event
from actors.machines.run.state import FINAL_PHASES, USER_IS_ASKED, Phase, RunState
from actors.machines.run.table import TRANSITIONS
from actors.run_states import FinalState


def initial() -> RunState:
    """The state before the first event."""
    return RunState()


def decide(state: RunState, event: Event, now_ms: int) -> tuple[RunState, list[Command]]:
    """The state after the event, and the commands to carry out. Raises `IllegalEventError`; see the module."""
    after = _apply(state, event)
    before = outstanding(state, now_ms)
    new = [command for command in outstanding(after, now_ms) if command not in before]
    return replace(after, once=()), [*after.once, *new]


def fold(events: Iterable[Event]) -> RunState:
    """The state that these journalled events come to."""
    state = initial()
    for event in events:
        state = replace(_apply(state, event), once=())
    return state


def outstanding(state: RunState, now_ms: int) -> list[Command]:
    """All commands without an answer yet; the driver repeats them after a crash."""
    if state.phase in FINAL_PHASES:
        return [EndRun(state=_END_STATES[state.phase], detail=state.detail, resume=state.resume)]
    issued = [job for job in state.jobs if job.issued]
    interruptions = (job.interruption() for job in issued)
    commands = [*(job.command(state, now_ms) for job in issued), *(each for each in interruptions if each is not None)]
    commands += budgets.interruptions(state)
    commands += grants.commands(state)
    return [*commands, asking.question(state)] if state.asking else commands


_END_STATES: Mapping[Phase, FinalState] = {
    Phase.COMPLETED: "completed",
    Phase.FAILED: "failed",
    Phase.STOPPED: "stopped",
}


def _apply(state: RunState, event: Event) -> RunState:
    return grants.look(_applied(state, event))


def _applied(state: RunState, event: Event) -> RunState:
    if _is_late(state, event):
        return state
    if state.asking and asking.answers(state, event):
        after = steps.pass_gates(state, asking.answered(_at(state, event), event))
        return hold_takes_effect(state, hooks.look(state, limits.look(state, after)))
    if TRANSITIONS[state.phase].get(type(event)) is None:
        return user_requests.unfitting(state, event)
    noted = limits.noted(spending.turn_settled(state, event), event) if state.settings is not None else state
    waiting = hooks.waits_for(noted, event)
    if waiting is not None:
        return hold_takes_effect(state, _within_budget(steps.pass_gates(state, waiting)))
    return _handled(state, noted, event)


def _handled(before: RunState, noted: RunState, event: Event) -> RunState:
    """The state after the event. An answer that has waited for its hook is handled at once when the hook has ended."""
    noted = _at(noted, event)
    rule = TRANSITIONS[noted.phase][type(event)]
    after = steps.pass_gates(before, rule.handler(noted, event))
    if after.answer is not None:
        answered = replace(after, answer=None)
        return _handled(answered, answered, after.answer)
    after = hooks.look(before, limits.look(before, after))
    assert after.phase in rule.to, f"{rule.handler.__name__} led from {before.phase} to {after.phase}: not in the table"
    return hold_takes_effect(before, _within_budget(after))


def _at(state: RunState, event: Event) -> RunState:
    return replace(state, at_ms=getattr(event, "at_ms", 0) or state.at_ms)


def _within_budget(state: RunState) -> RunState:
    """Interrupts the running turns of a run that is over its budget, and turns that may not begin."""
    return joblist.cut(state, budgets.CUT) if budgets.is_overrun(state) else grants.cut_ungranted(state, budgets.CUT)


def _is_late(state: RunState, event: Event) -> bool:
    """Whether this answer is merely late: normal after a crash, and without effect. Raises for an answer to no
    question.
    """
    if isinstance(event, RunStarted):
        return state.settings is not None and state.settings.run_uid == event.settings.run_uid
    kind = NAMED.get(type(event))
    if kind is None:
        return False
    answered: str = getattr(event, kind.named_by)
    if any(job.id == answered and job.issued and isinstance(job, kind) for job in state.jobs):
        return False
    if answered in state.past:
        return True
    raise IllegalEventError(
        f"{type(event).__name__} answers {answered!r}, which is not asked in phase {state.phase.value!r}; "
        "answer only commands that this run has given"
    )


def hold_takes_effect(before: RunState, after: RunState) -> RunState:
    """The transitions that no event names: a hold takes effect once no issued job is left."""
    if after.phase in FINAL_PHASES or after.hold is None or any(job.issued for job in after.jobs):
        return after
    if after.hold.kind == "stop":
        return steps.end(after, Phase.STOPPED, after.detail, goes_on_in=after.phase)
    if after.hold.kind == "ask":
        if after.phase in USER_IS_ASKED:
            return joblist.release(after)
        return after if after.run.interactive else asking.leave_open(after)
    if after.hold.kind == "fail" or (after.stuck and not after.run.interactive):
        return steps.end(after, Phase.FAILED, after.hold.why, goes_on_in=after.phase)
    if after.phase in USER_IS_ASKED:
        return joblist.release(after)  # it waits for the user anyway; two waits would only need two answers
    if after.paused and not before.paused:
        return steps.say(after, "paused")
    return after
