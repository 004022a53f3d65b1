"""How often something is said that strangers can make happen at will. Pure: the time comes in."""

from __future__ import annotations

SILENCE_S = 60.0


class Bursts:
    """Counts. The first one is said at once, those that follow as one number when `silence_s` has passed."""

    def __init__(self, silence_s: float = SILENCE_S) -> None:
        self._silence_s = silence_s
        self._said_at_s: float | None = None
        self._unsaid = 0

    def happened(self, now_s: float) -> int:
        """Once more. Returns how many are to be said now; 0: nothing is."""
        self._unsaid += 1
        if self._said_at_s is not None and now_s - self._said_at_s < self._silence_s:
            return 0
        self._said_at_s = now_s
        said, self._unsaid = self._unsaid, 0
        return said
