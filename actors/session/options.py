"""The options of a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actors.adapters.base import Agent, EventSink
from actors.clock import wall_ms
from actors.machines import backoff, turn
from actors.session.listener import SessionListener
from actors.stream import EventStream


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """`make_agent` makes a new adapter for each start of the agent's program. `retry_ms` and `max_wait_ms` are for
    messages during an outage of the provider; the run itself handles its own turns. `is_held`: nothing is sent until
    `hold` lifts it.
    """

    make_agent: Callable[[EventSink], Agent]
    stream: EventStream[turn._Event]
    listener: SessionListener
    first_session_id: str | None = None
    retry_ms: int = backoff.RETRY_FIRST_MS
    max_wait_ms: int | None = backoff.MAX_WAIT_MS
    is_held: bool = False
    clock: Callable[[], int] = wall_ms
