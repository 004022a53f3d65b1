"""A stand-in for the bridge: an MCP server of one tool, which keeps the calls of an agent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Mcp(BaseHTTPRequestHandler):
    """A stateless MCP server with the one tool that the scenario calls."""

    server: Any

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.calls.append((request["method"], self.headers["authorization"], request.get("params")))
        match request["method"]:
            case "initialize":
                version = request["params"]["protocolVersion"]
                info = {"name": "loop-bridge", "version": "1"}
                self._answer(request, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
            case "tools/list":
                schema = {"type": "object", "properties": {"target": {"type": "string"}, "message": {"type": "string"}}}
                tool = {"name": "send_message", "description": "sends", "inputSchema": schema}
                self._answer(request, {"tools": [tool]})
            case "tools/call":
                self._answer(request, {"content": [{"type": "text", "text": "queued as 7"}]})
            case _ if "id" in request:
                error = {"code": -32601, "message": "no such method"}
                self._send(200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode())
            case _:
                self._send(202, b"")

    def do_GET(self) -> None:
        self._send(405, b"")

    def _answer(self, request: dict[str, Any], result: dict[str, Any]) -> None:
        self._send(200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def mcp_server() -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Mcp)
    server.calls = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/mcp", server.calls
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
