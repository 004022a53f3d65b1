"""The budgets of a run: what is used, what is left, and when they hold the run. Pure.

A budget is for the whole run, over all resumes and tasks. It counts every turn: the run's own, mail, users' messages
and role prompts; of a turn that runs, what its agent has reported so far. When a budget is reached, what runs finishes,
and no further turn begins. At `TAIL` of it, the running turns are interrupted. Checks, and looks at the tree, cost
nothing and are not held back. The user then gives a higher limit, or stops the run.

Money comes from the agents, and from the prices in the settings where an agent reports tokens alone. Without a price
the cost is unknown, and the sum a lower bound; no price is guessed.

Time is the time in which the run works, or waits by itself. It stops while the run is paused, stopped, or waits
for the user. It is counted only in a run with a limit of time (`TimePassed`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from msgspec.structs import replace

from actors import setting_values
from actors.errors import UserError
from actors.machines import usage
from actors.machines.run.commands import Notice
from actors.machines.run.events import UsageSeen
from actors.machines.run.jobs.turn import InterruptTurn, TurnJob
from actors.machines.run.jobs.wait import WaitJob
from actors.machines.run.state import FINAL_PHASES, USER_IS_ASKED, Hold, Phase, RunState
from actors.messages import BudgetUse, Usage
from actors.settings import Price, RunSettings

NAME = "budget"
TAIL = 1.1  # at this part of a budget, running turns are interrupted
CUT = "the budget of the run is used up"
ASK = "Type a higher limit, such as --max-cost 10 (blank stops the run)"
TICK_MS = 60_000  # a killed run loses at most this much of its time

Kind = Literal["cost", "tokens", "time"]


class _Kind(NamedTuple):
    flag: str
    field: str  # of `RunSettings`
    parse: setting_values.Parse
    example: str


_KINDS: Mapping[Kind, _Kind] = {
    "cost": _Kind("--max-cost", "max_cost_usd", setting_values.dollars, "10"),
    "tokens": _Kind("--max-tokens", "max_tokens", setting_values.tokens, "5M"),
    "time": _Kind(
        "--max-time", "max_time_ms", setting_values.duration(most="a year", most_ms=setting_values.LONGEST_MS), "2h"
    ),
}


# --- use --------------------------------------------------------------------------------------------------------------


def uses(state: RunState) -> tuple[BudgetUse, ...]:
    """The run's budgets, each with its use so far."""
    if state.settings is None:
        return ()
    total = usage.together([*(each.usage for each in state.spent), *(each.usage for each in state.running)])
    used: dict[Kind, tuple[float, bool]] = {
        "cost": (total.cost_usd, total.cost_known),
        "tokens": (total.input_tokens + total.output_tokens, total.tokens_known),
        "time": (state.time_ms, True),
    }
    limits: dict[Kind, float | None] = {
        "cost": state.run.max_cost_usd,
        "tokens": state.run.max_tokens,
        "time": state.run.max_time_ms,
    }
    return tuple(
        BudgetUse(kind=kind, used=used[kind][0], limit=limit, known=used[kind][1])
        for kind, limit in limits.items()
        if limit is not None
    )


def part(state: RunState) -> float:
    """How much of its fullest budget the run has used; 1.0 = all of it, 0.0 = there is no budget."""
    return max((each.used / each.limit for each in uses(state)), default=0.0)


def is_used_up(state: RunState) -> bool:
    """Whether no further turn begins, mail included."""
    return part(state) >= 1


def is_overrun(state: RunState) -> bool:
    """Whether running turns are interrupted."""
    return part(state) >= TAIL


def has_room(state: RunState) -> bool:
    """Whether what is left of money and tokens is enough for the largest turn so far. Before the first: no."""
    largest: Mapping[Kind, float] = {"cost": state.most_usd, "tokens": state.most_tokens}
    return all(0 < largest[each.kind] <= each.limit - each.used for each in uses(state) if each.kind in largest)


def left_usd(state: RunState) -> float | None:
    """The money that is left for the next turn, up to the tail of the budget; None: the run has no such budget."""
    return next((max(0.0, each.limit * TAIL - each.used) for each in uses(state) if each.kind == "cost"), None)


def whole_usd(settings: RunSettings) -> float | None:
    """What is left at the start of a new run."""
    return None if settings.max_cost_usd is None else settings.max_cost_usd * TAIL


def grown(state: RunState, amount: Usage) -> RunState:
    """Notes the largest turn so far."""
    tokens = max(state.most_tokens, amount.input_tokens + amount.output_tokens)
    return replace(state, most_tokens=tokens, most_usd=max(state.most_usd, amount.cost_usd))


def priced(settings: RunSettings, agent: str, model: str, amount: Usage) -> Usage:
    """The usage with its cost, where the agent does not report one and the settings have a price."""
    price = price_of(settings.prices, agent, model)
    if amount.cost_known or price is None or not amount.tokens_known:
        return amount
    return replace(amount, cost_usd=max(amount.cost_usd, _cost(price, amount)), cost_known=True)


