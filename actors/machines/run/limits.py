"""What a run does at a used-up window of an agent's allowance: waits, gives the work away, or stops. Pure.

Two moments decide. A turn has met the limit (`settled`), or a turn is about to start although little is left of the
window (`look`): then it would end inside it. Both know only what the agents report. Without a report nothing is done.

`at_limit` says what is done: *wait* for the reset, *swap*, or *stop*. A swap gives the work to the other agent of the
pair, in its own session, with a written hand-off. The two have changed places until the task is done, or until the
other one meets its limit. No agent approves alone what it wrote: the limited one reviews, when it is back.

A look never stops a run: where the reset is not waited for, the turn starts, and uses what is left.
"""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from actors.machines import backoff, continuations
from actors.machines.durations import span
from actors.machines.run import joblist, steps
from actors.machines.run.jobs.base import Event
from actors.machines.run.jobs.tree import TreeJob
from actors.machines.run.jobs.turn import TurnJob, TurnSettled, agent_label
from actors.machines.run.jobs.wait import WaitJob
from actors.machines.run.state import RoleWindow, RunState
from actors.messages import Purpose, Window
from actors.settings import Role, other

# There and back: then the turn waits where it is. Two providers that name no time, or a past one, are asked with a
# growing back-off, and not in turns without one.
MOST_IN_A_ROW = 2

# Turns that the other agent can take over. A review is not one of them: it is of the other's work.
_WORK: frozenset[Purpose] = frozenset({"plan", "work", "pull-request"})


def noted(state: RunState, event: Event) -> RunState:
    """The state with the windows that the event reports, without those that are over by then."""
    if not isinstance(event, TurnSettled) or not state.run.looks_at_limits:
        return state
    job = next(job for job in state.jobs if job.id == event.turn_id)
    assert isinstance(job, TurnJob), f"{job.id} is a {type(job).__name__}"
    window = event.outcome.window
    if event.outcome.is_used_up:
        name = window.name if window is not None else ""
        window = Window(used_percent=100, resets_at_ms=event.outcome.resets_at_ms, name=name)
    windows = tuple(each for each in state.windows if each.role != job.role or window is None)
    if window is not None:
        windows = (*windows, RoleWindow(role=job.role, window=window, seen_at_ms=event.at_ms))
    in_a_row = 0 if event.outcome.status == "finished" and job.role == state.author else state.swaps_in_a_row
    windows = tuple(each for each in windows if not _is_over(each, event.at_ms))
    return replace(state, windows=windows, swaps_in_a_row=in_a_row)


def forget(state: RunState, role: Role) -> RunState:
    """The state without this agent's window, whose end was waited for."""
    return replace(state, windows=tuple(each for each in state.windows if each.role != role))


def full_window(state: RunState, role: Role) -> RoleWindow | None:
    """The agent's window, when little or nothing of it is left, and its end is known."""
    known = next((each for each in state.windows if each.role == role), None)
    return known if known is not None and known.window.is_full and known.window.resets_at_ms is not None else None


# --- a turn has met the limit -----------------------------------------------------------------------------------------


def why_stopped(state: RunState, event: TurnSettled) -> str:
    """Why the reset is not waited for, where the settings say so; else ""."""
    if not event.outcome.is_used_up or state.run.at_limit != "stop":
        return ""
    return f"{_reset(event.outcome.resets_at_ms, event.at_ms)}; it is not waited for (--no-wait)"


def swapped(state: RunState, job: TurnJob, event: TurnSettled) -> RunState | None:
    """The other agent takes the turn over; None: it stays here, and waits."""
    if not event.outcome.is_used_up or not _may_swap(state, job):
        return None
    return _swap(state, job, said=event.outcome.text, now_ms=event.at_ms)


def _may_swap(state: RunState, job: TurnJob) -> bool:
    """Whether the other agent can take over, and is back earlier than this one."""
    run = state.run
    if run.at_limit != "swap" or not run.paired or job.purpose not in _WORK or job.role != state.author:
        return False
    if state.swaps_in_a_row >= MOST_IN_A_ROW:
        return False
    if not any(each.role == other(job.role) and each.window.is_full for each in state.windows):
        return True
    own, others = full_window(state, job.role), full_window(state, other(job.role))
    if own is None or others is None:  # nobody knows which one is first
        return False
    return (others.window.resets_at_ms or 0) < (own.window.resets_at_ms or 0)


