"""When an agent's replay of a loaded session is over: nothing of it has come for a while since the agent's answer.

The protocol wants the whole replay before the answer to session/load; Gemini answers first. Runs in the adapter's
asyncio loop. Reads no clock: the while is a coroutine that comes in as an argument.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

# Gemini's replay follows its answer at once; a loaded machine may take a while over each piece.
QUIET_S = 1.0
_MOST_OF_NOTHING = 3  # times as long where no piece has come at all: that one may be on its way

Pause = Callable[[], Coroutine[Any, Any, None]]


async def quiet() -> None:
    """The while."""
    await asyncio.sleep(QUIET_S)


class Replay:
    """One session's replay. Where it is awaited it also ends when it has begun again, late."""

    def __init__(self, pause: Pause = quiet) -> None:
        self._pause = pause
        self._signal: asyncio.Future[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._is_empty = True
        self.running = False

    def begin(self) -> None:
        """What comes from now on is history."""
        self.running = True
        self._signal = asyncio.get_running_loop().create_future()

    def answered(self) -> None:
        """The agent says that it was all, which need not be true: the while begins."""
        if self.running and self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._until_quiet())

    def came(self) -> None:
        """A piece of it came."""
        self._is_empty = False
        self._tell()

    def _tell(self) -> None:
        signal, self._signal = self._signal, asyncio.get_running_loop().create_future()
        if signal is not None:
            signal.set_result(None)

    def end(self) -> None:
        """It is known to be over."""
        self.running = False
        watch, self._watch = self._watch, None
        if watch is not None and watch is not asyncio.current_task():
            watch.cancel()
        self._tell()

    async def over(self, known: Callable[[], bool] = lambda: False) -> None:
        """Returns when it is over, or as soon as what is looked for is `known`."""
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
