"""Our messages to a running `claude`, and what its transcript has of them.

Lives in the session's loop. The transcript is written about 100 ms behind what the program does: a message that the
program has may not be in it yet. An echo is no proof: a repeated id is echoed and ignored. It also comes late, with the
model's first words.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from actors.adapters.base import FoundTurn
from actors.adapters.claude_transcript import Transcript
from actors.errors import ProtocolError

# The transcript is written every 100 ms.
FLUSH_S = 2.0
LOOK_AGAIN_S = 0.03


class SentMessages:
    """The messages to one run of the program. `on_seen` gets the id of each that is in the transcript, once.

    `transcript` is known once the session is. `spawn` starts a task, which ends with the program.
    """

    def __init__(
        self,
        *,
        on_seen: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self.transcript: Transcript | None = None
        self._on_seen = on_seen
        self._spawn = spawn
        self._unseen: set[str] = set()
        self._taken_in: set[str] = set()  # the program has confirmed these
        self._finished: set[str] = set()  # turns that were not cut off
        self._watching: asyncio.Task[None] | None = None
        self._watch_until = 0.0

    def add(self, message_id: str) -> None:
        """It is about to be sent."""
        self._unseen.add(message_id)

    def taken_in(self, message_id: str) -> None:
        """The program has confirmed it."""
        self._taken_in.add(message_id)

    def finished(self, message_id: str) -> None:
        """Its turn has ended, and was not cut off."""
        self._finished.add(message_id)

    def look(self) -> None:
        """Something happens: looks into the transcript now and a little longer, while a message is not seen."""
        if self._unseen:
            self._watch_until = asyncio.get_running_loop().time() + FLUSH_S
            if self._watching is None or self._watching.done():
                self._watching = self._spawn(self._watch())

    async def _watch(self) -> None:
        assert self.transcript is not None
        while self._unseen and asyncio.get_running_loop().time() < self._watch_until:
            for message_id in self.transcript.new_message_ids() & self._unseen:
                self._unseen.discard(message_id)
                self._on_seen(message_id)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def find(self, message_id: str, *, is_running: Callable[[], bool]) -> FoundTurn:
        """What the transcript has of it. Waits, while the program runs, for what it has and has not written yet."""
        if self.transcript is None:
            raise ProtocolError(f"find_turn({message_id}) before open")
        found = await asyncio.to_thread(self.transcript.find, message_id)
        until = asyncio.get_running_loop().time() + FLUSH_S
        while found.state != "finished" and is_running() and self._to_be_written(message_id, found):
            if asyncio.get_running_loop().time() > until:
                break
            await asyncio.sleep(LOOK_AGAIN_S)
            found = await asyncio.to_thread(self.transcript.find, message_id)
        return found

    def _to_be_written(self, message_id: str, found: FoundTurn) -> bool:
        return message_id in self._taken_in and (found.state == "absent" or message_id in self._finished)


async def one_message(message_id: str, text: str) -> AsyncIterator[dict[str, Any]]:
    """A user message, as the SDK takes it."""
    yield {
        "type": "user",
        "message": {"role": "user", "content": text},
        "parent_tool_use_id": None,
        "uuid": message_id,
    }
