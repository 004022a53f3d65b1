"""The process of an ACP agent, as the transport of its connection: one JSON object per line on its stdin and stdout.

Runs in the adapter's asyncio loop, in any thread; child.py owns the process. The package's own `spawn_stdio_transport`
reads os.environ, and may take 4 s to end a process.

The agent's output is foreign: lines are bounded, `actors.text` reads their JSON, and an agent that prints faster than
we read has to wait. A line that is not JSON is noted and skipped, as some agents print a greeting. `breach` is why
reading has stopped: a line beyond the limit, too deep JSON, or only such lines at the beginning.
"""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.adapters.acp_history import ChunkHalves
from actors.adapters.acp_messages import passed_on
from actors.adapters.child import Child, Patience
from actors.errors import AgentBreachError
from actors.text import ForeignJsonError, TooDeepError, excerpt, read_object
from actors.wire.lines import LONGEST_LINE, LineCutter

# Agents save their session and go when their input ends.
PATIENCE = Patience(leave_s=0.6, terminate_s=0.5, kill_s=0.3)
_LAST_WORDS_S = 0.2
_READ_TO_END_S = 0.2
_MOST_WAITING = 2 * LONGEST_LINE  # bytes of lines that are not read yet
# Methods that the package can send as extensions only, with an underscore.
_NOT_IN_PACKAGE = frozenset({"_session/set_model"})
# An agent that has printed other text than JSON, and no JSON since, does not speak our protocol.
GREETING_PATIENCE_S = 10.0
GREETING_LINES = 30


class AgentProgram:
    """One process. Fulfils the `acp` package's transport protocol: `send`, `receive` (None at the end), `close`."""

    def __init__(self, greeting_patience_s: float = GREETING_PATIENCE_S) -> None:
        self._greeting_patience_s = greeting_patience_s
        self._child = Child(
            mark=uuid.uuid4().hex, on_output=self.heard, on_end=self._hear_no_more, last_words_s=_LAST_WORDS_S
        )
        self.result: dict[str, Any] = {}  # the raw last answer: the package drops unknown fields
        self.breach: AgentBreachError | None = None  # for the next reader
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._waiting = 0  # bytes in it
        self._cutter = LineCutter()
        self._halves = ChunkHalves()
        self._greeting: list[bytes] = []  # lines before the first message
        self._greeting_over: asyncio.TimerHandle | None = None
        self._has_spoken = False
        self._is_broken = False
        self._is_read = False
        self._read_to_end = asyncio.Event()

    @classmethod
    async def start(cls, command: Sequence[str], environment: dict[str, str], cwd: Path) -> AgentProgram:
        """Starts the program. Raises OSError when that fails: missing, not executable, no such directory."""
        program = cls()
        await program._child.start(command, environment, cwd)
        return program

    @property
    def pid(self) -> int:
        """Its process id, also after its end."""
        return self._child.pid

    async def exit_text(self, patience_s: float) -> str:
        """How it ended, for the user, with its last output; waits a little for a pending exit."""
        await self._child.has_ended_within(patience_s)
        code, said = self._child.exit_code, self._child.said
        if code is None:
            text = "it closed its stdout but still runs"
        elif code < 0:
            text = f"it was killed by {signal.Signals(-code).name}"
        else:
            text = f"it exited with status {code}"
        # Its last line explains an exit by itself; a signal needs no explanation.
        if code is not None and code >= 0 and said:
            return f"{text}: {said[-1]}"
        return f"{text} (its last words: {said[-1]})" if said else text

    @property
    def greeting(self) -> str:
        """The quoted beginning of its output before any message; "" = none."""
        return excerpt(b" ".join(self._greeting)) if self._greeting else ""

    @property
    def failed_by_itself(self) -> bool:
        """Whether it has exited with an error status, rather than being killed or still running."""
        return self._child.failed_by_itself

    # --- the transport ---

    async def send(self, message: dict[str, Any]) -> None:
        """Writes the message to the pipe. Raises ConnectionError when the process is gone."""
        if message.get("method") in _NOT_IN_PACKAGE:
            message = {**message, "method": message["method"].removeprefix("_")}
        # default: the package puts the causes of what it refuses into its answer, and some are exceptions.
        data = json.dumps(message, separators=(",", ":"), default=str).encode() + b"\n"
        # An answer that cannot be sent is dropped: the package would log a traceback.
        with suppress(*(() if "method" in message else (ConnectionError,))):
            self._child.write(data)

    async def receive(self) -> dict[str, Any] | None:
        """The next message; None when there will be no more."""
        self._is_read = True
        while (line := await self._lines.get()) is not None:
            self._let_talk(len(line))
            try:
                message = read_object(line, self._halves.join)
            except TooDeepError as error:
                self._break(f"sent {error}")
            except ForeignJsonError:
                self._child.note(line)
                self._greet(line)
            else:
                self._has_spoken = True
                if self._greeting_over is not None:
                    self._greeting_over.cancel()
                if (known := passed_on(message)) is not None:
                    if isinstance(known.get("result"), dict):
                        self.result = known["result"]
                    return known
        self._read_to_end.set()
        return None

    def _hear_no_more(self) -> None:
        self._lines.put_nowait(None)

    async def close(self) -> None:
        """Ends `receive`, and returns when its reader has noticed. `end` ends the process.

        The package cancels its reader right after this. A reader that was woken and cancelled together sometimes ended
        with a RuntimeError in the log ("cannot reuse already awaited coroutine").
        """
        self._lines.put_nowait(None)
        if self._is_read:
            with suppress(TimeoutError):
                async with asyncio.timeout(_READ_TO_END_S):
                    await self._read_to_end.wait()
            await asyncio.sleep(0)  # the reader's own last step

    # --- its output ---

    def heard(self, data: bytes) -> None:
        """Cuts its stdout into messages as it arrives."""
        if self._is_broken:
            return
        try:
            lines = self._cutter.feed(data)
        except AgentBreachError as error:
            self._break(str(error))
            return
        for line in filter(bytes.strip, lines):
            self._waiting += len(line)
            self._lines.put_nowait(line)
        if self._waiting > _MOST_WAITING:
            self._child.pause()

    def _let_talk(self, size: int) -> None:
        was_full, self._waiting = self._waiting > _MOST_WAITING, self._waiting - size
        if was_full and self._waiting <= _MOST_WAITING:
            self._child.resume()

    def _greet(self, line: bytes) -> None:
        if self._has_spoken:
            return
        self._greeting.append(line)
        if self._greeting_over is None:
            self._greeting_over = asyncio.get_running_loop().call_later(self._greeting_patience_s, self._no_protocol)
        if len(self._greeting) >= GREETING_LINES:
            self._no_protocol()

    def _no_protocol(self) -> None:
        self._break(f"does not speak the Agent Client Protocol: it printed {self.greeting}")

    def _break(self, why: str) -> None:
        """Stops reading its output; the adapter ends the process."""
        if self._is_broken:
            return
        self._is_broken = True
        self.breach = AgentBreachError(why)
        while not self._lines.empty():
            self._lines.get_nowait()
        self._lines.put_nowait(None)

    # --- its end ---

    async def end(self) -> None:
        """Ends the process and all that it started, in less than 2 s."""
        await self._child.end(PATIENCE)
        if self._greeting_over is not None:
            self._greeting_over.cancel()
