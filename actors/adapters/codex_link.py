"""The connection to one `codex app-server`: the official SDK's client, made fit for an asyncio session.

Imports the SDK (0.7 s, 55 MB): only the process that drives Codex imports this module. Owns the app-server and all
that it started. Threads: the SDK's reader and its stderr drain, and one for each request while it is not answered;
all are daemons, so none keeps the process from exiting, and all end when the app-server does. Callbacks are called in
the event loop's thread. It never interprets what Codex says: that is codex_protocol's.

Why not `AsyncCodexClient`: it waits in the loop's default executor, whose threads are joined when the loop closes, so
that one request without an answer hangs the exit; its child gets os.environ besides what it is given; it leaves the
child's pipes open; its notifications come from two queues, of which the unread one grows for ever.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from openai_codex.client import CodexClient
from openai_codex.errors import CodexError, JsonRpcError, TransportClosedError
from pydantic import RootModel

from actors.adapters.codex_program import REQUEST_PATIENCE_S, STOP_PATIENCE_S, ending
from actors.adapters.codex_protocol import Json, RequestRefusedError, answer, checked, one_line
from actors.edges import processes
from actors.edges.marked_processes import MARK_VARIABLE, end_program
from actors.errors import AgentBreachError, AgentDiedError, AgentError
from actors.text import ForeignJsonError, read_object
from actors.wire.lines import LONGEST_ANSWER, too_long

LAST_WORDS_S = 0.5  # for what stands in the pipe when the program has ended

_T = TypeVar("_T")


class _Object(RootModel[Json]):
    """Any JSON object. The SDK's own models are of its version, the CLI may be newer."""


