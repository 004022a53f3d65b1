"""A limit of money is refused, or the user is told, where an agent's money cannot be counted."""

from __future__ import annotations

import pytest

from actors.errors import UserError
from actors.settings import Price, RunSettings
from shell import countable
from tests.actors.machines.test_run import settings

PRICE = Price(input=1, output=2)


def check(given: RunSettings, limit_usd: float | None = 10, models: dict[str, str] | None = None) -> list[str]:
    told: list[str] = []
    countable.check(
        given,
        limit_usd=limit_usd,
        reports_cost=lambda name: name == "claude",
        models=models or {},
        tell=told.append,
    )
    return told


def test_a_run_without_a_user_is_refused_where_an_agents_money_cannot_be_counted() -> None:
    with pytest.raises(
        UserError, match=r"^--max-cost 10: the cost of codex cannot be counted without \[prices.codex\]"
    ):
        check(settings())
    assert check(settings(), None) == []


def test_a_user_is_told_in_one_line() -> None:
    [line] = check(settings(interactive=True))
    assert line.endswith("only the other agents' money is limited")


def test_a_price_of_its_model_or_of_the_agent_is_enough() -> None:
    assert check(settings(prices={"codex": PRICE})) == []
    assert check(settings(prices={"gpt": PRICE}, worker_model="gpt")) == []
    assert check(settings(prices={"gpt": PRICE}), models={"codex": "gpt"}) == []
    with pytest.raises(UserError):
        check(settings(prices={"gpt": PRICE}, worker_model="gpt", worker_review_model="mini"))


def test_an_agent_that_reports_its_money_needs_no_price() -> None:
    assert check(settings(worker="claude", reviewer="claude")) == []
