"""The money that the run has left for a session, and whether its agent was started with it. Pure.

An agent such as Claude Code takes a limit of money only at its start, and counts from there. The run's other agent
spends, too, so the limit may become too high; and it is too low once the user has given the run more. Then the agent is
restarted, in its session, before its next turn. A tenth more than what is left is near enough.
"""

from __future__ import annotations

from typing import NamedTuple

ENOUGH = 0.99  # of what is left; the sums of run and agent differ in the last digit
TOO_MUCH = 1.1
LEAST_USD = 0.0001


class Purse(NamedTuple):
    """`left_usd`: when the session's turns had cost `at_usd`. None: the run has no limit of money."""

    left_usd: float | None = None
    at_usd: float = 0.0

    def left(self, spent_usd: float) -> float | None:
        """What is left now that the session's turns have cost this much."""
        return None if self.left_usd is None else max(LEAST_USD, self.left_usd - (spent_usd - self.at_usd))

    def fits(self, has_usd: float | None, spent_usd: float) -> bool:
        """Whether an agent that may still spend `has_usd` (None: without a limit) can take the next turn."""
        left = self.left(spent_usd)
        if left is None or has_usd is None:
            return left is has_usd
        return left * ENOUGH <= has_usd <= left * TOO_MUCH
