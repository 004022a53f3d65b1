"""Types into Claude Code's TUI: prompts, and the Escape that stops it. Runs in the session's asyncio loop.

One prompt at a time, and each is typed once: without proof of arrival it ends the program, and the transcript decides.
`claude_pane_steps` decides which key is next, and when.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from actors.adapters.base import AgentEvent, EventSink
from actors.adapters.claude_pane_box import LOOK_S, InputBox
from actors.adapters.claude_pane_process import PaneProcess, now_s
from actors.adapters.claude_pane_steps import Bringing, Entering, Escaping, key_for
from actors.adapters.claude_pane_turn import TuiTurn, first_line
from actors.adapters.claude_pane_watcher import WATCH_S, Watcher
from actors.errors import AgentDiedError


class Typist:
    """The typist of one session."""

    def __init__(self, process: PaneProcess, watcher: Watcher, sink: EventSink) -> None:
        self.box = InputBox(process.alive, process.wait)
        self._process = process
        self._watcher = watcher
        self._sink = sink
        self._typing = asyncio.Lock()
        self._entering: asyncio.Task[bool] | None = None
        self._escaping: asyncio.Task[None] | None = None

    async def bring(self, turn: TuiTurn, prompt: str, model: str, restart: Callable[[str], Awaitable[None]]) -> bool:
        """Submits the prompt once the pane is free. False: it was interrupted before, and nothing was typed.

        `restart`: another model, for this program only; `/model` would make it the user's default.
        """
        bringing = Bringing(now_s())
        while not turn.interrupting:
            self._process.alive()
            if self._watcher.idle_s() is not None:
                if model != self._process.model:
                    await restart(model)
                if await self.submit(turn.turn_id, prompt, LOOK_S):
                    return True
            await self.box.leave_limit_menu()
            if bringing.is_note_due(now_s()):
                self._sink(AgentEvent(kind="note", text="a prompt waits: the user is typing in claude's pane"))
            self._watcher.watch()
            await self._process.wait(WATCH_S)
        return False

    async def submit(self, message_id: str, text: str, box_s: float) -> bool:
        """Types and submits a prompt. False: the input box was not free in time, and nothing was submitted."""
        async with self._typing:
            if not await self.box.free(box_s):
                return False
            # A started prompt is completed even after a cancellation: the next Enter would submit half a prompt in the
            # box.
            self._entering = asyncio.get_running_loop().create_task(self._enter(message_id, text))
            return await asyncio.shield(self._entering)

    async def _enter(self, message_id: str, text: str) -> bool:
        words = first_line(message_id)
        self._watcher.signs.submitted(message_id)
        if not await self.box.fill(words, text):
            await self.box.leave_limit_menu()
            return False
        entering = Entering(now_s())
        await self._process.alive().press("Enter")
        while (step := entering.next(now_s(), has_it=self._watcher.signs.has(message_id))) != "taken":
            pane = self._process.alive()
            if step == "lost":
                self._process.lose("did not take a prompt: it stays in its input box")
                continue
            if step == "look at the box" and (key := key_for(await pane.screen(), words, text)):
                await pane.press(key)
                entering.pressed(now_s())
            await self._process.wait(LOOK_S)
            self._watcher.look()
        return True

    async def escape(self, wanted: Callable[[], bool]) -> None:
        """Presses Escape until the program has stopped, or the stop is not wanted any more."""
        escaping = Escaping()
        while True:
            idle = self._watcher.idle_s() is not None
            match escaping.next(now_s(), wanted=wanted(), idle=idle):
                case "done":
                    return
                case "lost":
                    self._process.lose("does not react to Escape")
                    return
                case "press":
                    await self._process.alive().press("Escape")
                case "wait":
                    await self._process.wait(LOOK_S)

    def stop_late(self, message_id: str) -> None:
        """Interrupts a message that waited behind an interrupted prompt, and has started."""
        self._escaping = asyncio.get_running_loop().create_task(self._stop_late(message_id))

    async def _stop_late(self, message_id: str) -> None:
        with suppress(AgentDiedError):
            await self.escape(lambda: self._watcher.signs.newest == message_id)

    async def escaped(self) -> None:
        """Waits for the end of `stop_late`."""
        if self._escaping is not None:
            await asyncio.wait([self._escaping])

    async def stop(self) -> None:
        """Stops typing for good."""
        for task in (self._entering, self._escaping):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
