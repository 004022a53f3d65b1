"""The HTTP server below the MCP endpoint: uvicorn behind a doorkeeper, and the bounds of one request.

Runs in the endpoint's asyncio loop. Knows no tools and no tokens.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import suppress
from email.utils import formatdate

import h11
import uvicorn
from starlette.types import Message, Receive, Send

from actors.edges.doorkeeper import Admits, Doorkeeper

MAX_BODY_BYTES = 10 * 1024 * 1024
BODY_S = 30.0
# Bytes of an oversized body that are discarded before the refusal: a client reads the answer after sending everything.
DISCARDED_BYTES = 20 * MAX_BODY_BYTES


class GuardedServer(uvicorn.Server):
    """Uvicorn behind a doorkeeper, which says when it has started, and ends by `stop` alone.

    Uvicorn's own server looks ten times a second whether it is to end, and waits a tenth of a second at its end.
    """

    def __init__(self, config: uvicorn.Config, started: threading.Event, admits: Admits) -> None:
        super().__init__(config)
        self._is_up = started
        self._admits = admits
        self._over = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Has the server end. Any thread."""
        self.should_exit = True
        if self._loop is not None:  # else it ends as soon as it has started
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._over.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts with one listening socket, which the doorkeeper gets."""
        self._loop = asyncio.get_running_loop()
        await super().startup([])  # it listens to nothing: connections come from the doorkeeper
        assert sockets is not None
        (listening,) = sockets
        self._door = Doorkeeper(listening, self._admits, self._protocol, "the bridge's port")
        self._door.open()
        self._is_up.set()

    async def main_loop(self) -> None:
        """Waits for `stop`."""
        if not self.should_exit:
            await self._over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts nothing more, and ends when the open requests have: at once, when there are none."""
        self._door.stop_listening()
        if self._door.is_empty and not self.server_state.connections and not self.server_state.tasks:
            for listening in sockets or ():
                listening.close()
            await self.lifespan.shutdown()
        else:
            await super().shutdown(sockets)
        self._door.close()

    def _protocol(self) -> asyncio.Protocol:
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode()), *self.config.encoded_headers]
        made = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        assert isinstance(made, asyncio.Protocol)
        return made


def has_closed(transport: asyncio.Transport) -> bool:
    """Whether the peer has closed, even if the event loop has not read that yet. Call it in the loop's thread."""
    if transport.is_closing():
        return True
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as link:
        try:
            return link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


async def whole_body(receive: Receive) -> bytes | None:
    """The body; None when it is too long or slow, or its sender is gone. An oversized one is discarded first."""
    parts: list[bytes] = []
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(BODY_S):
            while size <= DISCARDED_BYTES:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                size += len(part := message.get("body", b""))
                if size <= MAX_BODY_BYTES:
                    parts.append(part)
                else:
                    parts.clear()
                if not message.get("more_body", False):
                    return b"".join(parts) if size <= MAX_BODY_BYTES else None
    return None


def once(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body as one message, then the client's disconnect."""
    left = [body]

    async def received() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

    return received


def closing(send: Send) -> Send:
    """Closes the connection after one request, as mcp_endpoint says."""

    async def send_closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message.get("headers", []) if pair[0].lower() != b"connection"]
            message = {**message, "headers": [*headers, (b"connection", b"close")]}
        # The server itself has answered an invalid body, and the connection accepts nothing more.
        with suppress(h11.LocalProtocolError):
            await send(message)

    return send_closing