def _swap(state: RunState, job: TurnJob, *, said: str, now_ms: int) -> RunState:
    taker, giver = agent_label(state.run, other(job.role)), agent_label(state.run, job.role)
    own = full_window(state, job.role)
    resets_at_ms = own.window.resets_at_ms if own is not None else None
    state = replace(
        state, is_swapped=not state.is_swapped, swaps=state.swaps + 1, swaps_in_a_row=state.swaps_in_a_row + 1
    )
    state = steps.say(
        state,
        f"{giver} is at its limit ({_reset(resets_at_ms, now_ms)}): {taker} takes the work over. Nobody else looks at "
        f"it until {giver} reviews it, when it is back",
        error=True,
    )
    role = state.author
    prompt = steps.work_prompt(state, taken_over=True) if job.purpose == "work" else job.prompt
    fresh = TurnJob(
        label=f"{job.label}-swap-{state.swaps}",
        role=role,
        purpose=job.purpose,
        prompt=continuations.take_over(prompt, giver=giver, said=said, template=state.run.prompts.get("take_over", "")),
        model=steps.model_for(state, role, job.purpose),
    )
    if not state.run.binds_to_tree:
        return joblist.add(state, fresh)
    since = state.base.id if state.base is not None else ""
    return joblist.add(state, TreeJob(label=f"tree-swap-{state.swaps}", moment="swap", since=since, then=fresh))


# --- a turn is about to start -----------------------------------------------------------------------------------------


def look(before: RunState, after: RunState) -> RunState:
    """The state in which no turn starts now that would end inside its agent's window."""
    if after.settings is None or not after.run.looks_at_limits:
        return after
    out = {job.id for job in before.jobs if job.issued}
    for job in after.jobs:
        if isinstance(job, TurnJob) and job.issued and job.id not in out and not (job.asked_again or job.cut):
            after = _look_at(after, job)
    return after


def _look_at(state: RunState, job: TurnJob) -> RunState:
    full = full_window(state, job.role)
    if full is None or state.run.at_limit == "stop":
        return state
    rest = replace(state, jobs=tuple(other for other in state.jobs if other is not job))
    if _may_swap(state, job):
        return look(rest, _swap(rest, job, said="", now_ms=full.seen_at_ms))
    resets_at_ms = full.window.resets_at_ms or 0
    max_ms = state.run.max_wait_ms
    if max_ms is not None and resets_at_ms - full.seen_at_ms > max_ms:
        return state
    label = agent_label(state.run, job.role)
    name, percent = full.window.name or "limit", int(min(full.window.used_percent, 100))
    told = f"{label}'s {name} is used to {percent} % ({_reset(resets_at_ms, full.seen_at_ms)}): its turn waits"
    wait = WaitJob(
        label=f"{job.label}-window",
        at_least_ms=0,
        not_before_ms=resets_at_ms + backoff.LIMIT_MARGIN_MS,
        then=replace(job, id="", issued=False),
        what=f"the reset of {label}'s {name}, used to {percent} %",
    )
    return joblist.add(steps.say(rest, told), wait)


# --- words ------------------------------------------------------------------------------------------------------------


def reset_told(event: TurnSettled) -> str:
    """When a turn that met a limit can work again; "" for any other turn, and for a limit without a reset."""
    if event.outcome.status != "limited" or event.outcome.resets_at_ms is None:
        return ""
    return f"{_reset(event.outcome.resets_at_ms, event.at_ms)}; "


def _reset(resets_at_ms: int | None, now_ms: int) -> str:
    if resets_at_ms is None:
        return "its reset is not known"
    when = f"{datetime.fromtimestamp(resets_at_ms / 1_000, UTC):%Y-%m-%d %H:%M} UTC"
    return f"it resets at {when}" + (f", in {span(resets_at_ms - now_ms)}" if 0 < now_ms < resets_at_ms else "")


def _is_over(known: RoleWindow, at_ms: int) -> bool:
    resets_at_ms = known.window.resets_at_ms
    if resets_at_ms is None:
        return at_ms - known.seen_at_ms > backoff.BACKOFF_LAST_MS
    return resets_at_ms <= at_ms
