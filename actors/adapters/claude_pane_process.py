"""The `claude` program in its pane: starts it, answers its dialogs, restarts it, ends it.

Runs in the session's asyncio loop. It knows no turns: callers wait here, until something happens or the program is
lost.
"""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from actors.access import PaneAccess
from actors.adapters.base import AgentEvent, AgentSettings, EventSink
from actors.adapters.claude_events import line
from actors.adapters.claude_pane_box import LOOK_S
from actors.adapters.claude_pane_program import tui_arguments, tui_environment, write_hooks
from actors.adapters.claude_pane_steps import Starting
from actors.adapters.claude_program import startable
from actors.edges import marked_processes
from actors.edges.panes import Pane
from actors.errors import AgentDiedError, AgentUnavailableError, SessionNotFoundError

SWEEP_S = 0.3
_NO_RESTRICTIONS = "unknown option '--managed-settings'"  # not a documented option: it may disappear
_NO_SESSION = "No conversation found with session ID"


class PaneProcess:
    """One program at a time, in one pane. `on_lost` is called once per program, with why it is unusable."""

    def __init__(
        self, settings: AgentSettings, access: PaneAccess, sink: EventSink, on_lost: Callable[[str], None]
    ) -> None:
        self.pid = 0
        self.lost = ""  # why this program is unusable
        self.model = settings.model
        self.changed = asyncio.Event()
        self.socket = access.folder / f"{access.side}.hooks"
        self._settings = settings
        self._access = access
        self._sink = sink
        self._on_lost = on_lost
        self._plugin = access.folder / f"{access.side}.plugin"
        self._restricted = True
        self._mark = str(uuid.uuid4())
        self._pane: Pane | None = None

    async def start(self, session_id: str, *, known: bool, is_ready: Callable[[], bool]) -> None:
        """Starts the program and waits until it accepts a prompt. `known`: the session can be resumed. `is_ready`: the
        hook has reported.

        Answers the program's start-up dialogs; reports those that only the user can answer.
        """
        program = startable(self._settings)
        await asyncio.to_thread(write_hooks, self._plugin, self.socket)
        command = tui_arguments(
            program,
            self._settings,
            model=self.model,
            plugin=self._plugin,
            socket=self.socket,
            new_session="" if known else session_id,
            resume=session_id if known else "",
            restricted=self._restricted,
        )
        self.lost = ""
        pane = Pane(self._access, label="claude", on_end=self.lose)
        self._pane = pane
        environment = tui_environment(self._settings, self._mark)
        self.pid = await pane.run(command, cwd=self._settings.cwd, environment=environment)
        self._sink(AgentEvent(kind="process", text=str(program), pid=self.pid))
        try:
            await self._until_ready(program, session_id, is_ready)
        except AgentUnavailableError as error:
            if not (self._restricted and _NO_RESTRICTIONS in str(error)):
                raise
            self._restricted = False
            self._sink(AgentEvent(kind="note", text="this version of claude runs the user's own hooks in its pane"))
            await self.end("")
            await self.start(session_id, known=known, is_ready=is_ready)

    async def end(self, farewell: str) -> None:
        """Ends the program. The pane stays and shows the farewell."""
        pane, self._pane = self._pane, None
        if pane is not None:
            await pane.close(farewell)
        await asyncio.to_thread(marked_processes.sweep, (), self._mark, SWEEP_S)

    def clean(self) -> None:
        """Removes the files that were written for the program."""
        shutil.rmtree(self._plugin, ignore_errors=True)

    def lose(self, why: str) -> None:
        """Marks the program, or its session, as lost. The first reason counts."""
        if self.lost:
            return
        self.lost = why
        self.changed.set()
        self._on_lost(why)

    def alive(self) -> Pane:
        """The running program's pane; raises `AgentDiedError` when there is none."""
        if self._pane is None or self.lost:
            raise AgentDiedError(f"claude {self.lost or 'is not running: open a session first'}")
        return self._pane

    async def wait(self, patience_s: float) -> None:
        """Waits until something has happened, or that long."""
        self.changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self.changed.wait()

    async def _until_ready(self, program: Path, session_id: str, is_ready: Callable[[], bool]) -> None:
        starting, screen = Starting(now_s()), ""
        while not starting.is_over(screen, ready=is_ready()):
            if self.lost:
                raise await self._refusal(program, session_id)
            if starting.is_overdue(now_s()):
                raise AgentUnavailableError(
                    f"claude asks something in its pane that loop does not know: run `{program}` in "
                    f"{self._settings.cwd} once and answer it: {line(screen)}"
                )
            await self.wait(LOOK_S)
            with suppress(AgentDiedError):
                screen = await self.alive().screen()
                keys = starting.keys(screen, now_s())
                if keys:
                    await self.alive().press(*keys)
            if starting.is_note_due(screen, now_s()):
                self._sink(AgentEvent(kind="note", text=line(f"claude waits for an answer in its pane: {screen}")))
        if "bypass permissions on" not in screen:
            raise AgentUnavailableError(
                "claude may not work unattended here: remove permissions.disableBypassPermissionsMode from its settings"
            )

    async def _refusal(self, program: Path, session_id: str) -> Exception:
        words = ""
        if self._pane is not None:
            with suppress(Exception):
                words = await self._pane.screen()
        if _NO_SESSION in words:
            return SessionNotFoundError(f"claude has no session {session_id} in {self._settings.cwd}")
        above = words.rpartition("\n[loop] ")[0] or words  # our own line about its end may be wrapped
        said = [row for row in above.splitlines() if row.strip() and not row.startswith("[loop] ")]
        how = f"{self.lost}: {line(' '.join(said[-3:]))}" if said else self.lost
        if "exit status" in self.lost:
            return AgentUnavailableError(f"{program} does not start: it {how}")
        return AgentDiedError(f"claude {how}")


def now_s() -> float:
    """The time of the session's loop."""
    return asyncio.get_running_loop().time()
