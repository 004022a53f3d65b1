"""The input box of Claude Code's TUI, which the user and the run share: reads, stashes, fills and clears it.

Runs in the session's asyncio loop. No event reports a changed screen, so it polls while a change is expected. It never
submits anything: its owner sends prompts and tracks them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from actors.adapters.claude_pane_screen import input_box, limit_menu, shows_end, squeeze
from actors.adapters.claude_pane_turn import shows_ours
from actors.edges.panes import Pane
from actors.errors import AgentDiedError

LOOK_S = 0.2
SCREEN_S = 30.0  # until typed text is visible, on a loaded machine; typed again, it would stand there twice
PASTE_S = 5.0  # until a pasted text is visible
STASH_S = 0.6  # until a draft is stashed
CLEAR_S = 1.0  # until an interrupted prompt returns to the box


class InputBox:
    """`pane` returns the running program's pane, or raises `AgentDiedError`. `wait` returns when something has
    happened, or after that many seconds.
    """

    def __init__(self, pane: Callable[[], Pane], wait: Callable[[float], Awaitable[None]]) -> None:
        self._pane = pane
        self._wait = wait

    async def free(self, patience_s: float) -> bool:
        """Stashes the user's draft; the TUI restores it after the next prompt is submitted.

        False: there is no box, but a menu.
        """
        box = await self._until(lambda _: True, patience_s)
        if not box:
            return box is not None
        await self._pane().press("C-s")
        after = await self._until(lambda now: now != box, STASH_S)
        if after and after != box:  # it was a hint, and an older draft has returned
            await self._pane().press("C-s")
            await self._until(lambda now: now != after, STASH_S)
        return True

    async def fill(self, words: str, text: str) -> bool:
        """Types the words, pastes the text behind them, and waits until both are visible.

        A paste overtakes earlier typed text (2.1.197), and an Enter right after a paste is lost (2.1.330). False: the
        words are not in the box, because a menu has opened meanwhile: nothing was pasted.
        """
        await self._pane().type(words)
        if squeeze(words) not in squeeze(await self._until(lambda box: squeeze(words) in squeeze(box), SCREEN_S) or ""):
            return False
        await self._pane().paste(f"\n{text}", submit=False)
        await self._until(lambda box: shows_end(box, text), PASTE_S)
        return True

    async def leave_limit_menu(self) -> None:
        """Closes the program's question whether to wait for the end of a limit: the run decides that.

        It opens by itself up to a second after the turn that met the limit, when that turn may be over already.
        """
        if limit_menu(await self._pane().screen()):
            await self._pane().press("Escape")

    async def clear_ours(self) -> None:
        """Clears an interrupted prompt that has returned to the box, where the user could submit it again."""
        until = _now() + CLEAR_S
        with suppress(AgentDiedError):
            while _now() < until:
                box = input_box(await self._pane().screen())
                if box and shows_ours(squeeze(box)):
                    await self._pane().press("C-c")
                    return
                await asyncio.sleep(LOOK_S)

    async def _until(self, fits: Callable[[str], bool], patience_s: float) -> str | None:
        """The content of the box, once it fits or the time is over; None: there is no box, or a limit's menu."""
        until = _now() + patience_s
        while True:
            screen = await self._pane().screen()
            box = input_box(screen)
            if (box is not None and fits(box)) or limit_menu(screen) or _now() > until:
                return box
            await self._wait(LOOK_S / 2)


def _now() -> float:
    return asyncio.get_running_loop().time()
