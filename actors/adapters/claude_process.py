"""The running `claude` program, as a transport of the official SDK.

The SDK's own transport is not used: it adds our whole os.environ to the child's, and leaves the child in our process
group. It does not track what the agent starts. child.py has none of these faults. Control frames go to the SDK's
client; all else goes to the adapter unchanged, since the SDK's types drop what the adapter needs. Imports the SDK
(about 1 s): import it late.

Runs in the session's asyncio loop. A program that sends more control frames than the client reads (`_MOST_WAITING`
bytes) is broken: that is a breach.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from claude_agent_sdk import CLIConnectionError, ProcessError, Transport

from actors.adapters.child import EXIT_S, Child, Patience
from actors.edges.marked_processes import MARK_VARIABLE
from actors.errors import AgentBreachError, AgentDiedError, AgentUnavailableError, SessionNotFoundError
from actors.text import ForeignJsonError, read_json
from actors.wire.lines import LONGEST_LINE, LineCutter

# The adapter handles the program's end, so the client's complaints about it are noise on the user's terminal.
logging.getLogger("claude_agent_sdk").addHandler(logging.NullHandler())

# An idle program exits 0.03-0.08 s after its input ends; a busy one 1.5 s after SIGTERM, if its tools permit.
PATIENCE = Patience(leave_s=0.5, terminate_s=0.7, kill_s=0.4)
LAST_WORDS_S = 0.5  # for data left in the pipes when the program has ended

_NO_SESSION = "No conversation found with session ID"
_MOST_WAITING = 2 * LONGEST_LINE  # bytes of control frames that the SDK's client has not read yet


class ClaudeProcess(Transport):
    """One run of the program. `connect` and `close` are called by the SDK's client; `close` may be repeated.

    `on_start(pid)` is called when it runs, `on_event(event, raw)` for each frame that is not the SDK's, and `on_end()`
    once, when it is gone. An exception in `on_event` is kept in `failure`, and counts as the program's end.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        on_start: Callable[[int], None],
        on_event: Callable[[dict[str, Any], str], None],
        on_end: Callable[[], None],
    ) -> None:
        self.failure: Exception | None = None
        self._command = command
        self._cwd = cwd
        self._environment = environment
        self._on_start = on_start
        self._on_event = on_event
        self._on_end = on_end
        self._child = Child(
            mark=environment[MARK_VARIABLE], on_output=self.heard, on_end=self._over, last_words_s=LAST_WORDS_S
        )
        self._cutter = LineCutter()
        self._control: asyncio.Queue[tuple[dict[str, Any], int] | None] = asyncio.Queue()
        self._waiting = 0  # bytes in it
        self._ended = False

    @property
    def pid(self) -> int:
        """Of the program; 0 before it was started."""
        return self._child.pid

    @property
    def ended(self) -> bool:
        """Whether the program is gone, or unreadable."""
        return self._ended

    @property
    def said(self) -> list[str]:
        """The last lines of its stderr."""
        return self._child.said

    @property
    def how_it_ended(self) -> str:
        """How it ended, as one line for the user."""
        how = f"ended with exit status {self._child.exit_code}" if self.pid else "was not started"
        said = self._child.said
        return how + (f": {said[-1]}" if said else "")

    @property
    def failed_by_itself(self) -> bool:
        """Whether it has exited with an error status, rather than being killed or still running."""
        return self._child.failed_by_itself

    def refusal(self, session_id: str, error: Exception) -> Exception:
        """Why it does not start; `error`: what the SDK's client says."""
        if _NO_SESSION in "\n".join(self.said):
            return SessionNotFoundError(f"claude has no session {session_id} in {self._cwd}")
        if self.failed_by_itself:
            return AgentUnavailableError(f"claude does not start: it {self.how_it_ended}")
        return AgentDiedError(f"claude {self.how_it_ended}" if self.ended else f"claude does not start: {error}")

    async def connect(self) -> None:
        """Starts the program. Raises OSError when that fails."""
        self._on_start(await self._child.start(self._command, self._environment, self._cwd))

    async def write(self, data: str) -> None:
        """Sends one or more frames."""
        if not self.is_ready():
            raise CLIConnectionError(f"claude {self.how_it_ended}")
        try:
            self._child.write(data.encode())
        except ConnectionError as error:
            await self._child.has_ended_within(EXIT_S)  # the cause is in its last words
            raise CLIConnectionError(f"claude does not listen any more: {error}") from error

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        """The control frames, for the SDK's client. Its requests that are still open fail when the program ends."""
        while (next_one := await self._control.get()) is not None:
            frame, size = next_one
            self._waiting -= size
            yield frame
        raise ProcessError(f"claude {self.how_it_ended}")

    async def end_input(self) -> None:
        """Closes the program's input: it exits when idle."""
        self._child.close_input()

    def is_ready(self) -> bool:
        """Whether frames can be sent."""
        return bool(self.pid) and not self._ended

    async def close(self) -> None:
        """Ends the program and everything that it started, within 2 s."""
        await self._child.end(PATIENCE)

    def heard(self, data: bytes) -> None:
        """Cuts the program's output into frames as it arrives."""
        if self._ended:
            return
        try:
            for row in self._cutter.feed(data):
                self._take(row.decode(errors="replace"))
        except AgentBreachError as error:
            self.failure = error if str(error).startswith("claude ") else AgentBreachError(f"claude {error}")
            self._over()
        except Exception as error:  # a bug of ours: the waiting turn must end
            self.failure = error
            self._over()

    def _over(self) -> None:
        if not self._ended:
            self._ended = True
            self._control.put_nowait(None)
            self._on_end()

    def _take(self, row: str) -> None:
        if not row.startswith("{"):
            return  # some builds print other text as well
        try:
            event: dict[str, Any] = read_json(row)
        except ForeignJsonError as error:
            raise AgentBreachError(f"claude sent {error}") from None
        if str(event.get("type")).startswith("control_"):
            self._waiting += len(row)
            if self._waiting > _MOST_WAITING:
                raise AgentBreachError(f"claude sent over {_MOST_WAITING // 10**6} MB of control frames at once")
            self._control.put_nowait((event, len(row)))
        else:
            self._on_event(event, row)
