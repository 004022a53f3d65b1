"""The wall clock, for modules that are not pure. Any process, any thread."""

from __future__ import annotations

import time


def wall_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000
