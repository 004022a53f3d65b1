"""The connection to one `codex app-server`: JSON-RPC over its pipe, or over a Unix socket that its TUI shares.

Runs in the session's asyncio loop. Owns the app-server and all that it started (child.py). It never interprets Codex's
messages: codex_protocol does. They are foreign: a message is bounded, and invalid data is a breach, which ends reading.

The official SDK's client is not used: it waits for answers in threads, and a missing answer hangs the exit; its child
also gets os.environ; and it supports no socket. The SDK provides the program.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from actors.adapters.child import Child, Patience
from actors.adapters.codex_program import HELLO, REQUEST_PATIENCE_S, ending
from actors.adapters.codex_protocol import APPROVALS, Json, RequestRefusedError, answer, checked, one_line
from actors.edges.marked_processes import MARK_VARIABLE
from actors.errors import AgentBreachError, AgentDiedError, AgentError
from actors.text import ForeignJsonError, excerpt, read_object
from actors.wire.lines import LONGEST_ANSWER, LineCutter, too_long

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

# It ends within 40 ms of a request. If not, its commands, which have their own sessions, are ended as well.
PATIENCE = Patience(leave_s=0.0, terminate_s=0.5, kill_s=0.6)
LAST_WORDS_S = 0.5  # for data left in the pipe when the program has ended
START_PATIENCE_S = 20.0  # of a loaded machine: it listens on its socket after 0.2-0.9 s
LOOK_INTERVAL_S = 0.01
EXIT_PATIENCE_S = 2.0  # npm's wrapper ends a moment after what it has started
_LAST_LINES = 5


class CodexLink:
    """One app-server. `start`, `initialize`, requests, `stop`; a stopped link is not started again.

    `socket`: it listens there, and its TUI gets requests as well; None: it uses its pipe. `longest`: bytes of a
    message. `on_lost` is called once, when no more messages will come.
    """

    def __init__(
        self,
        *,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        on_notification: Callable[[Json], None],
        on_lost: Callable[[AgentError], None],
        socket: Path | None = None,
        longest: int = LONGEST_ANSWER,
    ) -> None:
        self._command = command
        self._cwd = cwd
        self._environment = environment
        self._on_notification = on_notification
        self._on_lost = on_lost
        self._wire: _Wire = _Pipe(self, longest) if socket is None else _Socket(self, socket, longest)
        # The TUI gets requests as well, and the first answer counts. Approvals are requested only when the user has
        # chosen so there, and are the user's to answer. The rest is answered as without a TUI: the user may be away.
        self._left_to_others = frozenset() if socket is None else APPROVALS
        self.child = Child(
            mark=environment[MARK_VARIABLE],
            on_output=self._wire.heard,
            on_end=self._wire.ended,
            last_words_s=LAST_WORDS_S,
        )
        self._ids = itertools.count(1)
        self._waiting: dict[object, asyncio.Future[Json]] = {}
        self._is_lost = False
        self._is_broken = False  # it runs, but is not read any more
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Starts the program and returns its pid. Raises OSError."""
        self._wire.prepare()
        return await self.child.start(self._command, self._environment, self._cwd, talks=self._wire.is_pipe)

    @property
    def exit_code(self) -> int | None:
        """As in subprocess; None while it runs."""
        return self.child.exit_code

    @property
    def last_words(self) -> str:
        """The end of what it wrote to stderr, on one line."""
        return one_line(" ".join(self.child.said[-_LAST_LINES:]), 300)

    async def initialize(self) -> None:
        """Waits until it listens; the handshake. Errors as `request`."""
        await self._wire.open()
        await self.request("initialize", HELLO)
        await self._send({"method": "initialized"})

    async def request(self, method: str, params: Json) -> Json:
        """One request. Raises `RequestRefusedError`, or `AgentDiedError` when no answer will come."""
        if self._is_lost:
            raise await self.death()
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
            raise RequestRefusedError(method, _text_of(message["error"]))
        result = message.get("result")
        if not isinstance(result, dict):
            raise AgentBreachError(f"codex app-server answered {method} with {excerpt(str(result))} for an object")
        return result

    async def stop(self) -> None:
        """Ends the app-server and all that it started, in any session. Idempotent."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        await self.child.end(PATIENCE)
        await self._wire.close()

    async def _send(self, message: Json) -> None:
        try:
            await self._wire.send(json.dumps(message, ensure_ascii=False))
        except ConnectionError as error:
            raise await self.death() from error

    async def death(self) -> AgentDiedError:
        """How it ended, as an error."""
        if self._stopping is None and not self._is_broken:
            await self.child.has_ended_within(EXIT_PATIENCE_S)
        return self._ended()

    def _ended(self) -> AgentDiedError:
        return AgentDiedError(f"codex app-server {ending(self.exit_code)} {self.last_words}".rstrip())

    # --- called by the wire ---

    @property
    def gave_up(self) -> bool:
        """The program has ended, or must end."""
        return self.exit_code is not None or self._stopping is not None

    def take(self, data: bytes | str) -> None:
        """Handles one raw message. Raises AgentBreachError for invalid data."""
        try:
            message = checked(read_object(data))
        except ForeignJsonError as error:
            raise AgentBreachError(f"sent {error}") from None
        if "method" not in message:
            waiting = self._waiting.get(message.get("id"))
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif "id" not in message:
            # Called later: its errors are the adapter's, and must not end the stream.
            asyncio.get_running_loop().call_soon(self._on_notification, message)
        elif message["method"] not in self._left_to_others:
            result = answer(message["method"], message.get("params"))
            self._wire.post(json.dumps({"id": message["id"], "result": result}, ensure_ascii=False))

    def lose(self, error: AgentError) -> None:
        """No more messages will come: ends all waits, once. Only the first waiter gets a breach as such."""
        if self._is_lost:
            return
        self._is_lost, self._is_broken = True, isinstance(error, AgentBreachError)
        later = self._ended() if self._is_broken else error
        pending = [waiting for waiting in self._waiting.values() if not waiting.done()]
        # After earlier notifications: a turn may have ended with one of them.
        asyncio.get_running_loop().call_soon(self._on_lost, later if pending else error)
        for number, waiting in enumerate(pending):
            waiting.set_exception(later if number else error)


class _Wire(Protocol):
    """Carries whole messages between the link and its program. `send` raises ConnectionError; `post` drops instead."""

    is_pipe: bool

    def prepare(self) -> None: ...
    def heard(self, data: bytes) -> None: ...
    def ended(self) -> None: ...
    async def open(self) -> None: ...
    async def send(self, text: str) -> None: ...
    def post(self, text: str) -> None: ...
    async def close(self) -> None: ...


class _Pipe:
    """One message per line, on the program's stdin and stdout."""

    is_pipe = True

    def __init__(self, link: CodexLink, longest: int) -> None:
        self._link = link
        self._cutter = LineCutter(longest)
        self._is_broken = False
        self._ending: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Does nothing: a pipe needs no preparation."""

    def heard(self, data: bytes) -> None:
        if self._is_broken:
            return
        try:
            for line in self._cutter.feed(data):
                self._link.take(line)
        except AgentBreachError as error:
            self._is_broken = True
            self._link.lose(AgentBreachError(f"codex app-server {error}"))

    def ended(self) -> None:
        self._ending = asyncio.get_running_loop().create_task(self._lose())

    async def _lose(self) -> None:
        self._link.lose(await self._link.death())

    async def open(self) -> None:
        """Returns immediately: the program listens from its start."""

    async def send(self, text: str) -> None:
        if self._is_broken:
            raise ConnectionError("nothing is read from it any more")
        self._link.child.write(text.encode() + b"\n")

    def post(self, text: str) -> None:
        with suppress(ConnectionError):
            self._link.child.write(text.encode() + b"\n")

    async def close(self) -> None:
        if self._ending is not None:
            await asyncio.wait((self._ending,))


class _Socket:
    """One message per WebSocket frame, over a Unix socket."""

    is_pipe = False

    def __init__(self, link: CodexLink, path: Path, longest: int) -> None:
        self._link = link
        self._longest = longest
        self._path = path
        self._line: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._posts: set[asyncio.Task[None]] = set()

    def prepare(self) -> None:
        """Removes a stale socket, which `open` could connect to before Codex replaces it."""
        self._path.unlink(missing_ok=True)

    def heard(self, data: bytes) -> None:
        """Ignores its stdout."""

    def ended(self) -> None:
        """Closes the link: a child may still hold the other end."""
        if self._line is not None:
            self._line.transport.abort()

    async def open(self) -> None:
        self._line = await self._connected()
        self._reader = asyncio.create_task(self._read(self._line))

    async def _connected(self) -> ClientConnection:
        """Retries the connection: no event reports when the program listens."""
        from websockets.asyncio.client import unix_connect
        from websockets.exceptions import WebSocketException

        try:
            async with asyncio.timeout(START_PATIENCE_S):
                while not self._link.gave_up:
                    with suppress(OSError, WebSocketException):
                        # No pings: a busy app-server is alive, and a dead one's socket closes.
                        return await unix_connect(
                            str(self._path),
                            compression=None,
                            max_size=self._longest,
                            ping_interval=None,
                            open_timeout=None,
                        )
                    await asyncio.sleep(LOOK_INTERVAL_S)
        except TimeoutError as error:
            raise AgentDiedError(f"codex app-server did not listen within {START_PATIENCE_S:.0f} s") from error
        raise await self._link.death()

    async def _read(self, line: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed
        from websockets.frames import CloseCode

        breach: AgentBreachError | None = None
        try:
            async for frame in line:
                self._link.take(frame)
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code == CloseCode.MESSAGE_TOO_BIG:
                breach = too_long(self._longest)
        except AgentBreachError as error:
            breach = error
        finally:  # also for a bug of ours: all waits must end
            told = AgentBreachError(f"codex app-server {breach}") if breach else await self._link.death()
            self._link.lose(told)

    async def send(self, text: str) -> None:
        from websockets.exceptions import ConnectionClosed

        if self._line is None:
            raise ConnectionError("it is not connected")
        try:
            await self._line.send(text)
        except (ConnectionClosed, OSError) as error:
            raise ConnectionError(str(error)) from error

    def post(self, text: str) -> None:
        task = asyncio.get_running_loop().create_task(self._post(text))
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def _post(self, text: str) -> None:
        with suppress(ConnectionError):
            await self.send(text)

    async def close(self) -> None:
        if self._line is not None:
            self._line.transport.abort()  # the other end is gone: there is no handshake to wait for
        if self._reader is not None:
            await asyncio.wait((self._reader, *self._posts))
        self._path.unlink(missing_ok=True)


def _text_of(error: object) -> str:
    return str(error.get("message", "")) if isinstance(error, dict) else str(error)
