"""`cost`: what the agents have used, by agent, kind of turn, model and day."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from actors.errors import LoopError, UserError
from shell import output
from shell.commands.base import Command, Prompt
from shell.commands.grammar import Invocation, Subcommand

if TYPE_CHECKING:
    from actors.settings import Price
    from shell.costs import RunCost, TurnCost

NONE = "no agent has reported its usage"
_BY = ("agent", "turn", "model", "day")


def _type_cost(prompt: Prompt, _rest: str) -> str:
    """Tokens and money so far, by agent, kind of turn, model and day; and what is left of the budget."""
    from shell import costs

    return "\n".join(_lines([costs.read(prompt.directory, prompt.directory.name, _prices())]))


def _cost(invocation: Invocation) -> int:
    if invocation.all and invocation.run:
        raise UserError(f"loop cost takes RUN or --all, not both: {COST.row.usage if COST.row else ''}")
    found, problems = _read_all() if invocation.all else ([_read_one(invocation.run)], [])
    if invocation.json:
        import msgspec

        output.say_json({"runs": msgspec.to_builtins(found), "problems": problems})
    else:
        output.say_lines([*_lines(found), *problems])
    return 0


def _read_one(wanted: str) -> RunCost:
    from shell import costs, run_files

    found = run_files.choose(wanted, running=False)
    run_files.check_whole(found)
    return costs.read(found.directory, found.run_id, _prices())


def _read_all() -> tuple[list[RunCost], list[str]]:
    """The runs of all repositories, and one line for each that cannot be read."""
    from actors.edges import run_dir
    from shell import costs, run_files

    prices, found, problems = _prices(), [], []
    for repo_runs in run_dir.directories(run_files.home_runs()):
        for each in run_files.all_runs(repo_runs):
            name = f"{repo_runs.name}/{each.run_id}"
            try:
                run_files.check_whole(each)
                found.append(costs.read(each.directory, name, prices))
            except LoopError as error:
                problems.append(f"{name}: {error}")
    return found, problems


def _prices() -> dict[str, Price]:
    """Today's prices."""
    from actors.adapters import BUILT_IN_NAMES
    from actors.edges import environments
    from actors.edges.configuration import read_configuration

    return read_configuration(environments.home(), None, BUILT_IN_NAMES).prices


def _lines(found: Iterable[RunCost]) -> list[str]:
    from shell import costs, spending, tables

    found = [each for each in found if each.is_known]
    rows = [row for each in found for row in each.rows]
    if not found:
        return [NONE]
    cells = [
        [by, name or "its default", tables.counted(turns, "turn"), *tables.usage_cells(usage)]
        for by in _BY
        for name, (turns, usage) in costs.summed(rows, by).items()
    ]
    if len(found) > 1:
        cells += [["run", each.run, _turns(each.rows), *tables.usage_cells(each.usage)] for each in found]
    total = spending.together(row.usage for row in rows)
    cells.append(["total", "", _turns(rows), *tables.usage_cells(total)])
    left = [f"{each.run}: {spending.budget(budget)}" for each in found for budget in each.budgets]
    return [*tables.columns(cells), *left]


def _turns(rows: Iterable[TurnCost]) -> str:
    from shell.tables import counted

    return counted(sum(row.turns for row in rows), "turn")


COST = Command(
    name="cost",
    typed=_type_cost,
    row=Subcommand(
        "cost",
        "show what a run, or all runs, have cost",
        ("run",),
        ("--all", "--json"),
        "By agent, kind of turn, model and day. ? is unknown: prices are set in [prices] of the configuration.",
    ),
    once=_cost,
)
