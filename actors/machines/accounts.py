"""Decides which of an agent's accounts is used: the next one that is not limited, else the first to be reset. Pure.

The accounts are counted from 0, in the order of the configuration. A provider that only throttles moves nothing. An
account that was moved to and cannot work (no login, no credit) counts as used up for `UNUSABLE_MS`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from actors.machines import backoff
from actors.messages import TurnOutcome, Window

UNUSABLE_MS = 24 * 3_600_000


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The account to use from now on; the one before it is used up until then. `is_free`: it can work now."""

    account: int
    used_up: int
    until_ms: int
    is_free: bool
    opens_at_ms: int  # when the chosen one can work again


def choose(account: int, used_up: Mapping[int, int], outcome: TurnOutcome, *, count: int, now_ms: int) -> Choice | None:
    """The account after this outcome; None: the same. `used_up`: until when each account is, Unix ms."""
    until_ms = _until_ms(outcome, now_ms, moved=bool(used_up))
    if count < 2 or until_ms is None:
        return None
    known = {**used_up, account: until_ms}
    others = [(account + step) % count for step in range(1, count)]
    free = next((each for each in others if known.get(each, 0) <= now_ms), None)
    chosen = min((account, *others), key=lambda each: known.get(each, 0)) if free is None else free
    return Choice(
        account=chosen,
        used_up=account,
        until_ms=until_ms,
        is_free=free is not None,
        opens_at_ms=known.get(chosen, 0),
    )


def after(outcome: TurnOutcome, choice: Choice) -> TurnOutcome:
    """The outcome as the run is told of it: all accounts together are one."""
    if outcome.status == "finished":
        window = outcome.window
        if window is not None:
            window = None if choice.is_free else replace(window, resets_at_ms=choice.opens_at_ms)
        return replace(outcome, window=window)
    window = Window(used_percent=100, resets_at_ms=choice.opens_at_ms, name="limit of all accounts")
    return replace(outcome, status="limited", cause="", resets_at_ms=choice.opens_at_ms, window=window)


def told(choice: Choice, outcome: TurnOutcome, count: int) -> str:
    """For the user: which account is left, why, and what is next."""
    why = outcome.error or "little is left of its window"
    before, next_one = label(choice.used_up, count), label(choice.account, count)
    if choice.is_free:
        return f"{before} is at its limit ({why}): the session continues in {next_one}"
    return f"every account is at its limit ({why}): {next_one} is the first to be reset"


def label(account: int, count: int) -> str:
    """For the user; "" where there is one account. Never what the account consists of."""
    return f"account {account + 1} of {count}" if count > 1 else ""


def _until_ms(outcome: TurnOutcome, now_ms: int, *, moved: bool) -> int | None:
    """Until when the account cannot work, or should not: little is left of its window. None: it can."""
    if outcome.is_used_up:
        return outcome.resets_at_ms or now_ms + backoff.BACKOFF_LAST_MS
    if outcome.status == "failed" and outcome.cause in ("login", "billing") and moved:
        return now_ms + UNUSABLE_MS
    window = outcome.window
    if outcome.status == "finished" and window is not None and window.is_full:
        return window.resets_at_ms
    return None
