"""What a client of `loop acp` sends: lines of JSON-RPC, from the bytes of the pipe on.

The library's connection, the filter of lines and the agent are the real ones; no run starts. Each answer is a line of
JSON-RPC. After every input the agent still answers `initialize`, which is the good work. The library logs what it
refuses (`loop acp` prints that in one line): only an error from our own code is a failure.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Sequence
from random import Random
from typing import Any, cast

from acp import AgentSideConnection, RequestError

from actors.errors import UserError
from fuzz_surfaces import inputs as make
from fuzz_surfaces.oracle import Failed, described
from fuzz_surfaces.surface import ANSWER_S, Surface
from shell.acp import agent as acp_agent
from shell.acp import server

LIMIT = 1 << 22  # bytes of a line: the library's own is larger, and no input here is
METHODS = (
    *("initialize", "authenticate", "session/new", "session/load", "session/list", "session/prompt", "session/cancel"),
    *("session/close", "session/set_mode", "session/resume", "fs/read_text_file", "$/cancel_request", "_x/y", "x", ""),
)


def is_ours(record: logging.LogRecord) -> bool:
    """Whether the error of the record comes from our own code."""
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and not isinstance(error, RequestError) and " at " in described(error, "")[0]


class AcpClientSurface(Surface):
    """See the module."""

    name = "acp-client"
    batch = 16
    settle_each = 480

    def open(self) -> None:
        acp_agent.reserve = _refuse  # type: ignore[assignment, attr-defined]
        logging.getLogger().addFilter(is_ours)
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._unhandled)
        self.asked = 0
        self.loop.run_until_complete(self._connect())
        self.settle()

    def _unhandled(self, _loop: object, context: dict[str, Any]) -> None:
        self.watch.note(context.get("exception"), f"unhandled in the loop: {context.get('message')}"[:200])

    async def _connect(self) -> None:
        ours, theirs = socket.socketpair()
        raw, writer = await asyncio.open_connection(sock=theirs, limit=LIMIT)
        self.answers, self.client = await asyncio.open_connection(sock=ours, limit=LIMIT)
        reader = asyncio.StreamReader(limit=LIMIT)
        agent = acp_agent.LoopAgent([])
        connection = AgentSideConnection(
            cast("Any", agent), writer, reader, listening=False, use_unstable_protocol=True
        )
        self.tasks = [
            self.loop.create_task(server._read_objects(raw, reader)),
            self.loop.create_task(connection.listen()),
        ]

    def make(self, rng: Random) -> bytes:
        """One line."""
        place = rng.choice(("/", str(self.folder), "relative", "/nowhere", make.text(rng)))
        parameters: dict[str, Any] = {
            "protocolVersion": rng.choice((1, 0, 2, 65_536)),
            "cwd": place,
            "mcpServers": rng.choice(([], [{"name": "x", "command": "x", "args": [], "env": []}])),
            "sessionId": rng.choice(("a/1", "1", "", make.text(rng))),
            "prompt": [{"type": "text", "text": make.text(rng)}],
        }
        tree: Any = {
            "jsonrpc": "2.0",
            "id": rng.choice((1, "a", 2**63, None, 1.5)),
            "method": rng.choice(METHODS),
            "params": parameters,
        }
        if rng.random() < 0.1:
            tree = {"jsonrpc": "2.0", "id": rng.choice((0, 1, "x")), rng.choice(("result", "error")): make.value(rng)}
        return make.encoded(rng, tree, lambda each: make.as_json(rng, each)) + b"\n"

    def feed(self, inputs: Sequence[bytes]) -> None:
        self.loop.run_until_complete(self._send(b"".join(inputs)))

    def settle(self) -> None:
        self.loop.run_until_complete(self._send(b""))

    async def _send(self, lines: bytes) -> None:
        self.asked += 1
        mark = f"good-{self.asked}"
        good = {"jsonrpc": "2.0", "id": mark, "method": "initialize", "params": {"protocolVersion": 1}}
        self.client.write(lines + json.dumps(good).encode() + b"\n")
        try:
            async with asyncio.timeout(ANSWER_S):
                while not self._is_the_answer(await self.answers.readline(), mark):
                    pass
        except TimeoutError:
            raise Failed(f"initialize is not answered within {ANSWER_S:g} s") from None

    def _is_the_answer(self, line: bytes, mark: str) -> bool:
        if not line:
            raise Failed("the connection has ended")
        answer = json.loads(line)
        if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
            raise Failed(f"it sends {line[:200]!r}")
        if answer.get("id") != mark:
            return False
        if answer.get("result", {}).get("protocolVersion") != 1:
            raise Failed(f"initialize is answered with {line[:200]!r}")
        return True

    def reopen(self) -> None:
        self.loop.run_until_complete(self._end())
        self.loop.run_until_complete(self._connect())

    async def _end(self) -> None:
        self.client.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def close(self) -> None:
        self.loop.run_until_complete(self._end())
        self.loop.close()


async def _refuse(_words: object, place: object) -> Any:
    raise UserError(f"{place}: no run starts here")
