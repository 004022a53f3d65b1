"""The options of a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from actors.adapters.base import Agent, EventSink
from actors.clock import wall_ms
from actors.machines import backoff, turn
from actors.messages import Patience
from actors.session.listener import SessionListener
from actors.stream import EventStream

# Both agents answer an interrupt in 10-20 ms; without an answer by then, the process is stuck.
INTERRUPT_PATIENCE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """`make_agent` makes a new adapter for each start of the agent's program, in one of its `accounts`. `retry_ms` and
    `max_wait_ms` are for messages during an outage of the provider; the run itself handles its own turns. `is_held`:
    nothing is sent until `hold` lifts it. `patience`: until `hold` brings another.
    `tree_facts`: what is in the directory, for a hand-off to a new session; may take seconds.
    `last_command`: what ran last on a host that is lost, once; "" = nothing.
    """

    make_agent: Callable[[EventSink, int], Agent]
    stream: EventStream[turn.LedgerEvent]
    listener: SessionListener
    first_session_id: str | None = None
    first_session_is_named: bool = False  # by the user: no other one replaces it
    retry_ms: int = backoff.RETRY_FIRST_MS
    max_wait_ms: int | None = backoff.MAX_WAIT_MS
    is_held: bool = False
    left_usd: float | None = None  # what the run may still cost; None: without a limit
    patience: Patience = field(default_factory=Patience)
    interrupt_s: float = INTERRUPT_PATIENCE_S
    accounts: int = 1
    tree_facts: Callable[[], Sequence[str]] = tuple
    last_command: Callable[[], str] = str
    clock: Callable[[], int] = wall_ms
