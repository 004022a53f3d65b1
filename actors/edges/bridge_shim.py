"""The bridge as a stdio MCP server, for agents that use no MCP servers over HTTP: every agent supports stdio.

`python -I -S -c …` (see `command`): a program of its own that the agent starts and ends. It hands each JSON-RPC line of
the agent to the bridge by one POST (mcp_endpoint: no session, one connection per request) and writes the answer back as
one line. Address and token are in its environment. It uses only a little of the standard library, since the agent waits
for it. It prints nothing but answers, and ends with its stdin.

*While the bridge restarts*, a new call waits in the backlog of the socket. A call whose connection breaks is resent, as
the agent might do: the bridge recognises the repeated call for `mail.DOUBT_MS`, so `PATIENCE_S` is less. A call that
breaks `MOST_TRIES` connections fails: it may be what ends the bridge.

Lines are foreign: a line that is not JSON, or over `MAX_LINE_BYTES`, is answered with an error.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from actors.text import ForeignJsonError, read_json, read_object

URL_VARIABLE = "LOOP_BRIDGE_URL"
TOKEN_VARIABLE = "LOOP_BRIDGE_TOKEN"  # noqa: S105 - the variable's name, not the token

MAX_LINE_BYTES = 10 * 1024 * 1024  # as much as the bridge takes
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MOST_AT_ONCE = 16  # calls in progress; the next line is read when one is answered
PATIENCE_S = 100.0  # for one call with all its tries
MOST_TRIES = 3  # connections that break while the call is served
REFUSED_PATIENCE_S = 3.0  # the root keeps the port open while the bridge is replaced: refused is the run's end
PAUSE_S = 0.2
_ENDS_KEPT = 4096  # bytes at both ends of a line that is too long: its id is there

PARSE_ERROR, INVALID_REQUEST, INTERNAL_ERROR = -32700, -32600, -32603
_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_ID = rb'"id"\s*:\s*(-?\d{1,18}|"(?:[^"\\]|\\.)*")'
_ID_AT_THE_HEAD = re.compile(rb'\A\s*\{\s*(?:"jsonrpc"\s*:\s*"[^"]*"\s*,\s*)?' + _ID)
_ID_AT_THE_END = re.compile(_ID + rb"\s*\}\s*\Z")


def command() -> tuple[str, list[str]]:
    """Program and arguments. Works from any directory and with any environment: it imports nothing from either."""
    own = f"import sys; sys.path.append({str(Path(__file__).parents[2])!r}); from {__name__} import main; main()"
    return sys.executable, ["-I", "-S", "-c", own]


class BridgeGoneError(Exception):
    """The call cannot reach the bridge; the text is for the agent."""


class Shim:
    """Serves one agent: lines in, answers out. `address`: host, port and path of the bridge."""

    def __init__(self, address: tuple[str, int, str], token: str, out: int) -> None:
        self._host, self._port, self._path = address
        self._token = token
        self._out = out
        self._writing = threading.Lock()
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._version = ""  # of the protocol, as agreed upon by `initialize`

    def serve(self, lines: BinaryIO) -> None:
        """Returns at the end of the input, even with calls in progress: no client is left to answer."""
        while line := lines.readline(MAX_LINE_BYTES + 1):
            if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                self._refuse_long(line, lines)
            elif line.strip():
                self._slots.acquire()
                threading.Thread(target=self._take, args=[line], daemon=True).start()

    def _refuse_long(self, line: bytes, lines: BinaryIO) -> None:
        head, tail = line[:_ENDS_KEPT], line[-_ENDS_KEPT:]
        while not tail.endswith(b"\n") and (more := lines.readline(65_536)):
            tail = (tail + more)[-_ENDS_KEPT:]
        found = _ID_AT_THE_HEAD.search(head) or _ID_AT_THE_END.search(tail)
        self._fail(
            read_json(found[1]) if found else None, INVALID_REQUEST, f"a message has at most {MAX_LINE_BYTES} bytes"
        )

    def _take(self, line: bytes) -> None:
        try:
            self._serve_one(line)
        except OSError:
            os._exit(0)  # the agent does not read answers any more
        finally:
            self._slots.release()

    def _serve_one(self, line: bytes) -> None:
        try:
            message = read_object(line)
        except ForeignJsonError as error:
            self._fail(None, PARSE_ERROR, str(error))
            return
        asked = message.get("id") is not None and not message.keys() & {"result", "error"}
        try:
            status, body = self._bring(self._request(line.strip(), message))
        except BridgeGoneError as error:
            if asked:
                self._fail(message["id"], INTERNAL_ERROR, str(error))
            return
        if not asked:
            return
        if status != 200 and not _is_answer(body, message["id"]):
            said = body[:500].decode("utf-8", "replace")
            self._fail(message["id"], INTERNAL_ERROR, f"the bridge refused this with status {status}: {said}")
            return
        if message.get("method") == "initialize":
            self._learn_version(body)
        self._write(body)

    def _learn_version(self, body: bytes) -> None:
        result = read_object(body).get("result")
        version = result.get("protocolVersion") if isinstance(result, dict) else None
        self._version = version if isinstance(version, str) else ""

    # --- to the agent ---

    def _fail(self, message_id: object, code: int, text: str) -> None:
        error = {"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": text}}
        self._write(json.dumps(error).encode())

    def _write(self, body: bytes) -> None:
        rest = memoryview(body.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")
        with self._writing:
            while rest:
                rest = rest[os.write(self._out, rest) :]

    # --- to the bridge ---

    def _request(self, body: bytes, message: dict[str, Any]) -> bytes:
        headers = {
            "Host": f"{self._host}:{self._port}",
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **_protocol_headers(message, self._version),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {self._path} HTTP/1.1\r\n{head}\r\n".encode() + body

    def _bring(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises BridgeGoneError."""
        began = time.monotonic()
        tries = 0
        while True:
            left = PATIENCE_S - (time.monotonic() - began)
            try:
                status, body = self._post(request, left)
            except TimeoutError:
                raise BridgeGoneError(
                    f"the bridge gave no answer within {PATIENCE_S:g} s; it may still be done: look at bridge_status "
                    "before you call again"
                ) from None
            except ConnectionRefusedError:
                if time.monotonic() - began > REFUSED_PATIENCE_S:
                    raise BridgeGoneError("the bridge is gone: the run that it belonged to is over") from None
            except OSError as error:
                tries += 1
                if tries == MOST_TRIES:
                    raise BridgeGoneError(f"the way to the bridge broke {tries} times at this call: {error}") from None
            else:
                if status != 503:  # served too many at once, and not this one
                    return status, body
            time.sleep(PAUSE_S)

    def _post(self, request: bytes, patience_s: float) -> tuple[int, bytes]:
        """One attempt. Raises TimeoutError, ConnectionRefusedError, and any other OSError for a truncated answer."""
        ends_at = time.monotonic() + patience_s
        with socket.create_connection((self._host, self._port), timeout=max(PAUSE_S, patience_s)) as link:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had all
                link.sendall(request)
            answer = bytearray()
            while len(answer) <= MAX_ANSWER_BYTES:
                link.settimeout(max(PAUSE_S, ends_at - time.monotonic()))
                if not (more := link.recv(262_144)):
                    break
                answer += more
        return _read_answer(bytes(answer))


