"""Limits log lines for events that strangers can cause at will. Pure: the time comes in."""

from __future__ import annotations

SILENCE_S = 60.0


class Bursts:
    """A counter. The first event is reported immediately, later ones as one number once `silence_s` has passed."""

    def __init__(self, silence_s: float = SILENCE_S) -> None:
        self._silence_s = silence_s
        self._said_at_s: float | None = None
        self._unsaid = 0

    def happened(self, now_s: float) -> int:
        """Counts one event. Returns how many to report now; 0: none."""
        self._unsaid += 1
        if self._said_at_s is not None and now_s - self._said_at_s < self._silence_s:
            return 0
        self._said_at_s = now_s
        said, self._unsaid = self._unsaid, 0
        return said
