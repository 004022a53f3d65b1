"""Whether a limit of money can hold: the cost of each agent is reported by itself, or has a configured price. Pure.

A cap that counts half of the money is none. So a run without a user is refused, and a user is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actors.errors import UserError
from actors.machines.run.budgets import price_of
from actors.settings import RunSettings


def check(
    settings: RunSettings,
    *,
    limit_usd: float | None,
    reports_cost: Callable[[str], bool],
    models: Mapping[str, str],
    tell: Callable[[str], None],
) -> None:
    """Raises `UserError` in a run that asks nobody; else tells the user.

    `limit_usd` is the run's, also where an earlier start set it. `models` are those of the configuration, by agent.
    """
    if limit_usd is None:
        return
    unknown = [name for name in _uncounted(settings, models) if not reports_cost(name)]
    if not unknown:
        return
    names = " and ".join(dict.fromkeys(unknown))
    problem = (
        f"--max-cost {limit_usd:g}: the cost of {names} cannot be counted without [prices.{unknown[0]}] in "
        "~/.loop/config.toml"
    )
    if not settings.interactive:
        raise UserError(f"{problem}: add it, or use --max-tokens; see loop cost --help")
    tell(f"{problem}: only the other agents' money is limited")


def _uncounted(settings: RunSettings, models: Mapping[str, str]) -> list[str]:
    """The agents with a model that has no price."""
    worker, reviewer = settings.worker.lower(), settings.reviewer.lower()
    used = [(worker, settings.worker_model), (reviewer, settings.reviewer_model)]
    if settings.worker_review_model:
        used.append((worker, settings.worker_review_model))
    return [name for name, model in used if price_of(settings.prices, name, model or models.get(name, "")) is None]
