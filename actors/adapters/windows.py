"""The windows of a provider's allowance, as the agents report them. Pure.

Only what an agent reports is known. Where the provider lets the work continue at extra cost (credits, overage), no
window ends it, so nothing is reported then. A report of unknown shape says nothing, and ends no turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from actors.adapters.shapes import UNKNOWN_SHAPE, moment_s, money, whole
from actors.messages import FULL_PERCENT, Window

MOST_LETTERS = 40  # of a window's name
_GOES_ON = frozenset({"allowed", "allowed_warning"})


def decisive(windows: Iterable[Window]) -> Window | None:
    """The window that matters: of the nearly used ones the last to be reset, else the one that is used most."""
    return max(
        windows,
        key=lambda each: (min(each.used_percent, FULL_PERCENT), each.resets_at_ms or 0, each.used_percent),
        default=None,
    )


def of_claude(info: Any) -> Window | None:
    """From a `rate_limit_info`: its windows, and what it says of the one that decided."""
    with suppress(*UNKNOWN_SHAPE):
        return _of_claude(info)
    return None


def of_codex(limits: Any) -> Window | None:
    """From a snapshot of `account/rateLimits`."""
    with suppress(*UNKNOWN_SHAPE):
        return _of_codex(limits)
    return None


def _of_claude(info: Mapping[str, Any]) -> Window | None:
    if info.get("isUsingOverage") or (info.get("status") == "rejected" and info.get("overageStatus") in _GOES_ON):
        return None
    named = [
        _window(str(name), 100 * money(each.get("utilization")), each.get("resetsAt"))
        for name, each in (info.get("unifiedWindows") or {}).items()
        if isinstance(each, Mapping)
    ]
    name = str(info.get("rateLimitType") or "")
    used = 100 * money(info.get("utilization"))
    if info.get("status") == "rejected":
        named = [_window(name, max(used, 100), info.get("resetsAt"))]
    elif used:
        named.append(_window(name, used, info.get("resetsAt")))
    return decisive(named)


def _of_codex(limits: Mapping[str, Any]) -> Window | None:
    paid = limits.get("credits") or {}
    if paid.get("hasCredits") or paid.get("unlimited"):
        return None
    found = []
    for each in (limits.get("primary"), limits.get("secondary")):
        if isinstance(each, Mapping):
            minutes = whole(each.get("windowDurationMins"))
            name = f"{minutes // 60}-hour limit" if minutes >= 60 else "limit"
            ends = moment_s(each.get("resetsAt"))
            resets_at_ms = ends * 1_000 if ends else None
            found.append(Window(used_percent=money(each.get("usedPercent")), resets_at_ms=resets_at_ms, name=name))
    return decisive(found)


def _window(kind: str, used_percent: float, resets_at_s: Any) -> Window:
    ends = moment_s(resets_at_s)
    name = f"{kind[:MOST_LETTERS].replace('_', '-')} limit" if kind else "limit"
    return Window(used_percent=used_percent, resets_at_ms=ends * 1_000 if ends else None, name=name)