class CodexLink:
    """One app-server. `start`, requests, `stop`; a stopped link is not started again."""

    def __init__(
        self,
        *,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        on_notification: Callable[[Json], None],
        on_lost: Callable[[AgentError], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._mark = environment[MARK_VARIABLE]
        self._on_notification = on_notification
        self._on_lost = on_lost
        self._client = _Client(command, cwd, environment, self._heard, self._broken)
        self._stopping = threading.Lock()
        self._stopped = False

    def start(self) -> int:
        """Starts the program and returns its pid. Raises OSError."""
        self._client.start()
        return self._client.process.pid

    @property
    def exit_code(self) -> int | None:
        """As in subprocess; None while it runs."""
        return self._client.process.poll()

    @property
    def last_words(self) -> str:
        """The end of what it wrote to stderr, on one line."""
        return one_line(self._client.stderr_tail(), 300)

    async def initialize(self) -> None:
        """The handshake. Errors as `request`."""
        await self._call("initialize", self._client.initialize)

    async def request(self, method: str, params: Json) -> Json:
        """One request. Raises `RequestRefusedError`, or `AgentDiedError` when no answer will come."""
        answer = await self._call(method, lambda: self._client.request(method, params, response_model=_Object))
        return answer.root

    async def stop(self) -> None:
        """Ends the app-server and all that it started, wherever they have gone. Again: nothing happens."""
        await in_thread(self._stop)

    async def _call(self, method: str, work: Callable[[], _T]) -> _T:
        if self._client.is_lost:
            raise self._death()
        try:
            async with asyncio.timeout(REQUEST_PATIENCE_S):
                return await in_thread(partial(self._work, work))
        except JsonRpcError as error:
            raise RequestRefusedError(method, error.message) from error
        except TimeoutError as error:
            raise AgentDiedError(f"codex did not answer {method} within {REQUEST_PATIENCE_S:.0f} s") from error
        except (CodexError, OSError, ValueError) as error:  # ValueError: its pipe is closed on our side
            raise self._death() from error

    def _work(self, work: Callable[[], _T]) -> _T:
        """In the request's thread."""
        try:
            return work()
        except JsonRpcError:
            raise
        except (CodexError, OSError, ValueError):
            self._await_exit()
            raise

    def _await_exit(self) -> None:
        """The pipes of a dying process close a moment before it can be waited for."""
        with suppress(subprocess.TimeoutExpired):
            self._client.process.wait(1)

    def _death(self) -> AgentError:
        """A breach is one once: the program is lost for what comes after it, and is started again."""
        breach, self._client.breach = self._client.breach, None
        if breach is not None:
            return AgentBreachError(f"codex app-server {breach}")
        return AgentDiedError(f"codex app-server {ending(self.exit_code)} {self.last_words}".rstrip())

    # --- in the reader's thread ---

    def _heard(self, message: Json) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._on_notification, message)

    def _broken(self) -> None:
        self._await_exit()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(lambda: self._on_lost(self._death()))

    # --- in a thread of its own ---

    def _stop(self) -> None:
        with self._stopping:
            if self._stopped or not self._client.started:
                return
            self._stopped = True
            deadline = time.monotonic() + STOP_PATIENCE_S
            end_program(self._client.process, self._mark, STOP_PATIENCE_S)
            self._client.release(deadline)


class _Client(CodexClient):
    """The SDK's client with another start, another reader loop and an end that leaves nothing open."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        heard: Callable[[Json], None],
        broken: Callable[[], None],
    ) -> None:
        super().__init__(approval_handler=answer)
        self._command = list(command)
        self._cwd = cwd
        self._environment = dict(environment)
        self._heard = heard
        self._broken = broken
        self._failing = threading.Lock()
        self.is_lost = False  # nothing is read from it any more
        self.breach: AgentBreachError | None = None  # why, for whoever takes it

    @property
    def started(self) -> bool:
        return self._proc is not None

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._proc is not None
        return self._proc

    def stderr_tail(self) -> str:
        return self._stderr_tail(5)

    def start(self) -> None:
        # A session of its own: Ctrl-C in the terminal is for the loop, which then ends its agents in order.
        self._proc = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
            cwd=self._cwd,
            env=self._environment,
            start_new_session=True,
        )
        self._start_stderr_drain_thread()
        self._start_reader_thread()
        processes.when_ended(self._proc.pid, self._gone)

    def _gone(self) -> None:
        """Its last words come first. Then it is over, also when a child of it still holds the pipe."""
        assert self._reader_thread is not None
        self._reader_thread.join(LAST_WORDS_S)
        self._fail(TransportClosedError("the program has ended"))

    def _fail(self, error: BaseException) -> None:
        with self._failing:
            if self.is_lost:
                return
            if isinstance(error, AgentBreachError):
                self.breach = error
            self.is_lost = True
        self._router.fail_all(error if isinstance(error, CodexError) else TransportClosedError(repr(error)))
        self._broken()

    def _read_message(self) -> Json:
        assert self.process.stdout is not None
        line = self.process.stdout.readline(LONGEST_ANSWER + 1)
        if not line:
            raise TransportClosedError("it closed its stdout")
        if len(line) > LONGEST_ANSWER:
            raise too_long(LONGEST_ANSWER)
        try:
            return checked(read_object(line))
        except ForeignJsonError as error:
            raise AgentBreachError(f"sent {error}") from None

    def _reader_loop(self) -> None:
        try:
            while True:
                message = self._read_message()
                if "method" not in message:
                    self._router.route_response(message)
                elif "id" in message:
                    self._write_message({"id": message["id"], "result": self._handle_server_request(message)})
                else:
                    self._heard(message)
        except BaseException as error:
            self._fail(error)

    def release(self, deadline: float) -> None:
        """Closes the pipes of a dead process, once the threads that read them have ended."""
        for thread, pipe in ((self._reader_thread, self.process.stdout), (self._stderr_thread, self.process.stderr)):
            assert thread is not None
            assert pipe is not None
            thread.join(max(0.0, deadline - time.monotonic()))
            if not thread.is_alive():  # else a stranger holds the other end, and closing would wait for ever
                pipe.close()
        assert self.process.stdin is not None
        with suppress(OSError):  # what was never read by the dead process
            self.process.stdin.close()


async def in_thread(work: Callable[[], _T]) -> _T:
    """Runs blocking `work` in a daemon thread of its own: unlike one of an executor, it is never joined."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[_T] = loop.create_future()

    def succeed(result: _T) -> None:
        if not answer.done():
            answer.set_result(result)

    def fail(error: BaseException) -> None:
        if not answer.done():
            answer.set_exception(error)

    def run() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            try:
                result = work()
            except BaseException as error:
                loop.call_soon_threadsafe(fail, error)
            else:
                loop.call_soon_threadsafe(succeed, result)

    threading.Thread(target=run, name="codex-request", daemon=True).start()
    return await answer