def _read_answer(answer: bytes) -> tuple[int, bytes]:
    head, ended, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    words = first.split()
    length = fields.get(b"content-length", b"0" if not body else b"")
    if not ended or len(words) < 2 or not words[1].isdigit() or not length.isdigit() or len(body) != int(length):
        raise ConnectionResetError("the answer broke off")
    return int(words[1]), body


def _is_answer(body: bytes, message_id: object) -> bool:
    """Whether it is a JSON-RPC answer to this call, which some refusals are."""
    try:
        return read_object(body).get("id") == message_id
    except ForeignJsonError:
        return False


def _protocol_headers(message: dict[str, Any], agreed: str) -> dict[str, str]:
    """The HTTP headers of the message: the protocol's newest versions repeat parts of it there."""
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    version = meta.get(_VERSION_KEY) if isinstance(meta, dict) else None
    if not isinstance(params, dict) or not isinstance(version, str):
        return {"MCP-Protocol-Version": agreed} if _fits(agreed) else {}
    name = params.get(_NAMED.get(str(message.get("method")), ""))
    headers = {"MCP-Protocol-Version": version, "Mcp-Method": str(message.get("method"))}
    if isinstance(name, str):
        headers["Mcp-Name"] = name if _fits(name) else f"=?base64?{base64.b64encode(name.encode()).decode()}?="
    return {name: value for name, value in headers.items() if _fits(value)}


def _fits(value: str) -> bool:
    """Whether the value is valid in a header without escaping."""
    return bool(value) and value.isascii() and value.isprintable() and value == value.strip() and len(value) < 1024


def main() -> None:
    """Runs the program; see the module."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    found = re.fullmatch(r"http://([^/:]+):(\d+)(/.*)", os.environ.get(URL_VARIABLE, ""))
    token = os.environ.get(TOKEN_VARIABLE, "")
    if found is None or not token:
        sys.exit(f"{URL_VARIABLE} and {TOKEN_VARIABLE} say where the bridge is: one of them is missing or wrong")
    with suppress(OSError):  # the agent is gone
        Shim((found[1], int(found[2]), found[3]), token, sys.stdout.fileno()).serve(sys.stdin.buffer)
