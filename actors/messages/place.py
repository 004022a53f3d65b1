"""Messages about where an agent's actor runs: at home, or on a host. Pure."""

from __future__ import annotations

from typing import Literal

from actors.messages.base import Message


class LeavePlace(Message, frozen=True, kw_only=True):
    """Supervisor -> agent's actor: end what runs, begin nothing more, bring the work home, then say `PlaceLeft`.

    `leaves` False: stay after all. `now`: the running turn is cut, and continues at the next place. An incarnation that
    it is not for ignores it.
    """

    must_arrive = True

    incarnation: int
    leaves: bool
    now: bool = False


class PlaceLeft(Message, frozen=True, kw_only=True):
    """Agent's actor -> supervisor: nothing runs here, and the work is at home."""

    must_arrive = True


class ActorPlaced(Message, frozen=True, kw_only=True):
    """Supervisor -> run: from its next start on the agent's actor runs there."""

    must_arrive = True

    role: Literal["worker", "reviewer"]
    host: str  # "" = home
    why: str = ""
