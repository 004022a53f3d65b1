"""Guards the running turn against silence, and against taking too long: carries out what `silence` decides.

It tells the user, asks the agent about background tasks, ends them, and says when the turn is to be interrupted. It
never interrupts a turn itself. Lives in the session's thread; `hear` may be called in any.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from actors.adapters.base import Agent, AgentEvent, WaitsForBackground
from actors.errors import AgentError
from actors.machines import prompts, turn
from actors.messages import Patience
from actors.session import silence
from actors.session.options import INTERRUPT_PATIENCE_S
from actors.session.sentinel import Sentinel

# Steering is a write to a live process. One that is not answered stays in doubt until the turn's end.
STEER_PATIENCE_S = 10.0


class Guard:
    """`note` shows a line to the user; `wake` is called with the id of the turn when it is time to `look`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        patience: Patience,
        *,
        note: Callable[[str], None],
        wake: Callable[[str], None],
        interrupt_s: float = INTERRUPT_PATIENCE_S,
    ) -> None:
        self.patience = patience
        self._interrupt_s = interrupt_s
        self.ending: silence.Silent | silence.Overdue | None = None  # why the turn is being interrupted
        self._note = note
        self._sentinel = Sentinel(loop, wake)

    def begin(self, entry: turn.Entry, now_ms: int) -> None:
        """The turn begins, or resumes."""
        left_ms = silence.time_left_ms(self.limit_ms(entry), entry.began_ms, now_ms)
        self._sentinel.begin(entry.turn_id, self.patience, left_ms)

    def end(self) -> silence.Silent | silence.Overdue | None:
        """The turn is over. Returns why it was interrupted; None: for another reason, or not at all."""
        ending, self.ending = self.ending, None
        self._sentinel.end()
        return ending

    def hear(self, event: AgentEvent) -> None:
        """An event of the agent."""
        self._sentinel.hear(event)

    async def look(self, agent: Agent, entry: turn.Entry, *, asks: bool) -> bool:
        """Judges the running turn. True: it is to be interrupted. `asks`: the agent waits for the user's answer."""
        waiting = agent.background() if isinstance(agent, WaitsForBackground) else ()
        finding = self._sentinel.look(self.patience, asks=asks, background=bool(waiting))
        match finding:
            case silence.NoOutput():
                self._note(silence.no_output(finding, self.patience))
                if waiting:  # the agent may have forgotten a server
                    with suppress(AgentError, TimeoutError):
                        asked = agent.steer(str(uuid.uuid4()), prompts.background(waiting))
                        async with asyncio.timeout(STEER_PATIENCE_S):
                            await asked
            case silence.Silent() if waiting and isinstance(agent, WaitsForBackground):
                self._note(f"{finding.why}; it is ended: {', '.join(waiting)}")
                if not await self._stop_background(agent):
                    return self._end(finding, entry)
            case silence.Silent() | silence.Overdue():
                return self._end(finding, entry)
            case silence.Again():
                pass
        return False

    def _end(self, finding: silence.Silent | silence.Overdue, entry: turn.Entry) -> Literal[True]:
        """The turn is to be interrupted."""
        self.ending = finding
        self._note(silence.told(finding, entry, self.limit_ms(entry)))
        return True

    async def _stop_background(self, agent: WaitsForBackground) -> bool:
        """False: the agent does not even hear that; its turn is interrupted."""
        try:
            with suppress(AgentError):  # a dead agent's turn is over as well; its task reports it
                async with asyncio.timeout(self._interrupt_s):
                    await agent.stop_background()
        except TimeoutError:
            return False
        return True

    def limit_ms(self, entry: turn.Entry) -> int:
        """How long this turn may take; 0: without a limit."""
        return silence.shortest(self.patience.turn_ms, entry.within_ms)

    def silences(self, entry: turn.Entry) -> int:
        """Silences of this turn in a row, with the one that has just ended it."""
        return silence.count(entry.silences, self._sentinel.lived_s)
