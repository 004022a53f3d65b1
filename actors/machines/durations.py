"""Formats durations for the user; `actors.setting_values` parses typed ones. Pure."""

from __future__ import annotations

_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}


def span(ms: int) -> str:
    """Its two largest units: `2 h 5 m`, `2 m 10 s`, `5 s`, `0 s`. Rounds up to whole seconds."""
    left = -(-max(ms, 0) // 1_000) * 1_000
    parts: list[tuple[int, str]] = []
    for unit, length in _UNITS.items():
        count, left = divmod(left, length)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count) or "0 s"
