"""The connection to one `codex app-server` that listens on a Unix socket, where Codex's own TUI is a client as well.

Runs in the session's asyncio loop; one daemon thread reads the app-server's stderr. Does what codex_link does, over
WebSocket: one JSON-RPC message a frame. Owns the app-server and all that it started. It never interprets what Codex
says: that is codex_protocol's. It does without the official SDK, which speaks to a pipe of its own child only.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from actors.adapters.codex_program import HELLO, REQUEST_PATIENCE_S, STOP_PATIENCE_S, ending
from actors.adapters.codex_protocol import APPROVALS, Json, RequestRefusedError, answer, checked, one_line
from actors.edges import processes
from actors.edges.marked_processes import MARK_VARIABLE, end_program
from actors.errors import AgentBreachError, AgentDiedError, AgentError
from actors.text import ForeignJsonError, read_object
from actors.wire.lines import LONGEST_ANSWER, too_long

START_PATIENCE_S = 20.0  # of a loaded machine: it listens after 0.2-0.9 s
LOOK_INTERVAL_S = 0.01
EXIT_PATIENCE_S = 1.0


class CodexSocketLink:
    """One app-server. `start`, requests, `stop`; a stopped link is not started again."""

    def __init__(
        self,
        *,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        socket: Path,
        on_notification: Callable[[Json], None],
        on_lost: Callable[[AgentError], None],
    ) -> None:
        self._command = list(command)
        self._cwd = cwd
        self._environment = dict(environment)
        self._mark = environment[MARK_VARIABLE]
        self._socket = socket
        self._on_notification = on_notification
        self._on_lost = on_lost
        self._process: subprocess.Popen[str] | None = None
        self._stderr: threading.Thread | None = None
        self._said: deque[str] = deque(maxlen=5)
        self._line: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Json]] = {}
        self._stopping: asyncio.Task[None] | None = None

    def start(self) -> int:
        """Starts the program and returns its pid. Raises OSError."""
        # Codex replaces a stale socket itself; without this, `initialize` could meet the one of a dead app-server.
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=self._cwd,
            env=self._environment,
            start_new_session=True,  # Ctrl-C in the terminal is for the loop, which then ends its agents in order
        )
        self._stderr = threading.Thread(target=self._listen, name="codex-stderr", daemon=True)
        self._stderr.start()
        loop = asyncio.get_running_loop()

        def gone() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(self._cut)

        processes.when_ended(self._process.pid, gone)
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """As in subprocess; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def last_words(self) -> str:
        """The end of what it wrote to stderr, on one line."""
        return one_line(" ".join(self._said), 300)

    async def initialize(self) -> None:
        """Waits until it listens; the handshake. Errors as `request`."""
        self._line = await self._connected()
        self._reader = asyncio.create_task(self._read(self._line))
        await self.request("initialize", HELLO)
        await self._send({"method": "initialized"})

    async def request(self, method: str, params: Json) -> Json:
        """One request. Raises `RequestRefusedError`, or `AgentDiedError` when no answer will come."""
        if self._reader is not None and self._reader.done():  # nothing is read from it any more
            raise await self._death()
        number = next(self._ids)
        waiting: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            async with asyncio.timeout(REQUEST_PATIENCE_S):
                await self._send({"id": number, "method": method, "params": params})
                message = await waiting
        except TimeoutError as error:
            raise AgentDiedError(f"codex did not answer {method} within {REQUEST_PATIENCE_S:.0f} s") from error
        finally:
            self._waiting.pop(number, None)
        if "error" in message:
            raise RequestRefusedError(method, str(message["error"].get("message", "")))
        result: Json = message["result"]
        return result

    async def stop(self) -> None:
        """Ends the app-server and all that it started, wherever they have gone. Again: nothing happens."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    # --- helpers ---

    def _cut(self) -> None:
        """The program has ended; a child of it may still hold the other end."""
        if self._line is not None:
            self._line.transport.abort()

    async def _connected(self) -> ClientConnection:
        """Nothing tells when it begins to listen, so it is tried."""
        try:
            async with asyncio.timeout(START_PATIENCE_S):
                while self.exit_code is None and self._stopping is None:
                    with suppress(OSError, WebSocketException):
                        # No pings: a busy app-server is not a dead one, and a dead one's socket ends.
                        return await unix_connect(
                            str(self._socket),
                            compression=None,
                            max_size=LONGEST_ANSWER,
                            ping_interval=None,
                            open_timeout=None,
                        )
                    await asyncio.sleep(LOOK_INTERVAL_S)
        except TimeoutError as error:
            raise AgentDiedError(f"codex app-server did not listen within {START_PATIENCE_S:.0f} s") from error
        raise await self._death()

    async def _send(self, message: Json) -> None:
        if self._line is None:
            raise AgentDiedError("codex is not running")
        try:
            await self._line.send(json.dumps(message, ensure_ascii=False))
        except (ConnectionClosed, OSError) as error:
            raise await self._death() from error

    async def _read(self, line: ClientConnection) -> None:
        breach: AgentBreachError | None = None
        try:
            async for frame in line:
                await self._take(checked(read_object(frame)))
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code == CloseCode.MESSAGE_TOO_BIG:
                breach = too_long(LONGEST_ANSWER)
        except ForeignJsonError as error:
            breach = AgentBreachError(f"sent {error}")
        except AgentBreachError as error:
            breach = error
        finally:  # also for a message that is none: whoever waits must be told
            death = AgentBreachError(f"codex app-server {breach}") if breach else await self._death()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(death)
            self._on_lost(death)

    async def _take(self, message: Json) -> None:
        if "method" not in message:
            waiting = self._waiting.get(message["id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif "id" not in message:
            self._on_notification(message)
        elif message["method"] not in APPROVALS:
            # The TUI is asked as well, and the first answer counts. Approvals are asked for only when the person
            # there has chosen so, and are theirs; the rest is answered as without a TUI: perhaps nobody looks.
            with suppress(AgentDiedError):
                await self._send({"id": message["id"], "result": answer(message["method"], message.get("params"))})

    async def _death(self) -> AgentDiedError:
        """The socket of a dying process closes a moment before it can be waited for."""
        process = self._process
        if process is not None and self._stopping is None:
            await asyncio.to_thread(processes.wait_ended, process.pid, EXIT_PATIENCE_S)
        return AgentDiedError(f"codex app-server {ending(self.exit_code)} {self.last_words}".rstrip())

    async def _stop(self) -> None:
        process, stderr = self._process, self._stderr
        if process is None or stderr is None:
            return
        await asyncio.to_thread(end_program, process, self._mark, STOP_PATIENCE_S)
        if self._line is not None:
            self._line.transport.abort()  # the other end is gone: there is no handshake to wait for
        if self._reader is not None:
            await asyncio.wait([self._reader])
        await asyncio.to_thread(stderr.join, LOOK_INTERVAL_S * 10)
        if process.stderr is not None and not stderr.is_alive():  # else a stranger holds the other end
            process.stderr.close()
        self._socket.unlink(missing_ok=True)

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        for row in self._process.stderr:
            self._said.append(row.strip())