def price_of(prices: Mapping[str, Price], agent: str, model: str) -> Price | None:
    """The price of this model, or else of all models of this agent; None: unknown."""
    return prices.get(model) or prices.get(agent.lower())


def _cost(price: Price, amount: Usage) -> float:
    cached = min(amount.cached_input_tokens, amount.input_tokens)
    cached_price = price.input if price.cached_input is None else price.cached_input
    dollars = (amount.input_tokens - cached) * price.input + cached * cached_price + amount.output_tokens * price.output
    return round(dollars / 1_000_000, 9)


# --- events -----------------------------------------------------------------------------------------------------------


def usage_seen(state: RunState, event: UsageSeen) -> RunState:
    """Notes what a running turn has used so far. A report on a turn that has settled comes late."""
    if (event.role, event.turn_id) in state.counted or event.turn_id in state.past:
        return state
    agent = {"worker": state.run.worker, "reviewer": state.run.reviewer}[event.role]
    seen = replace(event, usage=priced(state.run, agent, event.model, event.usage))
    others = tuple(each for each in state.running if each.role != event.role)
    return replace(state, running=(*others, seen))


def matters(state: RunState, event: UsageSeen) -> bool:
    """Whether this report reaches a budget, or its tail. Only such a report is journalled."""
    before, after = part(state), part(usage_seen(state, event))
    return any(before < line <= after for line in (1.0, TAIL))


def counts_time(state: RunState) -> bool:
    """Whether time passes now."""
    if state.settings is None or state.run.max_time_ms is None or state.phase in {Phase.NEW, *FINAL_PHASES}:
        return False
    waits_for_user = state.phase in USER_IS_ASKED and not state.open_turns
    return not (waits_for_user or state.paused or state.asking)


def next_tick_ms(state: RunState) -> int | None:
    """When the passed time is to be reported next, from now; None: the time is stopped."""
    limit = state.run.max_time_ms if counts_time(state) else None
    if limit is None:
        return None
    ahead = (line - state.time_ms for line in (limit, round(limit * TAIL)))
    return min([TICK_MS, *(ms for ms in ahead if ms > 0)])


# --- the gate ---------------------------------------------------------------------------------------------------------


def gate(state: RunState) -> Hold | None:
    """A turn runs, waits or is due, and a budget is used up."""
    full = [each for each in uses(state) if each.used >= each.limit]
    wants_turn = state.due is not None or any(isinstance(job, TurnJob | WaitJob) for job in state.jobs)
    if not (full and wants_turn):
        return None
    return Hold(
        kind="ask",
        by=NAME,
        why=f"the budget is used up: {', '.join(map(_said, full))}",
        ask=f"Type a higher limit, such as {_KINDS[full[0].kind].example} (blank stops the run)",
        resume=" ".join(f"{_KINDS[each.kind].flag} {_higher(each)}" for each in full),
    )


def interruptions(state: RunState) -> list[InterruptTurn]:
    """Turns that the run does not wait for, such as mail's, have no job; an overrun interrupts them, too."""
    if not state.running or not is_overrun(state):
        return []
    jobs = {job.id for job in state.jobs}
    return [
        InterruptTurn(turn_id=each.turn_id, role=each.role, reason=CUT)
        for each in state.running
        if each.turn_id not in jobs
    ]


def answered(state: RunState, text: str) -> tuple[RunState, str]:
    """Takes the new limits from the answer: a value for the budget that is used up, or options as on the command line.

    The words after them are for the agents.
    """
    words = text.split()
    full: list[Kind] = [each.kind for each in uses(state) if each.used >= each.limit]
    if not full and words and words[0].lstrip("$").replace(".", "", 1).isdecimal():
        full = ["cost"]  # the agent has counted more than the run: that can be money alone
    flags = {row.flag: kind for kind, row in _KINDS.items()}
    given: dict[str, object] = {}
    try:
        while words and words[0] in flags:
            row = _KINDS[flags[words[0]]]
            given[row.field] = row.parse(row.flag, words[1] if len(words) > 1 else "")
            words = words[2:]
        if words and not given and full:
            row = _KINDS[full[0]]
            given[row.field] = row.parse(row.flag, words[0])
            words = words[1:]
    except UserError as error:
        return replace(state, once=(*state.once, Notice(text=str(error), error=True))), ""
    return replace(state, settings=replace(state.run, **given)), " ".join(words)


def _said(each: BudgetUse) -> str:
    return f"{usage.amount(each.kind, each.used)} of {_KINDS[each.kind].flag} {usage.amount(each.kind, each.limit)}"


def _higher(each: BudgetUse) -> str:
    """Twice the limit, as an example for the command line; where more than that is used, twice what is used."""
    doubled = 2 * (each.limit if each.used < 2 * each.limit else each.used)
    if each.kind == "cost":
        return f"{doubled:.2f}".rstrip("0").rstrip(".")
    return f"{doubled:.0f}" if each.kind == "tokens" else setting_values.span(int(doubled))
