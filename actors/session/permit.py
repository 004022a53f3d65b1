"""Whether a session's next turn may begin: with a budget, each turn waits for the run's grant.

Lives in the session's thread. The run decides (machines/run/grants); this remembers what was asked and granted. Without
a budget it asks for nothing.
"""

from __future__ import annotations

from actors.machines import turn
from actors.session.listener import SessionListener


class Permit:
    """The grant of one session."""

    def __init__(self, listener: SessionListener) -> None:
        self._listener = listener
        self._by_grant = False
        self._asked: str | None = None  # the turn that was asked for last; "" = none is wanted; None: nothing was said
        self._granted = ""  # the turn that may begin, or has begun and is not over
        self._gives_back = False

    def is_needed(self, *, by_grant: bool) -> None:
        """The run says whether turns need its grant."""
        if by_grant != self._by_grant:
            self._by_grant, self._asked, self._granted = by_grant, None, ""

    def grant(self, turn_id: str) -> None:
        """The run's answer. A late one, to an earlier request, grants nothing."""
        if turn_id == self._asked:
            self._granted = turn_id

    def give_back(self) -> None:
        """The agent's program is given up: what has begun is in doubt, and other turns do not wait for it."""
        self._gives_back = True

    def allows(self, entry: turn.Entry) -> bool:
        """Whether this turn may begin; one that was cut short still may."""
        self._gives_back = False
        return not self._by_grant or entry.turn_id == self._granted

    def want(self, waiting: turn.Entry | None, ledger: turn.Ledger, now_ms: int) -> None:
        """Nothing runs. `waiting`: the turn that needs a grant now. Without one, a turn that was begun and is not over
        keeps its grant; else the grant is given back.
        """
        if not self._by_grant:
            return
        wanted = waiting if waiting is not None or self._gives_back else _begun(ledger, now_ms)
        turn_id = wanted.turn_id if wanted is not None else ""
        if turn_id == self._asked:
            return
        self._asked, self._granted = turn_id, ""
        after = next(reversed(ledger.settled), "")
        self._listener.turn_wanted(turn_id, wanted.purpose if wanted is not None else "", after)


def _begun(ledger: turn.Ledger, now_ms: int) -> turn.Entry | None:
    """The turn that was begun, and is not put off to a later time."""
    begun = (
        entry
        for entry in ledger.open.values()
        if not entry.carrier and (entry.cuts or entry.status != "intended") and entry.not_before_ms <= now_ms
    )
    return next(begun, None)
