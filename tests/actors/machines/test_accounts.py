"""Which of an agent's accounts is used."""

from __future__ import annotations

import pytest

from actors.machines import accounts, turn
from actors.messages import Cause, TurnOutcome, Window

NOW = 1_000_000
HOUR_MS = 3_600_000


def limited(resets_at_ms: int | None) -> TurnOutcome:
    return TurnOutcome(status="limited", error="limit", resets_at_ms=resets_at_ms, window=Window(used_percent=100))


def used(percent: float) -> TurnOutcome:
    return TurnOutcome(status="finished", window=Window(used_percent=percent, resets_at_ms=NOW + HOUR_MS))


def failed(cause: Cause) -> TurnOutcome:
    return TurnOutcome(status="failed", error="no", cause=cause)


@pytest.mark.parametrize(
    ("account", "used_up", "outcome", "count", "chosen"),
    [
        (0, {}, limited(NOW + 5), 1, None),  # there is no other
        (0, {}, limited(NOW + 5), 2, (1, True)),
        (0, {}, limited(NOW + 5), 3, (1, True)),
        (1, {}, limited(NOW + 5), 3, (2, True)),
        (2, {}, limited(NOW + 5), 3, (0, True)),
        (0, {1: NOW + 1}, limited(NOW + 5), 3, (2, True)),
        (0, {1: NOW}, limited(NOW + 5), 3, (1, True)),  # it was reset meanwhile
        (0, {1: NOW + 9, 2: NOW + 7}, limited(NOW + 5), 3, (0, False)),
        (0, {1: NOW + 9, 2: NOW + 7}, limited(NOW + 8), 3, (2, False)),
        (0, {}, TurnOutcome(status="limited", error="slow down"), 2, None),  # it only throttles
        (0, {}, failed("transient"), 2, None),
        (0, {}, failed("billing"), 2, None),
        (1, {0: NOW + 5}, failed("login"), 2, (0, False)),
        (0, {}, used(94), 2, None),
        (0, {}, used(95), 2, (1, True)),
        (0, {1: NOW + 2 * HOUR_MS}, used(95), 2, (0, False)),
    ],
)
def test_the_next_account_that_is_free_is_used_else_the_first_to_be_reset(
    account: int, used_up: dict[int, int], outcome: TurnOutcome, count: int, chosen: tuple[int, bool] | None
) -> None:
    choice = accounts.choose(account, used_up, outcome, count=count, now_ms=NOW)
    assert (None if choice is None else (choice.account, choice.is_free)) == chosen


def test_the_run_waits_for_the_first_account_that_is_reset() -> None:
    outcome = limited(NOW + 8)
    choice = accounts.choose(0, {1: NOW + 7}, outcome, count=2, now_ms=NOW)
    assert choice is not None
    told = accounts.after(outcome, choice)
    assert (told.status, told.resets_at_ms, told.is_used_up) == ("limited", NOW + 7, True)


def test_an_account_that_cannot_work_does_not_end_the_wait_for_the_others() -> None:
    choice = accounts.choose(1, {0: NOW + 7}, failed("login"), count=2, now_ms=NOW)
    assert choice is not None
    told = accounts.after(failed("login"), choice)
    assert (told.status, told.cause, told.resets_at_ms) == ("limited", "", NOW + 7)


def test_the_run_is_told_of_a_full_window_only_when_no_account_is_free() -> None:
    free = accounts.choose(0, {}, used(97), count=2, now_ms=NOW)
    none = accounts.choose(0, {1: NOW + 1}, used(97), count=2, now_ms=NOW)
    assert free is not None
    assert none is not None
    assert accounts.after(used(97), free).window is None
    window = accounts.after(used(97), none).window
    assert window is not None
    assert (window.used_percent, window.resets_at_ms) == (97, NOW + 1)


def test_the_choice_outlives_a_restart() -> None:
    event = turn.AccountChosen(account=1, used_up=0, until_ms=NOW)
    ledger = turn.apply(turn.Ledger(), event)
    assert (ledger.account, ledger.used_up) == (1, {0: NOW})


def test_an_account_is_named_by_its_number_alone() -> None:
    assert accounts.label(0, 1) == ""
    assert accounts.label(1, 3) == "account 2 of 3"
