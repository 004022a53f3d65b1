"""The lease of a host: when its shim must end by itself, and when home may give it up. Pure; times are seconds of one
monotonic clock each.

The words are Nomad's. The shim ends its actors `stop_after_s` after it last asked for a lease that was granted. Home
takes them for ended `lost_after_s` after it last granted one. No actor has two writers, since home's span is the longer
one, by more than clocks drift and a kill takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.errors import UserError

STOP_AFTER_S = 30.0
LOST_AFTER_S = 45.0
LONGEST_S = 86_400  # a day: timers refuse years, and nobody waits for a dead host that long
MARGIN_S = 5.0  # a kill of a tree takes at most 3 s; clocks drift by less than a second in a minute
ASKS = 5  # how often the shim asks within `stop_after_s`


def check(name: str, stop_after_s: float, lost_after_s: float) -> None:
    """Raises `UserError` when home would give the host up before it has certainly ended."""
    for key, value in (("stop_after_s", stop_after_s), ("lost_after_s", lost_after_s)):
        if not 1 <= value <= LONGEST_S:  # nan is refused as well
            raise UserError(f"hosts.{name}.{key} is {value:g}: give 1 to {LONGEST_S:,} seconds")
    if lost_after_s < stop_after_s + MARGIN_S:
        raise UserError(
            f"hosts.{name}.lost_after_s is {lost_after_s:g}: it must be at least stop_after_s + {MARGIN_S:g}, "
            f"{stop_after_s + MARGIN_S:g}, so that nobody works there any more when home continues"
        )


@dataclass
class Held:
    """The shim's side."""

    stop_after_s: float
    until_s: float
    asked: dict[int, float] = field(default_factory=dict)
    number: int = 0
    round_trip_s: float | None = None  # of the last question that was granted

    def ask(self, now_s: float) -> int:
        """The number of the next question."""
        self.number += 1
        self.asked[self.number] = now_s
        return self.number

    def granted(self, number: int, now_s: float) -> None:
        """Prolongs the lease from the moment of the question; answers to unknown questions prolong nothing."""
        asked_s = self.asked.pop(number, None)
        if asked_s is None:
            return
        self.round_trip_s = now_s - asked_s
        self.until_s = max(self.until_s, asked_s + self.stop_after_s)
        self.asked = {each: at for each, at in self.asked.items() if each > number}

    def next_ask_s(self, now_s: float) -> float:
        """Seconds from now until the next question is due."""
        last = max(self.asked.values(), default=self.until_s - self.stop_after_s)
        return max(0.0, last + self.stop_after_s / ASKS - now_s)


@dataclass
class Granted:
    """Home's side."""

    lost_after_s: float
    at_s: float

    def given_up_in_s(self, now_s: float) -> float:
        """Seconds from now until the host is certainly idle."""
        return max(0.0, self.at_s + self.lost_after_s - now_s)
