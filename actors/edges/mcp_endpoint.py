"""The MCP server `loop-bridge`: three tools for the two agents, over HTTP on an inherited loopback socket.

Runs an asyncio loop in a thread of its own. The tools are plain functions, called in a thread pool, and may block. It
knows no actors and decides nothing: the tools do.

Requests are independent: no session, no stream to the client (a GET is refused, as the protocol allows), and one
connection per request. So no client holds a connection to a dead server. Requests during a restart wait in the backlog
of the socket, which the parent keeps open. Only a call in progress when the process dies breaks.

A call is carried out only while its caller holds the connection. A call from the backlog may come from a program that
was killed meanwhile: its successor repeats the call, and the bridge could not recognise the repetition.

Any user of this machine can reach the port: connections without a valid token are few, short and cheap (doorkeeper). A
body is read whole before it is served, within `BODY_S` and `MAX_BODY_BYTES`.

The bearer token alone identifies the caller. Requests for another host than this loopback address, and requests of web
pages (they carry an Origin), are refused. So DNS rebinding to 127.0.0.1 does not work.

Importing this module takes about a second, mostly for the types of `mcp` (2.3.0): only the bridge does it.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

import mcp_types as types
import uvicorn
from anyio import to_thread
from loguru import logger
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.access import BRIDGE_PATH, bridge_url
from actors.edges.mcp_server import BODY_S, MAX_BODY_BYTES, GuardedServer, closing, has_closed, once, whole_body
from actors.edges.mcp_tools import INSTRUCTIONS, Tools, list_tools, work
from actors.errors import LoopError, OperationalError, ProtocolError, UserError
from actors.settings import Role
from actors.text import mended_json

CALLER = "loop.caller"  # our key in the ASGI scope

MOST_SERVED = 256  # concurrent requests of our agents

START_PATIENCE_S = 10.0
STOP_PATIENCE_S = 1.0  # for calls in progress to end; the whole actor has less than 3 s

_REFUSED = b'{"error": "invalid_token", "error_description": "a bearer token of this run is needed"}'
_REFUSAL = (
    b"HTTP/1.1 401 Unauthorized\r\n"
    b'www-authenticate: Bearer error="invalid_token"\r\n'
    b"content-type: application/json\r\n"
    b"content-length: %d\r\n"
    b"connection: close\r\n\r\n" % len(_REFUSED)
) + _REFUSED


_NOT_ALLOWED = b"HTTP/1.1 405 Method Not Allowed\r\nallow: POST\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class McpEndpoint:
    """The server on one listening socket. `start` once, `stop` once.

    `listen_fd` remains the caller's: it is duplicated, and never closed or shut down here. `tokens`: by role.
    `crashed` is called, in the endpoint's thread, when the server ends without a `stop`.
    """

    def __init__(
        self, listen_fd: int, tokens: Mapping[Role, str], tools: Tools, crashed: Callable[[BaseException], object]
    ) -> None:
        self._socket = socket.socket(fileno=socket.dup(listen_fd))
        host, self._port = self._socket.getsockname()[:2]
        if not ipaddress.ip_address(host).is_loopback:
            self._socket.close()
            raise ProtocolError(f"the bridge listens on loopback addresses only, not on {host}")
        self._tokens = {role: token.encode() for role, token in tokens.items()}
        self._tools = tools
        self._callers: set[Role] = set()  # so far
        self._crashed = crashed
        self._started = threading.Event()
        self._failure: BaseException | None = None
        config = uvicorn.Config(
            self._app(),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_SERVED,
            timeout_graceful_shutdown=int(STOP_PATIENCE_S),
        )
        self._server = GuardedServer(config, self._started, self._admits)
        self._thread = threading.Thread(target=self._run, name="mcp-endpoint", daemon=True)

    @property
    def url(self) -> str:
        """The URL for the agents."""
        return bridge_url(self._port)

    def start(self) -> None:
        """Returns when calls are served. Raises OperationalError when the server cannot start."""
        for library in ("mcp", "uvicorn"):  # both say several lines about each request
            logging.getLogger(library).setLevel(logging.WARNING)
        self._thread.start()
        if not self._started.wait(START_PATIENCE_S) or self._failure is not None:
            raise OperationalError(f"the MCP endpoint did not start: {self._failure!r}")

    def stop(self) -> None:
        """Gives calls in progress a moment to end, then returns. New ones wait in the backlog."""
        self._server.stop()
        self._thread.join(2 * STOP_PATIENCE_S)

    # --- in the endpoint's thread ---

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        except BaseException as error:  # uvicorn ends with SystemExit when it cannot start
            self._failure = error
        finally:
            asked = self._server.should_exit
            if self._failure is None and not asked:
                self._failure = RuntimeError("the server has ended")
            was_serving = self._started.is_set()
            self._started.set()
            if was_serving and self._failure is not None:
                self._crashed(self._failure)

    def _app(self) -> ASGIApp:
        server: Server[Any] = Server(
            "loop-bridge", instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=self._call_tool
        )
        inner = server.streamable_http_app(
            streamable_http_path=BRIDGE_PATH,
            max_request_body_size=MAX_BODY_BYTES,
            json_response=True,
            stateless_http=True,
            transport_security=TransportSecuritySettings(
                allowed_hosts=[f"{host}:*" for host in ("127.0.0.1", "localhost", "[::1]")]
            ),
        )

        async def guard(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await inner(scope, receive, send)
                return
            answer = closing(send)
            role = self._role(dict(scope["headers"]).get(b"authorization", b""))
            if role is None:  # the door has seen a token in another line
                await Response(status_code=401)(scope, receive, answer)
                return
            if role not in self._callers:
                self._callers.add(role)
                self._tools.came(role)
            if (body := await whole_body(receive)) is None:
                text = f"a request has at most {MAX_BODY_BYTES} bytes, and comes within {BODY_S:g} s"
                await JSONResponse({"error": text}, 413)(scope, receive, answer)
            else:
                await inner({**scope, CALLER: role}, once(mended_json(body), receive), answer)

        return guard

    def _admits(self, head: bytes) -> bytes | None:
        """For the doorkeeper: admits a POST with a token of this run. Its other headers are checked later.

        The server fails at a HEAD with an invalid body, as it answers with a body of its own.
        """
        for line in head.split(b"\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"authorization" and self._role(value.strip()) is not None:
                return None if head.startswith(b"POST ") else _NOT_ALLOWED
        return _REFUSAL

    def _role(self, authorization: bytes) -> Role | None:
        scheme, _, token = authorization.partition(b" ")
        found = [role for role, known in self._tokens.items() if hmac.compare_digest(known, token.strip())]
        return found[0] if found and scheme.lower() == b"bearer" else None

    async def _call_tool(
        self, context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        assert context.request is not None
        caller: Role = context.request.scope[CALLER]
        if self._has_hung_up(context.request.scope["client"]):
            logger.info("{} of the {} is not carried out: its caller is gone", params.name, caller)
            raise MCPError(types.INTERNAL_ERROR, "nothing was done: the caller has closed the connection")
        try:
            text = await to_thread.run_sync(work(self._tools, caller, params))
        except UserError as error:
            raise MCPError(types.INVALID_PARAMS, str(error)) from error
        except LoopError as error:
            logger.error("{} of the {} failed: {}", params.name, caller, error)
            raise MCPError(types.INTERNAL_ERROR, str(error)) from error
        except Exception as error:  # a bug of ours; one era of the protocol would show its text to the agent
            logger.exception("{} of the {} failed", params.name, caller)
            raise MCPError(types.INTERNAL_ERROR, "the bridge failed at this call; its log says how") from error
        return types.CallToolResult(content=[types.TextContent(text=text)])

    def _has_hung_up(self, client: tuple[str, int]) -> bool:
        for link in self._server.server_state.connections:
            if link.client == client:  # type: ignore[union-attr] # all are of h11; our clients have a port each
                return has_closed(link.transport)
        return True
