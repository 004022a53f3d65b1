"""The running `claude` program, as a transport of the official SDK.

The SDK's own transport is not used: it adds our whole os.environ to the child's, leaves the child in our process
group, and keeps no hold of what the agent starts. Control frames go to the SDK's client; all else goes to the adapter
as it came, since the SDK's types drop what the adapter needs. Imports the SDK (about 1 s): import it late.

Everything runs in the session's asyncio loop, except the search for left-over processes. A program that sends more
control frames than the client reads (`_MOST_WAITING` bytes) has lost its way: that is a breach.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from claude_agent_sdk import CLIConnectionError, ProcessError, Transport

from actors.edges import processes
from actors.edges.marked_processes import MARK_VARIABLE, identified, marked, sweep
from actors.errors import AgentBreachError
from actors.text import ForeignJsonError, read_json
from actors.wire.lines import LONGEST_LINE, too_long

# With its end foreseen (the adapter says so), the client's complaints about it are noise on somebody's terminal.
logging.getLogger("claude_agent_sdk").addHandler(logging.NullHandler())

# An idle program leaves 0.03-0.08 s after its input ends; a busy one 1.5 s after SIGTERM, if its tools let it.
LEAVE_S = 0.5
TERMINATE_S = 0.7
SWEEP_S = 0.4
LAST_WORDS_S = 0.5  # for what stands in the pipes when the program has ended

_MOST_WAITING = 2 * LONGEST_LINE  # bytes of control frames that the SDK's client has not read yet
_PIPE = asyncio.subprocess.PIPE


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
        self.last_words: deque[str] = deque(maxlen=20)  # of its stderr
        self._command = command
        self._cwd = cwd
        self._environment = dict(environment)
        self._mark = environment[MARK_VARIABLE]
        self._on_start = on_start
        self._on_event = on_event
        self._on_end = on_end
        self._process: asyncio.subprocess.Process | None = None
        self._control: asyncio.Queue[tuple[dict[str, Any], int] | None] = asyncio.Queue()
        self._waiting = 0  # bytes in it
        self._readers: list[asyncio.Task[None]] = []
        self._writing = asyncio.Lock()
        self._left_behind: set[tuple[int, str]] = set()
        self._ended = False

    @property
    def pid(self) -> int:
        """Of the program; 0 before it was started."""
        return self._process.pid if self._process else 0

    @property
    def ended(self) -> bool:
        """Whether the program is gone, or cannot be followed any more."""
        return self._ended

    @property
    def how_it_ended(self) -> str:
        """One line for people."""
        status = self._process.returncode if self._process else None
        how = "was not started" if self._process is None else f"ended with exit status {status}"
        words = [words for words in self.last_words if words.strip()]
        return how + (f": {words[-1]}" if words else "")

    @property
    def failed_by_itself(self) -> bool:
        """Whether it has exited with an error status, rather than being killed or still running."""
        return self._process is not None and (self._process.returncode or 0) > 0

    async def connect(self) -> None:
        """Starts the program. Raises OSError when that fails."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=_PIPE,
            stdout=_PIPE,
            stderr=_PIPE,
            cwd=self._cwd,
            env=self._environment,
            limit=LONGEST_LINE,
            start_new_session=True,  # a Ctrl-C at the terminal is for us alone
        )
        self._on_start(self._process.pid)
        self._readers = [asyncio.create_task(self._read(self._process)), asyncio.create_task(self._listen())]
        loop = asyncio.get_running_loop()

        def gone() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(loop.call_later, LAST_WORDS_S, self._cut)

        processes.when_ended(self._process.pid, gone)

    def _cut(self) -> None:
        """The program has ended, and its last words are read; a child of it may still hold the pipes."""
        for reader in self._readers:
            reader.cancel()

    async def write(self, data: str) -> None:
        """Sends one or more frames."""
        process = self._process
        if process is None or process.stdin is None or self._ended:
            raise CLIConnectionError(f"claude {self.how_it_ended}")
        async with self._writing:
            try:
                process.stdin.write(data.encode())
                await process.stdin.drain()
            except OSError as error:
                raise CLIConnectionError(f"claude does not listen any more: {error}") from error

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        """The control frames, for the SDK's client. Its requests that are still open fail when the program ends."""
        while (next_one := await self._control.get()) is not None:
            frame, size = next_one
            self._waiting -= size
            yield frame
        raise ProcessError(f"claude {self.how_it_ended}")

    async def end_input(self) -> None:
        """Closes the program's input: it leaves when it has nothing to do."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def is_ready(self) -> bool:
        """Whether frames can be sent."""
        return self._process is not None and not self._ended

    async def close(self) -> None:
        """Ends the program and everything that it started, within 2 s."""
        process = self._process
        if process is None:
            return
        known = set() if self._ended else {process.pid}
        family = self._left_behind | await asyncio.to_thread(_family, known, self._mark)
        await self.end_input()
        if not await _ends_within(process, LEAVE_S):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await _ends_within(process, TERMINATE_S)
        await asyncio.to_thread(sweep, family, self._mark, SWEEP_S)
        await _ends_within(process, SWEEP_S)
        _, late = await asyncio.wait(self._readers, timeout=SWEEP_S)
        for reader in late:  # a stranger holds the other end of a pipe
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        try:
            assert process.stdout is not None
            try:
                while row := await _next_line(process.stdout):
                    self._take(row.decode(errors="replace"))
            except asyncio.CancelledError:
                if process.returncode is None:  # not `_cut`
                    raise
            await process.wait()
            # Now, while no other process can have got its id.
            self._left_behind = identified(processes.tree(process.pid))
        except Exception as error:  # a bug of ours, or what is no message: whoever waits must be told
            self.failure = error
        finally:
            self._ended = True
            self._control.put_nowait(None)
            self._on_end()

    def _take(self, row: str) -> None:
        if not (row.startswith("{") and row.endswith("\n")):
            return  # some builds print other things as well; the last line may be torn by a kill
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
            self._on_event(event, row.rstrip("\n"))

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while True:
            with contextlib.suppress(ValueError):  # too long a line says nothing in a few words
                row = await self._process.stderr.readline()
                if not row:
                    return
                self.last_words.append(row.decode(errors="replace").strip())


async def _next_line(stream: asyncio.StreamReader) -> bytes:
    """b"" at the end."""
    try:
        return await stream.readline()
    except ValueError:  # so the stream says that it has reached its limit
        raise AgentBreachError(f"claude {too_long()}") from None


async def _ends_within(process: asyncio.subprocess.Process, patience_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), patience_s)
    return process.returncode is not None


def _family(known: set[int], mark: str) -> set[tuple[int, str]]:
    """Those that are `known`, what they started, and whoever bears the mark."""
    return identified(known.union(marked(mark), *map(processes.tree, known)))
