"""The process of an agent: starts, reads and ends it, in the same way for all agents.

Runs in the adapter's asyncio loop, in any thread; the search for left-over processes runs in a thread of its own. The
process gets its own session (setsid): Ctrl-C at the terminal is ours to handle. The agent's left-overs are found by
that session, or by the mark in their environment. os.environ is never read.

Output is passed on as it arrives; a slow reader calls `pause`. The child is over when its streams and the process have
ended, or `EXIT_S` after its stdout. It is also over `last_words_s` after the end of the process, even if another
process holds its pipes: a wrapper's child (npm's programs have wrappers) survives when the wrapper is killed.

The cause of an end is read from `said` after `has_ended_within` or `on_end`: both wait for stderr in the same way. An
exit can be known before stderr has been read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from actors.edges import processes
from actors.edges.marked_processes import MARK_VARIABLE, Identity, identified, marked, sweep
from actors.text import printable

EXIT_S = 1.0  # the pipes of a dying process close a moment before it can be waited for
RELEASE_S = 0.2  # for the loop to release its pipes
_LINES = 20  # of its stderr
_LINE = 65_536  # bytes
_WORDS = 500  # characters of a line that are kept


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Time-outs for ending a process, in seconds; their sum is below the 2 s that an adapter has to close.

    `leave_s`: after the end of its input, 0 = SIGTERM follows immediately. `terminate_s`: after SIGTERM. `kill_s`:
    after SIGKILL, for it and all that it started.
    """

    leave_s: float
    terminate_s: float
    kill_s: float


