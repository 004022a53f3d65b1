"""Detects the end of an agent's replay of a loaded session: a period of silence after the agent's answer.

The protocol requires the whole replay before the answer to session/load; Gemini answers first. Runs in the adapter's
asyncio loop. Reads no clock: the period is a coroutine that comes in as an argument.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

# Gemini's replay follows its answer immediately; a loaded machine may delay each piece.
QUIET_S = 1.0
_MOST_OF_NOTHING = 3  # times as long before the first piece, which may be in flight

Pause = Callable[[], Coroutine[Any, Any, None]]


async def quiet() -> None:
    """Waits for the period of silence."""
    await asyncio.sleep(QUIET_S)


class Replay:
    """One session's replay. Waiting for it includes a replay that restarts late."""

    def __init__(self, pause: Pause = quiet) -> None:
        self._pause = pause
        self._signal: asyncio.Future[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._is_empty = True
        self.running = False

    def begin(self) -> None:
        """The replay begins: later updates are history."""
        self.running = True
        self._signal = asyncio.get_running_loop().create_future()

    def answered(self) -> None:
        """The agent reports the end, which may be too early: the period of silence begins."""
        if self.running and self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._until_quiet())

    def came(self) -> None:
        """A piece of the replay has arrived."""
        self._is_empty = False
        self._tell()

    def _tell(self) -> None:
        signal, self._signal = self._signal, asyncio.get_running_loop().create_future()
        if signal is not None:
            signal.set_result(None)

    def end(self) -> None:
        """The replay is certainly over."""
        self.running = False
        watch, self._watch = self._watch, None
        if watch is not None and watch is not asyncio.current_task():
            watch.cancel()
        self._tell()

    async def over(self, known: Callable[[], bool] = lambda: False) -> None:
        """Returns when the replay is over, or as soon as `known` is true."""
        while self.running and not known():
            assert self._signal is not None
            await asyncio.shield(self._signal)

    async def close(self) -> None:
        """Ends the watch."""
        watch = self._watch
        self.end()
        if watch is not None:
            with suppress(asyncio.CancelledError):
                await watch

    async def _until_quiet(self) -> None:
        assert self._signal is not None
        pauses = 0
        while pauses < (_MOST_OF_NOTHING if self._is_empty else 1):
            signal = self._signal
            pause = asyncio.ensure_future(self._pause())
            try:
                await asyncio.wait((pause, signal), return_when=asyncio.FIRST_COMPLETED)
                pauses += pause.done() and not signal.done()
            finally:
                pause.cancel()
        self.end()
