"""The bridge's MCP endpoint, over its real port: heads, bodies and JSON-RPC of unknown clients and of agents with a
token.

Some connections are left open and silent. Good work: an agent with a token is answered, beside all of them.
"""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

from actors.edges.mcp_endpoint import McpEndpoint
from actors.edges.mcp_tools import Tools
from actors.errors import UserError
from actors.settings import Role
from fuzz_surfaces import inputs as make
from fuzz_surfaces.oracle import Failed
from fuzz_surfaces.surface import ANSWER_S, Surface

TOKENS: dict[Role, str] = {"worker": "token-of-the-worker", "reviewer": "token-of-the-reviewer"}
METHODS = ("initialize", "tools/list", "tools/call", "ping", "notifications/initialized", "resources/list", "x")
TOOLS = ("send_message", "bridge_status", "receive_messages", "shout")
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28", "1999-01-01")
PATHS = (
    b"/mcp",
    b"/mcp/",
    b"/",
    b"//",
    b"/mcp?x=1",
    b"*",
    b"http://127.0.0.1/mcp",
    b"/%00",
    b"/\xff",
    b"/" + b"a" * 5_000,
)
VERBS = (b"GET", b"DELETE", b"OPTIONS", b"HEAD", b"PUT", b"CONNECT", b"PRI", b"", b"\xff", b"POST" * 50)
OPEN = 16  # silent connections that are open at the same time


