"""The input box of Claude Code's TUI, which people and the run share: looked at, put aside, filled, cleared.

Runs in the session's asyncio loop. Nothing tells that a screen has changed, so it is looked at while something is
expected on it. It never submits anything: whether a prompt is sent, and what became of it, is its owner's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from actors.adapters.claude_pane_screen import input_box, squeeze
from actors.adapters.claude_pane_turn import shows_ours
from actors.edges.panes import Pane
from actors.errors import AgentDiedError

LOOK_S = 0.2
SCREEN_S = 5.0  # for what was typed to be seen
STASH_S = 0.6  # for a draft to be put aside
CLEAR_S = 1.0  # for an interrupted prompt to come back into the box


class InputBox:
    """`pane` gives the pane of the program that runs now, or raises `AgentDiedError`. `wait` returns when something has
    happened, or after that many seconds.
    """

    def __init__(self, pane: Callable[[], Pane], wait: Callable[[float], Awaitable[None]]) -> None:
        self._pane = pane
        self._wait = wait

    async def free(self, patience_s: float) -> bool:
        """Puts aside what a person has half typed; the TUI brings it back after the next prompt was submitted.

        False: there is no box, but a menu.
        """
        box = await self._until(lambda _: True, patience_s)
        if not box:
            return box is not None
        await self._pane().press("C-s")
        after = await self._until(lambda now: now != box, STASH_S)
        if after and after != box:  # it was a hint, and an older draft has come back
            await self._pane().press("C-s")
            await self._until(lambda now: now != after, STASH_S)
        return True

    async def fill(self, words: str, text: str) -> None:
        """Types the words, pastes the text behind them, and waits until they can be seen.

        A paste overtakes what was typed before it (2.1.197), and an Enter right behind a paste is lost (2.1.330).
        """
        await self._pane().type(words)
        await self._until(lambda box: squeeze(words) in squeeze(box), SCREEN_S)
        await self._pane().paste(f"\n{text}", submit=False)
        await self._until(lambda box: _ends_with(box, text), SCREEN_S)

    async def holds(self, words: str, text: str) -> bool:
        """Whether what was filled in is still there."""
        box = input_box(await self._pane().screen())
        return box is not None and (squeeze(words) in squeeze(box) or _ends_with(box, text))

    async def clear_ours(self) -> None:
        """An interrupted prompt may have come back into the box, whence somebody might submit it a second time."""
        until = _now() + CLEAR_S
        with suppress(AgentDiedError):
            while _now() < until:
                box = input_box(await self._pane().screen())
                if box and shows_ours(squeeze(box)):
                    await self._pane().press("C-c")
                    return
                await asyncio.sleep(LOOK_S)

    async def _until(self, fits: Callable[[str], bool], patience_s: float) -> str | None:
        """What is in the box, as soon as it fits, or when patience is over; None: there is none."""
        until = _now() + patience_s
        while True:
            box = input_box(await self._pane().screen())
            if (box is not None and fits(box)) or _now() > until:
                return box
            await self._wait(LOOK_S / 2)


def _ends_with(box: str, text: str) -> bool:
    """Whether the box shows the end of the pasted text, or that it is too long to be shown."""
    end = squeeze(text)[-16:]
    return "[Pastedtext#" in squeeze(box) or (bool(end) and squeeze(box).endswith(end))


def _now() -> float:
    return asyncio.get_running_loop().time()
