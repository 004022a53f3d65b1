"""Codex's own TUI in a tmux pane, kept alive: when it ends, it restarts on the run's thread.

Runs in the session's asyncio loop, in one task. The TUI is the second client of our app-server: nothing depends on it,
and its end affects no turn. Never talks to Codex.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from actors.access import PaneAccess
from actors.adapters.base import AgentEvent, EventSink
from actors.edges.panes import Pane
from actors.errors import OperationalError

# Pauses before the TUI restarts, by the number of ends in a row; a long life resets the count.
DELAYS_S = (0.0, 1.0, 2.0, 5.0)
HEALTHY_S = 60.0


class CodexPane:
    """The pane. `show` once, `close` once or more; `bring_back` any time between."""

    def __init__(
        self,
        access: PaneAccess,
        *,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        sink: EventSink,
    ) -> None:
        self._access = access
        self._command = list(command)
        self._cwd = cwd
        self._environment = dict(environment)
        self._sink = sink
        self._pane: Pane | None = None
        self._end: asyncio.Future[str] | None = None  # of the TUI that runs now
        self._keeping: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._noted = ""

    def show(self) -> None:
        """Starts the TUI, and restarts it whenever it ends. Does not wait for it."""
        self._keeping = asyncio.create_task(self._keep())

    def bring_back(self, why: str) -> None:
        """Restarts the TUI on the run's thread."""
        if self._end is not None and not self._end.done():
            self._end.set_result(why)

    async def close(self, farewell: str = "") -> None:
        """Ends the TUI. The pane shows the `farewell` of the first call."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(farewell))
        await asyncio.shield(self._closing)

    async def _close(self, farewell: str) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        if self._pane is not None:
            await self._pane.close(farewell)

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        ends = 0
        while True:
            began = clock()
            why = await self._run()
            lived_s = clock() - began
            if lived_s >= HEALTHY_S:
                ends = 0
            if why != self._noted or lived_s >= DELAYS_S[-1]:  # a TUI that cannot run here is reported once
                self._noted = why
                self._sink(AgentEvent(kind="note", text=f"codex's TUI {why}; restarting it in its pane"))
            await asyncio.sleep(DELAYS_S[min(ends, len(DELAYS_S) - 1)])
            ends += 1

    async def _run(self) -> str:
        """Runs the TUI once. Returns why it ended."""
        end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._end = end

        def ended(why: str) -> None:
            if not end.done():
                end.set_result(why)

        pane = self._pane = Pane(self._access, label="codex", on_end=ended)
        try:
            pid = await pane.run(self._command, cwd=self._cwd, environment=self._environment)
            self._sink(AgentEvent(kind="process", text=self._command[0], pid=pid))
            why = await end
        except Exception as error:  # any error of tmux: the run continues without the TUI, which is retried
            why = f"cannot be shown: {error}"
        with suppress(OperationalError):
            await pane.close(f"[loop] codex {why}; restarting it in the run's session")
        return why
