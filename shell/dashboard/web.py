"""`loop dashboard --web`: the same application in a browser on this machine, through textual's own server.

Access needs the printed address, which holds a secret of this start. Other users of the machine can reach the loopback
too. Without the secret they get a 404 at the door (edges/doorkeeper), which bounds their connections in number and
time. The secret is in the path and not in a cookie, since cookies go to all ports of a host. The page may load nothing
from elsewhere and sends no Referer, so the address does not leak. Requests under a foreign name (a page whose name
resolves to 127.0.0.1) and web sockets opened by foreign pages are refused as well.

Runs in the main thread until a signal; each open page is a process of its own (`python -m shell.dashboard`), which
ends with its page, and with this one: its standard input is a pipe from here.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import shlex
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from actors.errors import UserError
from shell import output

MOST_PAGES = 20  # at once; each is a process
HOST = "127.0.0.1"
HEADERS = {
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # textual's page has its script and style inline, and would load a font from elsewhere although it ships it.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:; connect-src 'self' ws://{host}",
}


def serve(port: int) -> int:
    """Serves on this port, or on a free one for 0. Raises `UserError` when it cannot."""
    try:
        from aiohttp import web
        from textual_serve.server import Server
    except ImportError as error:
        raise UserError(f"--web needs the extra [web] ({error}): pip install 'pairloop[web]'") from error

    from actors.edges.doorkeeper import Doorkeeper

    pages = asyncio.Semaphore(MOST_PAGES)
    listening = _listen(port)
    host = f"{HOST}:{listening.getsockname()[1]}"
    secret = secrets.token_urlsafe(32)
    command = shlex.join([sys.executable, "-P", "-m", "shell.dashboard"])

    class Behind(Server):
        """textual's server, below the secret. It is silent, since it would print an address without the secret."""

        async def on_startup(self, app: web.Application) -> None:
            """Prints nothing: see the class."""

        async def inner(self) -> web.Application:
            """The application that is served below the secret."""
            return await self._make_app()

        async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
            """One page, from its connection to its end."""
            if pages.locked():
                raise web.HTTPServiceUnavailable(text=f"{MOST_PAGES} pages are open: close one")
            async with pages:
                return await super().handle_websocket(request)

        async def _process_messages(self, websocket: web.WebSocketResponse, app_service: Any) -> None:
            try:
                await super()._process_messages(websocket, app_service)
            finally:  # textual would ask the process to quit, and wait; it has nothing to save
                with suppress(ProcessLookupError):
                    app_service._process.kill()  # noqa: SLF001 - textual-serve 1.1 has no name for it

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if request.headers.get("Host") != host or origin not in (None, f"http://{host}"):
            raise web.HTTPForbidden(text=f"only http://{host} is served here")
        return await handler(request)

    async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
        for name, value in HEADERS.items():
            response.headers[name] = value.format(host=host)

    prefix = f"/{secret}/".encode()

    def admits(head: bytes) -> bytes | None:
        path = [*head.split(b" ", 2), b"", b""][1]
        return None if hmac.compare_digest(path[: len(prefix)], prefix) else _NOT_FOUND

    async def application() -> web.Application:
        server = Behind(f"exec {command}", HOST, title="loop dashboard", public_url=f"http://{host}")
        outer = web.Application(middlewares=[guard])
        outer.add_subapp(f"/{secret}", await server.inner())
        outer.on_response_prepare.append(add_headers)
        return outer

    output.say(f"[loop] dashboard: http://{host}/{secret}/")
    output.say("[loop] anyone with this address can see everything; press Ctrl-C to end it")

    async def run() -> None:
        runner = web.AppRunner(await application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        assert runner.server is not None
        door = Doorkeeper(listening, admits, runner.server, "the dashboard's port")
        door.open()
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await ended.wait()
        door.stop_listening()
        door.close()
        await runner.cleanup()

    asyncio.run(run())
    return 0


_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(1_024)  # before the address is printed
    except OSError as error:
        listening.close()
        raise UserError(
            f"cannot listen on port {port} ({(error.strerror or str(error)).lower()}): give another one, or no --port"
        ) from error
    return listening
