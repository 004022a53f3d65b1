"""The process of an ACP agent, as the transport of its connection: one JSON object a line on its stdin and stdout.

Runs in the adapter's asyncio loop, in whatever thread that is. It starts the process in a session (setsid) of its own:
a Ctrl-C at the terminal is for us to handle, and what the agent leaves behind is found by that session.
It reads nothing from os.environ (the package's own `spawn_stdio_transport` does, and may take 4 s to end a process).

What the agent prints is foreign: a line is bounded and its JSON is read by `actors.text`; an agent that is read slower
than it talks has to wait. A line that is no JSON is noted and passed over, as some print a greeting. `breach` says why
nothing is read any more: a line beyond the limit, JSON that is too deep, or nothing but such lines at the beginning.
"""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from actors.adapters.acp_history import ChunkHalves
from actors.adapters.acp_messages import passed_on
from actors.edges import processes
from actors.edges.marked_processes import MARK_VARIABLE, Identity, identified, marked, sweep
from actors.errors import AgentBreachError
from actors.text import ForeignJsonError, TooDeepError, excerpt, printable, read_object
from actors.wire.lines import LONGEST_LINE, LineCutter

# Together below the 2 s that an adapter has to close.
GRACE_S = 0.6  # after the end of its stdin: agents save their session and go
TERMINATE_S = 0.5  # after SIGTERM
KILL_S = 0.3  # after SIGKILL, for it and all that it started
RELEASE_S = 0.2  # for the loop to let go of its pipes
# An exited agent's last words may still be in the pipe; its end may never come, when a child of it holds it open.
_LAST_WORDS_S = 0.2
_STDERR_LINES = 20
_STDERR_LINE = 65_536  # bytes
_WORDS = 500  # characters of a line that are kept
_MOST_WAITING = 2 * LONGEST_LINE  # bytes of lines that nobody has read yet
# Methods that the package can send as extensions only, with an underscore.
_NOT_IN_PACKAGE = frozenset({"_session/set_model"})
# An agent that has printed something else than JSON, and no JSON since, speaks no protocol of ours.
GREETING_PATIENCE_S = 10.0
GREETING_LINES = 30


