"""The tasks beside a turn of the Claude adapter. Lives in the session's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from actors.errors import AgentDiedError


class Tasks:
    """They end with the program; what fails in one is reported, unless the program is dead, which its turn reports."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts one."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._forget)
        return task

    async def end(self) -> None:
        """Cancels them all."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, AgentDiedError):
            context = {"message": "a helper of the Claude adapter failed", "exception": error, "task": task}
            asyncio.get_running_loop().call_exception_handler(context)
