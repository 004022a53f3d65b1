"""The link between `loop acp` and one run: its process, if it is ours, and its control server. asyncio's thread.

A run of ours is a process of its own session (program.py), so a signal to the client's process group does not hit it.
It holds the other end of our pipe: when this process ends in any way, the run stops in order. A run that somebody else
has started is only attached to.
"""

from __future__ import annotations

import asyncio
import queue
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from actors.edges import environments, run_lock
from actors.errors import LoopError, OperationalError, UndeliverableError, UserError
from actors.messages import Progress
from shell import backlog
from shell.acp.orders import AnyAnswer, Opened, Order, Reserved, decode_answer, encode
from shell.backlog import Backlog
from shell.control_client import ControlClient, RunEndedError
from shell.exits import EXIT_USAGE
from supervisor.control.protocol import AnyAnswer as ControlAnswer
from supervisor.control.protocol import AnyNews, Ended, Follow, GetReport, Report, Request, Shown

PROGRAM = (sys.executable, "-P", "-m", "shell.acp.program")
ALL_NEWS = 10_000  # of a run that has just begun
LATEST_NEWS = 20  # of a run that somebody else has begun
LONGEST_LINE = 1_000_000
MOST_NOTES = 100
NOTE = "[loop] "
ERROR = "[loop] error: "


class RunProcess:
    """The process of one order. It lives until its run ends, or until `let_go`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.notes: list[str] = []
        self._error = ""
        self._reading = asyncio.create_task(self._read_notes())

    @classmethod
    async def start(cls, order: Order, cwd: Path, *, reserved: str = "") -> RunProcess:
        """Starts it. `reserved`: the id that is reserved for its run."""
        environment = environments.handed_on() | ({environments.RUN_ID: reserved} if reserved else {})
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            cwd=cwd,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=LONGEST_LINE,
        )
        assert process.stdin is not None
        with suppress(ConnectionError):  # it has ended, and says why
            process.stdin.write(encode(order))
            await process.stdin.drain()
        return cls(process)

    async def answer(self) -> AnyAnswer:
        """Its answer to the order. Raises `UserError` or `OperationalError`: why there is none."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        with suppress(msgspec.MsgspecError):
            return decode_answer(line)
        status = await self.wait()
        error = self._error or f"the run's process ended with exit status {status}: {' '.join(self.notes[-3:])}"
        raise UserError(error) if status == EXIT_USAGE else OperationalError(error)

    def let_go(self) -> None:
        """Nobody drives the run any more: it stops in order. Idempotent."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def wait(self) -> int:
        """Its exit status, once it has ended."""
        await self._reading
        return await self._process.wait()

    async def _read_notes(self) -> None:
        """Notes are short and few; more of them would be a fault."""
        assert self._process.stderr is not None
        with suppress(ValueError):  # a line without an end
            async for line in self._process.stderr:
                text = line.decode(errors="replace").rstrip()
                if text.startswith(ERROR):
                    self._error = text.removeprefix(ERROR)
                elif len(self.notes) < MOST_NOTES:
                    self.notes.append(text.removeprefix(NOTE))


async def reserve(words: list[str], cwd: Path) -> Reserved:
    """Checks that a run with these words can start here, and reserves its id. Raises `LoopError`."""
    process = await RunProcess.start(Order(words=words, only_reserve=True), cwd)
    answer = await process.answer()
    await process.wait()
    if not isinstance(answer, Reserved):
        raise OperationalError("the run's process answered with another word than its id")
    return answer


class Link:
    """One run that works. `process` None: it is not ours."""

    def __init__(self, directory: Path, process: RunProcess | None) -> None:
        self._directory = directory
        self.process = process
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._news: Backlog[Progress] = Backlog(lambda progress: len(progress.text))
        self._missed = 0
        self._client: ControlClient | None = None
        self.is_over = False

    @classmethod
    async def start(cls, order: Order, cwd: Path, directory: Path) -> Link:
        """Starts the run's process and connects to it. Raises `LoopError` when it cannot start."""
        process = await RunProcess.start(order, cwd, reserved="" if order.run_id else directory.name)
        link = cls(directory, process)
        try:
            answer = await process.answer()
        except asyncio.CancelledError:
            process.let_go()
            await process.wait()
            raise
        if not isinstance(answer, Opened):
            raise OperationalError("the run's process answered with another word than its address")
        await link.connect(answer.endpoint, ALL_NEWS)
        return link

    @classmethod
    async def attach(cls, directory: Path, endpoint: str) -> Link:
        """Attaches to a run that somebody else has started."""
        link = cls(directory, None)
        await link.connect(endpoint, LATEST_NEWS)
        return link

    async def connect(self, endpoint: str, last: int) -> None:
        """Follows the run from now on, and from its last news."""
        self._client = await asyncio.to_thread(
            lambda: ControlClient(endpoint, alive=lambda: run_lock.is_active(self._directory), on_news=self._take)
        )
        with suppress(LoopError):  # `report` notices that it is over, or is late
            await self.ask(Follow(last=last))

    async def ask(self, request: Request) -> ControlAnswer:
        """See `ControlClient.ask`."""
        assert self._client is not None
        client = self._client
        return await asyncio.to_thread(lambda: client.ask(request))

    async def report(self) -> Report | None:
        """The state of the run; None when it gives no answer now. `is_over` is true after its end."""
        try:
            answer = await self.ask(GetReport())
        except RunEndedError:
            self.is_over = True
            return None
        except UndeliverableError:
            return None
        return answer if isinstance(answer, Report) else None

    async def changed(self, most_s: float) -> None:
        """Waits until something has happened, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._changed.wait()
        self._changed.clear()

    def wake(self) -> None:
        """Something has happened. asyncio's thread."""
        self._changed.set()

    def news(self) -> Iterator[Progress]:
        """What has happened since the last call."""
        count, self._missed = self._missed, 0
        with suppress(queue.Empty):
            while True:
                progress = self._news.get_nowait()
                if count:
                    yield backlog.missed(count, progress.at_ms)
                count = 0
                yield progress

    @property
    def ended(self) -> Ended | None:
        """How the run has ended; None when its process was killed, or it has not ended."""
        return self._client.ended if self._client is not None else None

    def let_go(self) -> None:
        """Stops the run if it is ours."""
        if self.process is not None:
            self.process.let_go()

    async def close(self) -> None:
        """Lets go, and waits for the run's process."""
        self.let_go()
        if self._client is not None:
            await asyncio.to_thread(self._client.close)
        if self.process is not None:
            await self.process.wait()

    # --- the client's thread ---

    def _take(self, news: AnyNews) -> None:
        if isinstance(news, Shown):
            try:
                self._missed += news.missed
                self._news.put_nowait(news.progress)
            except queue.Full:
                self._missed += 1
        elif isinstance(news, Ended):
            self.is_over = True
        with suppress(RuntimeError):  # the loop is closed: this process ends
            self._loop.call_soon_threadsafe(self._changed.set)