class McpSurface(Surface):
    """See the module."""

    name = "mcp"
    batch = 16
    settle_each = 480

    def open(self) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(128)
        self.address = self.socket.getsockname()
        self.crashes: list[BaseException] = []
        self.idle: deque[socket.socket] = deque()
        tools = Tools(send_message=_send, bridge_status=_status, receive_messages=_status)
        self.endpoint = McpEndpoint(self.socket.fileno(), TOKENS, tools, self.crashes.append)
        self.endpoint.start()
        self.settle()

    def make(self, rng: Random) -> tuple[bool, bytes]:
        """Whether the connection is left open, and what is sent."""
        how = rng.random()
        body = self._body(rng)
        if how < 0.05:
            return rng.random() < 0.5, make.noise(rng)
        sent = self._request(rng, body)
        if how < 0.25:
            sent = make.mutated_bytes(rng, sent)
        return how > 0.98, sent[: rng.randrange(len(sent) + 1)] if how > 0.98 else sent

    def _body(self, rng: Random) -> bytes:
        method = rng.choice(METHODS) if rng.random() < 0.4 else "tools/call"
        parameters: dict[str, Any] = {"_meta": {}}
        if method == "tools/call":
            arguments = {"target": "claude", "message": rng.choice(("hi", make.text(rng)))}
            parameters = {"name": rng.choice(TOOLS), "arguments": arguments}
        elif method == "initialize":
            client = {"name": "fuzz", "version": "1"}
            parameters = {"protocolVersion": rng.choice(VERSIONS), "capabilities": {}, "clientInfo": client}
        tree: Any = {"jsonrpc": "2.0", "id": rng.choice((1, "a", 2**63, None)), "method": method, "params": parameters}
        if rng.random() < 0.05:
            tree = [tree] * rng.choice((0, 1, 3))
        return make.encoded(rng, tree, lambda each: make.as_json(rng, each))

    def _request(self, rng: Random, body: bytes) -> bytes:
        verb = b"POST" if rng.random() < 0.93 else rng.choice(VERBS)
        path = b"/mcp" if rng.random() < 0.93 else rng.choice(PATHS)
        headers = [
            (b"Host", b"127.0.0.1:%d" % self.address[1]),
            (b"Content-Type", b"application/json"),
            (b"Accept", b"application/json, text/event-stream"),
        ]
        if rng.random() < 0.75:
            headers.append((b"Authorization", b"Bearer " + TOKENS["worker"].encode()))
        if rng.random() < 0.3:
            headers.append((b"MCP-Protocol-Version", rng.choice(VERSIONS).encode()))
        if rng.random() < 0.1:
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in _parts(rng, body)) + b"0\r\n\r\n"
            headers.append((b"Transfer-Encoding", b"chunked"))
        else:
            lengths = (0, len(body) + 7, 2**63, -1, 11_000_000, "x", "")
            length = len(body) if rng.random() < 0.95 else rng.choice(lengths)
            headers.append((b"Content-Length", str(length).encode()))
        if rng.random() < 0.15:
            _spoil(rng, headers)
        head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return verb + b" " + path + b" HTTP/1.1\r\n" + head + b"\r\n" + body

    def feed(self, inputs: Sequence[tuple[bool, bytes]]) -> None:
        waiting = []
        for stays, sent in inputs:
            connection = socket.create_connection(self.address, timeout=ANSWER_S)
            with suppress(OSError):  # it may have refused before all was sent
                connection.sendall(sent)
            if stays:
                self.idle.append(connection)
                continue
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            waiting.append((connection, sent))
        while len(self.idle) > OPEN:
            self.idle.popleft().close()
        for connection, sent in waiting:
            with connection:
                self._check(_read(connection), sent)
        if self.crashes:
            raise Failed(f"the endpoint ended: {self.crashes.pop()!r}")

    def _check(self, answer: bytes, sent: bytes) -> None:
        if not answer:
            return
        status = answer[9:12]
        if not answer.startswith(b"HTTP/1.1 ") or not status.isdigit():
            raise Failed(f"it answers {answer[:100]!r}")
        if status >= b"500" or b"failed at this call" in answer:
            raise Failed(f"it answers {answer.partition(chr(10).encode())[0]!r} to {sent[:200]!r}")

    def settle(self) -> None:
        for tool, said in (("bridge_status", b"all is well"), ("send_message", b"queued")):
            call = {"name": tool, "arguments": {"target": "claude", "message": "hello"}}
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode()
            head = (
                f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{self.address[1]}\r\nContent-Type: application/json\r\n"
                f"Accept: application/json, text/event-stream\r\nAuthorization: Bearer {TOKENS['reviewer']}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            with socket.create_connection(self.address, timeout=ANSWER_S) as connection:
                connection.sendall(head.encode() + body)
                answer = _read(connection)
            if not answer.startswith(b"HTTP/1.1 200") or said not in answer:
                raise Failed(f"a good call is answered with {answer[:300]!r}")

    def close(self) -> None:
        for connection in self.idle:
            connection.close()
        self.endpoint.stop()
        self.socket.close()


def _read(connection: socket.socket) -> bytes:
    """Reads until the other side closes."""
    found = bytearray()
    try:
        while data := connection.recv(1 << 16):
            found += data
    except TimeoutError:
        raise Failed(f"no end of the answer within {ANSWER_S:g} s") from None
    except ConnectionError:
        pass
    return bytes(found)


def _send(_caller: Role, target: str, message: str) -> str:
    """Encodes the message, as the bridge does."""
    if target != "claude":
        raise UserError(f"target {target!r} is unknown")
    message.encode()
    return "queued, id 1"


def _status(_caller: Role) -> str:
    return "all is well"


def _parts(rng: Random, body: bytes) -> list[bytes]:
    size = rng.choice((1, 7, 1_000))
    return [body[start : start + size] for start in range(0, min(len(body), 5_000), size)]


def _spoil(rng: Random, headers: list[tuple[bytes, bytes]]) -> None:
    """Changes one header, or adds one."""
    odd: Sequence[Callable[[], tuple[bytes, bytes]]] = (
        lambda: (b"Origin", b"http://evil.example"),
        lambda: (b"Host", b"evil.example"),
        lambda: (b"Content-Length", b"3"),
        lambda: (b"Transfer-Encoding", b"gzip, chunked"),
        lambda: (b"Expect", b"100-continue"),
        lambda: (b"Upgrade", b"h2c"),
        lambda: (b"Connection", b"upgrade"),
        lambda: (b"Mcp-Session-Id", make.text(rng).encode("utf-8", "replace").translate(None, b"\r\n")[:1_000]),
        lambda: (b"X" * rng.choice((1, 70_000)), b"y"),
        lambda: (b"Authorization", rng.choice((b"Bearer", b"Bearer \xff", b"Basic eDp5", b"Bearer x" * 2_000))),
        lambda: (b"Last-Event-ID", b"1"),
        lambda: (b"Content-Encoding", b"gzip"),
        lambda: (b"Content-Type", rng.choice((b"text/plain", b"application/json; charset=utf-16", b"\xff"))),
        lambda: (b"Accept", rng.choice((b"*/*", b"", b"text/html", b"application/json;q=x"))),
    )
    found = rng.choice(odd)()
    if rng.random() < 0.5:
        headers.append(found)
    else:
        headers[rng.randrange(len(headers))] = found