class AgentProgram(asyncio.SubprocessProtocol):
    """One process. Fulfils the `acp` package's transport protocol: `send`, `receive` (None at the end), `close`."""

    def __init__(self, greeting_patience_s: float = GREETING_PATIENCE_S) -> None:
        self._greeting_patience_s = greeting_patience_s
        self._mark = uuid.uuid4().hex
        self.stderr: deque[str] = deque(maxlen=_STDERR_LINES)  # its last lines, and those of stdout that are not JSON
        self.result: dict[str, Any] = {}  # of the last answer, as it came: the package leaves out what it does not know
        self.breach: AgentBreachError | None = None  # for whoever takes it
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._waiting = 0  # bytes in it
        self._cutter = LineCutter()
        self._stderr_rest = b""
        self._halves = ChunkHalves()
        self._greeting: list[bytes] = []  # lines before the first message
        self._greeting_over: asyncio.TimerHandle | None = None
        self._has_spoken = False
        self._is_broken = False
        self._transport: asyncio.SubprocessTransport | None = None
        self._exited = asyncio.Event()
        self._released = asyncio.Event()
        self._is_read = False
        self._read_to_end = asyncio.Event()
        self._left_behind: set[Identity] = set()
        self._last_words: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, command: Sequence[str], environment: dict[str, str], cwd: Path) -> AgentProgram:
        """Starts it. Raises OSError when it cannot be: not there, not executable, no such directory."""
        program = cls()
        environment = {**environment, MARK_VARIABLE: program._mark}
        await asyncio.get_running_loop().subprocess_exec(
            lambda: program, *command, env=environment, cwd=cwd, start_new_session=True
        )
        return program

    @property
    def pid(self) -> int:
        """Its process id, also after its end."""
        assert self._transport is not None
        return self._transport.get_pid()

    async def exit_text(self, patience_s: float) -> str:
        """How it ended, for people, with its last words; waits a little for an exit that is about to be noticed."""
        await self._exits_within(patience_s)
        assert self._transport is not None
        code = self._transport.get_returncode()
        if code is None:
            text = "it closed its stdout but still runs"
        elif code < 0:
            text = f"it was killed by {signal.Signals(-code).name}"
        else:
            text = f"it exited with status {code}"
        # Its last line is the cause of an end of its own; a signal is a cause by itself.
        if code is not None and code >= 0 and self.stderr:
            return f"{text}: {self.stderr[-1]}"
        return f"{text} (its last words: {self.stderr[-1]})" if self.stderr else text

    @property
    def greeting(self) -> str:
        """The beginning of what it has printed instead of a message, quoted; "" = nothing."""
        return excerpt(b" ".join(self._greeting)) if self._greeting else ""

    @property
    def failed_by_itself(self) -> bool:
        """Whether it has exited with an error status, rather than being killed or still running."""
        assert self._transport is not None
        return (self._transport.get_returncode() or 0) > 0

    # --- the transport ---

    async def send(self, message: dict[str, Any]) -> None:
        """Hands the message to the pipe. Raises ConnectionError when the process is gone."""
        pipe = None if self._transport is None else self._transport.get_pipe_transport(0)
        if not isinstance(pipe, asyncio.WriteTransport) or pipe.is_closing() or self._exited.is_set():
            if "method" not in message:  # an answer, which nobody waits for; the package would log a traceback
                return
            raise ConnectionError("the agent's process is gone")
        if message.get("method") in _NOT_IN_PACKAGE:
            message = {**message, "method": message["method"].removeprefix("_")}
        # default: the package puts the causes of what it refuses into its answer, and some are exceptions.
        pipe.write(json.dumps(message, separators=(",", ":"), default=str).encode() + b"\n")

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
                self._note(line)
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

    async def close(self) -> None:
        """Ends `receive`, and returns when its reader knows it. The process is ended by `end`.

        The package cancels its reader right after this, in whatever it does. One that is woken and cancelled at once
        has ended, now and then, with a RuntimeError in the log ("cannot reuse already awaited coroutine").
        """
        self._lines.put_nowait(None)
        if self._is_read:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._read_to_end.wait(), RELEASE_S)
            await asyncio.sleep(0)  # the reader's own last step

    # --- called by the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process was started."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Cuts stdout into messages; keeps the last lines of stderr."""
        if fd == 2:
            *lines, rest = (self._stderr_rest + data).split(b"\n")
            self._stderr_rest = rest[-_STDERR_LINE:]
            for line in lines:
                self._note(line[-_STDERR_LINE:])
        elif not self._is_broken:
            try:
                lines = self._cutter.feed(data)
            except AgentBreachError as error:
                self._break(str(error))
                return
            for line in filter(bytes.strip, lines):
                self._waiting += len(line)
                self._lines.put_nowait(line)
            if self._waiting > _MOST_WAITING:
                self._stdout().pause_reading()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 # the base class' name
        """The end of stdout is the end of the connection."""
        if fd == 1:
            self._lines.put_nowait(None)
        elif fd == 2:
            self._note(self._stderr_rest)

    def process_exited(self) -> None:
        """Notes what it left behind, and ends the connection once its last words are read."""
        # Now, while no other process can have got its id: the id of the session is that of its leader.
        self._left_behind = identified(processes.tree(self.pid))
        self._exited.set()
        self._last_words = asyncio.get_running_loop().call_later(_LAST_WORDS_S, self._lines.put_nowait, None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 # the base class' name
        """The process has exited and its pipes are closed."""
        self._released.set()

    def _stdout(self) -> asyncio.ReadTransport:
        assert self._transport is not None
        return cast("asyncio.ReadTransport", self._transport.get_pipe_transport(1))

    def _let_talk(self, size: int) -> None:
        was_full, self._waiting = self._waiting > _MOST_WAITING, self._waiting - size
        if was_full and self._waiting <= _MOST_WAITING:
            self._stdout().resume_reading()

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
        """Nothing is read from it any more; its end is the adapter's."""
        if self._is_broken:
            return
        self._is_broken = True
        self.breach = AgentBreachError(why)
        while not self._lines.empty():
            self._lines.get_nowait()
        self._lines.put_nowait(None)

    def _note(self, line: bytes) -> None:
        text = " ".join(printable(line.decode(errors="replace")).split())
        if text:
            self.stderr.append(text[:_WORDS])

    # --- its end ---

    async def end(self) -> None:
        """Ends the process and all that it started, in less than 2 s."""
        assert self._transport is not None
        family = await asyncio.to_thread(self._family)
        stdin = self._transport.get_pipe_transport(0)
        if stdin is not None:
            stdin.close()
        if not await self._exits_within(GRACE_S):
            self._transport.terminate()
            if not await self._exits_within(TERMINATE_S):
                await asyncio.to_thread(processes.kill_tree, self.pid, timeout_s=KILL_S)
                await self._exits_within(KILL_S)
        await asyncio.to_thread(sweep, family | self._left_behind, self._mark, KILL_S)
        for timer in (self._last_words, self._greeting_over):
            if timer is not None:
                timer.cancel()
        self._transport.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._released.wait(), RELEASE_S)

    def _family(self) -> set[Identity]:
        """All that it started so far. Its own id means nothing any more when it has exited."""
        return identified(marked(self._mark) | (set() if self._exited.is_set() else processes.tree(self.pid)))

    async def _exits_within(self, patience_s: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._exited.wait(), patience_s)
        return self._exited.is_set()
