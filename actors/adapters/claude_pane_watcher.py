"""Watches Claude Code's TUI: receives its hooks on a socket, reads its transcript and status file.

Runs in the session's asyncio loop. `claude_pane_signs` interprets the signs; this module collects and reports them. It
follows the transcript while something happens, and a moment longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from actors.adapters.base import EventSink, FoundTurn
from actors.adapters.claude_pane_box import LOOK_S
from actors.adapters.claude_pane_process import PaneProcess, now_s
from actors.adapters.claude_pane_signs import BegunLate, SessionLeft, Sign, Signs
from actors.adapters.claude_pane_turn import identify
from actors.adapters.claude_reading import Entry
from actors.adapters.claude_transcript import Transcript
from actors.edges.unix_server import close_server
from actors.text import ForeignJsonError, read_object

WATCH_S = 0.25  # transcript and status, while the program works
FLUSH_S = 2.0  # the transcript is written every 100 ms
# Of one call of the hook. The program that makes it ends at once; what an agent writes there need not.
HOOK_BYTES = 1 << 26
HOOK_S = 10.0


class Watcher:
    """The watcher of one session. `on_entry` gets each entry of the transcript; `on_late` the id of a message that was
    to be stopped before its start; `is_turn_open`: whether a turn needs watching.
    """

    def __init__(
        self,
        process: PaneProcess,
        config: Path,
        session_id: str,
        sink: EventSink,
        *,
        on_entry: Callable[[Entry], None],
        on_late: Callable[[str], None],
        is_turn_open: Callable[[], bool],
    ) -> None:
        self.signs = Signs(session_id)
        self.transcript = Transcript(config, session_id, identify)
        self._process = process
        self._config = config
        self._sink = sink
        self._on_entry = on_entry
        self._on_late = on_late
        self._is_turn_open = is_turn_open
        self._hooks: asyncio.Server | None = None
        self._calls: set[asyncio.StreamWriter] = set()  # hooks that have not ended yet
        self._following: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._closed = False

    async def listen(self) -> None:
        """Listens for the program's hooks."""
        self._process.socket.unlink(missing_ok=True)  # left by an actor that was killed
        self._hooks = await asyncio.start_unix_server(self._take_hook, self._process.socket, limit=1 << 26)

    def mute(self) -> None:
        """Ignores hooks from now on."""
        self._closed = True

    async def stop(self) -> None:
        """Listens for no hook, and follows the transcript no longer."""
        server, self._hooks = self._hooks, None
        if server is not None:
            await close_server(server)
            self._process.socket.unlink(missing_ok=True)
        for call in self._calls:
            call.close()
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    def status(self) -> str:
        """The program's own status; "" when this version has none."""
        try:
            state = read_object((self._config / "sessions" / f"{self._process.pid}.json").read_bytes())
            return str(state.get("status") or "")
        except (OSError, ValueError):
            return ""

    def idle_s(self) -> float | None:
        """How long the program has been idle; None: it works, or a menu is open."""
        return self.signs.idle_s(self.status(), now_s())

    def stir(self) -> None:
        """Something has happened: read the transcript soon."""
        self._news.set()
        self._process.changed.set()

    def watch(self) -> None:
        """Follows the transcript while something happens."""
        if not self._closed and (self._following is None or self._following.done()):
            self._following = asyncio.get_running_loop().create_task(self._follow())

    def look(self) -> bool:
        """Reads the new entries of the transcript. Returns whether there were any."""
        entries = self.transcript.new_entries()
        for entry in entries:
            signs = self.signs.entered(entry)
            self._on_entry(entry)
            self._tell(signs)
        if entries:
            self._process.changed.set()
        return bool(entries)

    async def find(self, message_id: str) -> FoundTurn:
        """What the transcript shows of a message. Waits for messages that the program has, but has not written yet."""
        until = now_s() + FLUSH_S
        while True:
            found = await asyncio.to_thread(self.transcript.find, message_id)
            known = self.signs.has(message_id) and not self._process.lost
            if found.state != "absent" or not known or now_s() > until:
                return found
            await asyncio.sleep(LOOK_S)

    def _tell(self, signs: list[Sign]) -> None:
        for sign in signs:
            match sign:
                case SessionLeft():
                    self._process.lose(
                        f"was moved to another session by the user (/{sign.how}): returning to the run's session"
                    )
                case BegunLate():
                    self._on_late(sign.message_id)
                case _:
                    self._sink(sign)

    async def _take_hook(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handles one call of our hook. Sends no answer: the program proceeds as usual."""
        self._calls.add(writer)
        try:
            event = read_object(await whole(reader))
        except (ForeignJsonError, OSError, TimeoutError):
            return  # the hook was killed
        finally:
            self._calls.discard(writer)
            writer.close()
        self._tell(self.signs.hooked(event))
        if "hook_event_name" not in event:  # of the status line
            self._process.changed.set()
        elif self.signs.is_ours(event):
            self.watch()
            self.stir()

    async def _follow(self) -> None:
        quiet_since = now_s()
        while not self._process.lost:
            self._news.clear()
            if self.look() or self.idle_s() is None or self._is_turn_open():
                quiet_since = now_s()
            if now_s() - quiet_since > FLUSH_S:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    await self._news.wait()


async def whole(reader: asyncio.StreamReader, most_bytes: int = HOOK_BYTES, within_s: float = HOOK_S) -> bytes:
    """All that comes until the end. Raises TimeoutError, and `ForeignJsonError` when it is too much."""
    found = bytearray()
    async with asyncio.timeout(within_s):
        while more := await reader.read(1 << 16):
            found += more
            if len(found) > most_bytes:
                raise ForeignJsonError("it is too large")
    return bytes(found)
