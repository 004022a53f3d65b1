"""What a turn in Claude Code's TUI has cost: the difference of two totals of its session. Pure.

The transcript has no costs. The TUI gives the session's total to the command of its status line, a third of a second
after each message of the model. So the total that has the end of a turn comes a moment after its Stop hook. What comes
later still counts in the next turn. Without a status line (`disableAllHooks`) the cost stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from actors.adapters.shapes import money
from actors.messages import Usage


class Money:
    """The totals of one session."""

    def __init__(self) -> None:
        self._total: float | None = None  # None: nothing was told since the program started
        self._counted = 0.0
        self._reports = 0
        self._reports_at_stop = 0

    def restarted(self, usd: float) -> None:
        """The program starts, and adopts this total of its session."""
        self._total, self._counted = None, usd
        self._reports = self._reports_at_stop = 0

    def told(self, cost: Mapping[str, Any]) -> None:
        """The program has told the total. A total never falls, except when the program did not adopt the last one."""
        self._total = money(cost.get("total_cost_usd"))
        self._counted = min(self._counted, self._total)
        self._reports += 1

    def stopped(self) -> None:
        """A turn has ended: the next total has all of it."""
        self._reports_at_stop = self._reports

    @property
    def is_due(self) -> bool:
        """Whether the total at the end of the turn is still to come."""
        return self._total is not None and self._reports <= self._reports_at_stop

    def counted(self, usage: Usage) -> Usage:
        """The usage of a turn, with what was spent since the last one. It is known if a total came in the turn."""
        if self._total is None:
            return usage
        cost = self._total - self._counted
        self._counted = self._total
        return msgspec.structs.replace(usage, cost_usd=cost, cost_known=cost > 0 or not self.is_due)
