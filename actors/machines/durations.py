"""Lengths of time, as the user reads and types them. Pure."""

from __future__ import annotations

import re

_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
_TYPED = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")
_LONGEST_MS = 365 * _UNITS["d"]


def span(ms: int) -> str:
    """The two largest units that it has: `2 h 5 m`, `2 m 10 s`, `5 s`, `0 s`. A begun second counts as one."""
    left = -(-max(ms, 0) // 1_000) * 1_000
    parts: list[tuple[int, str]] = []
    for unit, length in _UNITS.items():
        count, left = divmod(left, length)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count) or "0 s"


def parse(text: str) -> int | None:
    """The milliseconds of `2h`, `90s`, `1h30m`, `0`; None for anything else, and for more than a year."""
    word = text.strip().lower()
    if word == "0":
        return 0
    found = _TYPED.fullmatch(word)
    if found is None or not word:
        return None
    ms = sum(int(count or 0) * length for count, length in zip(found.groups(), _UNITS.values(), strict=True))
    return ms if ms <= _LONGEST_MS else None
