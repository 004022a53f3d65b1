"""Listens for the signs of life of the running turn, and wakes the driver when it has to judge them.

It decides nothing: `silence` does. One timer, which is set again only when it ends: an event costs one assignment. The
clock does not run while the machine sleeps (CLOCK_MONOTONIC). `hear` may be called in any thread, all else in the
session's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from actors.adapters.base import AgentEvent
from actors.messages import Patience
from actors.session import silence


class Sentinel:
    """`wake` is called in the loop, with the id of the turn to judge."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wake: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._wake = wake
        self._clock = clock
        self._turn_id = ""
        self._began_s = self._heard_s = 0.0
        self._until_s: float | None = None
        self._told_s: float | None = None
        self._background_s: float | None = None
        self._asked = False
        self._due_s: float | None = None
        self._running: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def lived_s(self) -> float:
        """From the turn's beginning to the last sign of life."""
        return self._heard_s - self._began_s

    def begin(self, turn_id: str, patience: Patience, within_ms: int) -> None:
        """A turn begins. `within_ms`: its time; 0: without a limit."""
        self._turn_id = turn_id
        self._running.clear()
        self._began_s = self._heard_s = now_s = self._clock()
        self._until_s = now_s + within_ms / 1_000 if within_ms else None
        self._told_s = self._background_s = None
        self._asked = False
        self.look(patience)

    def end(self) -> None:
        """The turn is over."""
        self._turn_id = ""
        self._running.clear()
        self._set(None)

    def hear(self, event: AgentEvent) -> None:
        """An event of the agent."""
        if event.is_heartbeat:
            return
        self._heard_s = self._clock()
        if event.begins:
            self._running[event.begins] = event.text
            if self._timer is None and self._turn_id:  # only what runs has a limit
                self._loop.call_soon_threadsafe(self._wake, self._turn_id)
        if event.ends:
            self._running.pop(event.ends, None)

    def look(self, patience: Patience, *, asks: bool = False, background: bool = False) -> silence.Finding:
        """Judges the running turn, and sets the timer for the next look."""
        now_s = self._clock()
        if not background:
            self._background_s = None
        elif self._background_s is None:
            self._background_s = self._heard_s
        watch = silence.Watch(
            heard_s=self._heard_s,
            until_s=self._until_s,
            told_s=self._told_s,
            running=dict(self._running),
            background_s=self._background_s,
            asked=self._asked,
            asks=asks,
        )
        if self._due_s is not None:
            watch = silence.woken(watch, self._due_s, now_s)
            self._heard_s, self._until_s = max(self._heard_s, watch.heard_s), watch.until_s
            self._background_s = watch.background_s
        finding = silence.judge(watch, patience, now_s)
        if isinstance(finding, silence.NoOutput):
            self._told_s, self._asked = now_s, self._asked or background
        self._set(finding.at_s if isinstance(finding, silence.Again) else now_s)
        return finding

    def _set(self, at_s: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due_s = at_s
        if at_s is not None and self._turn_id:
            self._timer = self._loop.call_later(max(at_s - self._clock(), 0.0), self._wake, self._turn_id)