class Child(asyncio.SubprocessProtocol):
    """One process. `start` once; `on_output` for each piece of its stdout, `on_end` once, when it is over."""

    def __init__(
        self,
        *,
        mark: str,
        on_output: Callable[[bytes], None],
        on_end: Callable[[], None],
        last_words_s: float,
    ) -> None:
        self._mark = mark
        self.on_output = on_output
        self._on_end = on_end
        self._last_words_s = last_words_s
        self._said: deque[str] = deque(maxlen=_LINES)
        self._stderr_rest = b""
        self._transport: asyncio.SubprocessTransport | None = None
        self._exited = asyncio.Event()
        self._stderr_ended = asyncio.Event()
        self._released = asyncio.Event()
        self._left_behind: set[Identity] = set()
        self._is_over = False
        self._will_be_over: asyncio.TimerHandle | None = None

    async def start(
        self, command: Sequence[str], environment: Mapping[str, str], cwd: Path, *, talks: bool = True
    ) -> int:
        """Starts it and returns its pid. `talks`: it uses stdin and stdout; else neither is connected.

        Raises OSError when it cannot start: missing, not executable, no such directory.
        """
        pipe = asyncio.subprocess.PIPE if talks else asyncio.subprocess.DEVNULL
        await asyncio.get_running_loop().subprocess_exec(
            lambda: self,
            *command,
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.PIPE,
            env={**environment, MARK_VARIABLE: self._mark},
            cwd=cwd,
            start_new_session=True,
        )
        return self.pid

    @property
    def pid(self) -> int:
        """Its process id, also after its end; 0 before it was started."""
        return 0 if self._transport is None else self._transport.get_pid()

    @property
    def exit_code(self) -> int | None:
        """As in subprocess; None while it runs."""
        return None if self._transport is None else self._transport.get_returncode()

    @property
    def failed_by_itself(self) -> bool:
        """Whether it has exited with an error status, rather than being killed or still running."""
        return (self.exit_code or 0) > 0

    @property
    def said(self) -> list[str]:
        """The last lines of its stderr, printable and not blank, and what was noted."""
        return list(self._said)

    def note(self, line: bytes) -> None:
        """Records a line as if it had come from stderr."""
        text = " ".join(printable(line[-_LINE:].decode(errors="replace")).split())
        if text:
            self._said.append(text[:_WORDS])

    async def has_ended_within(self, patience_s: float) -> bool:
        """Waits for its exit, and then for what it wrote to stderr. Returns whether it has exited."""
        if await self._exits_within(patience_s):
            await _is_set_within(self._stderr_ended, self._last_words_s)
        return self._exited.is_set()

    async def _exits_within(self, patience_s: float) -> bool:
        return await _is_set_within(self._exited, patience_s)

    # --- its input and output ---

    def write(self, data: bytes) -> None:
        """Writes the data to its stdin. Raises ConnectionError when the pipe has no reader."""
        pipe = None if self._transport is None else self._transport.get_pipe_transport(0)
        if not isinstance(pipe, asyncio.WriteTransport) or pipe.is_closing() or self._exited.is_set():
            raise ConnectionError("the process is gone")
        pipe.write(data)

    def close_input(self) -> None:
        """Closes its stdin: most programs then exit when idle."""
        pipe = None if self._transport is None else self._transport.get_pipe_transport(0)
        if pipe is not None:
            pipe.close()

    def pause(self) -> None:
        """Stops reading its output; the process blocks once the pipe is full."""
        self._stdout().pause_reading()

    def resume(self) -> None:
        """Reads its output again."""
        self._stdout().resume_reading()

    def _stdout(self) -> asyncio.ReadTransport:
        assert self._transport is not None
        return cast("asyncio.ReadTransport", self._transport.get_pipe_transport(1))

    # --- called by the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process was started."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Passes stdout on; keeps the last lines of stderr."""
        if fd == 1:
            self.on_output(data)
            return
        *lines, rest = (self._stderr_rest + data).split(b"\n")
        self._stderr_rest = rest[-_LINE:]
        for line in lines:
            self.note(line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 # the base class' name
        """A stream has ended."""
        if fd == 2:
            self.note(self._stderr_rest)
            self._stderr_ended.set()
        if self._exited.is_set():
            self._over_in_time()
        elif fd == 1:
            self._over_in(EXIT_S)

    def process_exited(self) -> None:
        """Records what it left behind; its last output may still be in a pipe."""
        # Now, while no other process can have its id: the session's id is its leader's pid.
        self._left_behind = identified(processes.tree(self.pid))
        self._exited.set()
        self._over_in_time()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 # the base class' name
        """The process has exited and its pipes are closed."""
        self._released.set()

    def _over_in_time(self) -> None:
        """After its exit: at once when its streams have ended too."""
        stdout = self._transport.get_pipe_transport(1) if self._transport is not None else None
        streams_ended = self._stderr_ended.is_set() and (stdout is None or stdout.is_closing())
        self._over_in(0.0 if streams_ended else self._last_words_s)

    def _over_in(self, seconds: float) -> None:
        if self._will_be_over is not None:
            self._will_be_over.cancel()
        self._will_be_over = asyncio.get_running_loop().call_later(seconds, self._over)

    def _over(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._on_end()

    # --- its end ---

    async def end(self, patience: Patience) -> None:
        """Ends the process and all that it started, in any session. Idempotent."""
        transport = self._transport
        if transport is None:
            return
        family = await asyncio.to_thread(self._family)
        self.close_input()
        if not (patience.leave_s and await self._exits_within(patience.leave_s)):
            with suppress(ProcessLookupError):
                transport.terminate()
            if not await self._exits_within(patience.terminate_s):
                await asyncio.to_thread(processes.kill_tree, self.pid, timeout_s=patience.kill_s)
                await self._exits_within(patience.kill_s)
        await asyncio.to_thread(sweep, family | self._left_behind, self._mark, patience.kill_s)
        if self._will_be_over is not None:
            self._will_be_over.cancel()
        transport.close()
        await _is_set_within(self._released, RELEASE_S)
        self._over()

    def _family(self) -> set[Identity]:
        """All processes that it has started so far. Its own pid is meaningless once it has exited."""
        return identified(marked(self._mark) | (set() if self._exited.is_set() else processes.tree(self.pid)))


async def _is_set_within(event: asyncio.Event, patience_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            await event.wait()
    return event.is_set()
