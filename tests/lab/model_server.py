"""A model that plays a scenario to the real `claude`, `codex` and others: deterministic, offline, on loopback only.

    POST /ROLE/v1/messages, …/messages/count_tokens    Anthropic (ANTHROPIC_BASE_URL = URL/ROLE)
    POST /ROLE/v1/responses, GET /ROLE/v1/models       OpenAI (base_url = URL/ROLE/v1)
    POST /ROLE/v1/chat/completions                     OpenAI's older API (COPILOT_PROVIDER_BASE_URL = URL/ROLE/v1)
    POST /ROLE/v1beta/models/NAME:generateContent, :streamGenerateContent, :countTokens
                                                       Gemini (GOOGLE_GEMINI_BASE_URL = URL/ROLE)
    GET  /requests                                     what was asked so far, as JSON

Without /ROLE the rules of both roles apply, for an agent that plays both.

`python -m tests.lab.model_server FILE.toml [--port N]` prints the URL on one line and serves until SIGTERM or SIGINT.
Inside a program, `ModelServer` is a context manager with threads of its own: one that listens, and one per connection.
It never remembers a conversation (scenario.py derives each step from the request), and opens no connection itself. It
uses the standard library's server: with a thread per connection, a hang or a drop takes two plain lines.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import signal
import socket
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Literal, Self, get_args

import msgspec

from actors.embedded.scenario import Entry, Fault, Prompt, Result, Say, Scenario, Step, Used
from actors.embedded.scenario_file import load_scenario
from actors.errors import UndeliverableError, UserError
from actors.settings import Role
from tests.lab import anthropic_api, chat_api, gemini_api, responses_api
from tests.lab.anthropic_api import AnthropicReply
from tests.lab.chat_api import ChatReply
from tests.lab.gemini_api import GeminiReply
from tests.lab.responses_api import ResponsesReply

TITLE = (Step(Say('{"title": "Scripted"}')),)
NO_FORM: tuple[Step, ...] = (Step(Say("I have answered.")),)  # a scripted model that has not given the form never does
_NO_HEADERS: Mapping[str, str] = {}
HALF_SAID = "This answer breaks off in the middle."  # the answer that a dropped connection cuts off

Api = Literal["anthropic", "openai", "chat", "gemini"]
Reply = AnthropicReply | ResponsesReply | ChatReply | GeminiReply
_GEMINI_PATH = re.compile(r"/v1\w*/models/(?P<model>[^/:]+):(?P<method>\w+)")


class SeenRequest(msgspec.Struct, frozen=True):
    """One request for an answer. `prompt` is the newest user prompt, `results` the number of tool results since then.

    `fault` is what the model did instead of answering; "" for an answer. `schema`: its answer is bound to one.
    `earlier`: the first lines of the user prompts before it.
    """

    role: Role | None
    api: Api
    prompt: str
    results: int
    fault: str = ""
    schema: bool = False
    earlier: tuple[str, ...] = ()


class ModelServer:
    """Serves `scenario` while the context is open. `port` 0: a free one. `url` has no slash at its end.

    `address`: where it listens; loopback, or our end of the cable to a host of the test.

    The end of the context ends hanging requests and all threads. Any thread may use it.
    """

    def __init__(self, scenario: Scenario, port: int = 0, address: str = "127.0.0.1") -> None:
        self.scenario = scenario
        self.offered: dict[Api, tuple[str, ...]] = {}  # the tools of the newest turn
        self.asked_for_form = 0  # how often Claude Code itself has asked for the form of an answer: no request
        self._seen: list[SeenRequest] = []
        self._spent: Counter[str] = Counter()
        self._news = threading.Condition()
        try:
            self._http = _HttpServer((address, port), _Handler)
        except OSError as error:
            raise UserError(f"port {port} cannot be used: {error}: give another, or 0 for a free one") from error
        self._http.owner = self
        self._stop_reader, self._stop_writer = socket.socketpair()
        self.url = f"http://{address}:{self._http.server_address[1]}"
        self._thread = threading.Thread(
            target=self._http.serve_forever,
            kwargs={"poll_interval": 0.1},  # how long the end may take; the library only polls
            name="scripted-model",
            daemon=True,
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_writer.close()  # wakes the threads in `gone_within`
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._stop_reader.close()

    @property
    def requests(self) -> list[SeenRequest]:
        """All requests for an answer so far, in order of arrival."""
        with self._news:
            return list(self._seen)

    def wait_for(self, wanted: Callable[[SeenRequest], bool], timeout_s: float, count: int = 1) -> None:
        """Waits until `count` `wanted` requests have arrived. Raises `UndeliverableError` after `timeout_s`."""
        with self._news:
            if not self._news.wait_for(lambda: sum(map(wanted, self._seen)) >= count, timeout_s):
                raise UndeliverableError(f"no such request within {timeout_s} s; there were: {self._seen}")

    def steps_for(self, role: Role | None, api: Api, entries: list[Entry], *, schema: bool = False) -> tuple[Step, ...]:
        """The scenario's answer; notes the request and counts a fault."""
        with self._news:
            steps = self.scenario.reply(role, entries, self._spent)
            fault = steps[-1].action if isinstance(steps[-1].action, Fault) else None
            if fault is not None:
                self._spent[fault.key] += 1
            newest = max((n for n, entry in enumerate(entries) if isinstance(entry, Prompt)), default=0)
            results = sum(isinstance(entry, Result) for entry in entries[newest:])
            prompt = next((entry.text for entry in entries[newest:] if isinstance(entry, Prompt)), "")
            earlier = tuple(
                each.text.strip().partition("\n")[0] for each in entries[:newest] if isinstance(each, Prompt)
            )
            self._seen.append(SeenRequest(role, api, prompt, results, fault.key if fault else "", schema, earlier))
            self._news.notify_all()
        return steps

    def gone_within(self, client: socket.socket, timeout_s: float | None) -> bool:
        """Waits; True as soon as the client is gone or the server stops."""
        readable, _, _ = select.select([client, self._stop_reader], [], [], timeout_s)
        return bool(readable)


class _HttpServer(ThreadingHTTPServer):
    owner: ModelServer
    daemon_threads = False  # so that server_close waits for all of them
    request_queue_size = 64

    def server_bind(self) -> None:
        """Binds as a plain TCP server: the library's HTTP server would ask DNS for our name, which may take seconds."""
        TCPServer.server_bind(self)


def _role_and_path(target: str) -> tuple[Role | None, str]:
    path = target.partition("?")[0]
    for role in get_args(Role):
        if path.startswith(f"/{role}/"):
            return role, path.removeprefix(f"/{role}")
    return None, path


def _headers(steps: tuple[Step, ...], of: Callable[[Used, int], dict[str, str]]) -> dict[str, str]:
    """What the answer says of the provider's window, where its scenario says anything."""
    used = next((step.used for step in steps if step.used is not None), None)
    return {} if used is None else of(used, int(time.time()))


class _Gone(Exception):  # noqa: N818 - not an error: the client left, or the server stops
    pass


class _Handler(BaseHTTPRequestHandler):
    # 1.1 for the sake of chunks: a broken answer must differ from a whole one. One request per connection, so that no
    # thread waits for a second one when the server stops.
    protocol_version = "HTTP/1.1"
    server: _HttpServer

    def do_GET(self) -> None:
        match _role_and_path(self.path)[1]:
            case "/requests":
                self._send_json(200, msgspec.to_builtins(self.server.owner.requests))
            case "/v1/models":
                self._send_json(200, {"data": [], "models": []})
            case _:
                self._send_json(404, {"error": {"message": f"unknown path {self.path}"}})

    def do_HEAD(self) -> None:
        self._send(200, {}, b"")

    def do_POST(self) -> None:
        role, path = _role_and_path(self.path)
        try:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            match path:
                case "/v1/messages":
                    self._answer_anthropic(role, request)
                case "/v1/messages/count_tokens":
                    self._send_json(200, {"input_tokens": 10})
                case "/v1/responses":
                    self._answer_openai(role, request)
                case "/v1/chat/completions":
                    self._answer_chat(role, request)
                case _ if gemini := _GEMINI_PATH.fullmatch(path):
                    self._answer_gemini(role, gemini["model"], gemini["method"], request)
                case _:
                    self._send_json(404, {"error": {"message": f"unknown path {self.path}"}})
        except (_Gone, ConnectionError):  # agents are killed at any moment: expected
            self.close_connection = True

    def _answer_anthropic(self, role: Role | None, request: dict[str, Any]) -> None:
        entries = anthropic_api.conversation(request)
        reply = AnthropicReply(uuid.uuid4().hex, request.get("model", "scripted"))
        bound = anthropic_api.is_bound(request)
        offered = anthropic_api.tool_names(request)
        if bound and anthropic_api.asks_for_form(request):
            steps = NO_FORM
            self.server.owner.asked_for_form += 1
        else:
            steps = self._steps(role, "anthropic", entries, offered=offered, schema=bound)
            steps = anthropic_api.in_form(steps) if bound else steps
        if self._failed(steps, anthropic_api.fault_response):
            return
        if request.get("stream"):
            self._stream(reply, steps, _headers(steps, anthropic_api.window_headers))
        else:
            self._send_whole(reply, steps)

    def _answer_openai(self, role: Role | None, request: dict[str, Any]) -> None:
        entries = responses_api.conversation(request)
        reply = ResponsesReply(
            uuid.uuid4().hex,
            request.get("model", "scripted"),
            in_code=responses_api.is_code_mode(request),
            cell=responses_api.running_cell(request),
        )
        steps = self._steps(
            role,
            "openai",
            entries,
            offered=responses_api.tool_names(request),
            schema=responses_api.is_bound(request),
        )
        if not self._failed(steps, responses_api.fault_response):
            self._stream(reply, steps, _headers(steps, responses_api.window_headers))

    def _answer_chat(self, role: Role | None, request: dict[str, Any]) -> None:
        entries, offered = chat_api.conversation(request), chat_api.offered_tools(request)
        reply = ChatReply(uuid.uuid4().hex, request.get("model", "scripted"), offered)
        steps = self._steps(role, "chat", entries, offered=offered.names)
        if self._failed(steps, chat_api.fault_response):
            return
        if request.get("stream"):
            self._stream(reply, steps)
        else:
            self._send_whole(reply, steps)

    def _answer_gemini(self, role: Role | None, model: str, method: str, request: dict[str, Any]) -> None:
        if method == "countTokens":
            self._send_json(200, {"totalTokens": 10})
            return
        entries, offered = gemini_api.conversation(request), gemini_api.offered_tools(request)
        reply = GeminiReply(uuid.uuid4().hex, model, offered)
        steps = self._steps(role, "gemini", entries, offered=offered.names)
        if self._failed(steps, gemini_api.fault_response):
            return
        if method == "streamGenerateContent":
            self._stream(reply, steps)
        else:
            self._send_whole(reply, steps)

    def _steps(
        self, role: Role | None, api: Api, entries: list[Entry], *, offered: tuple[str, ...], schema: bool = False
    ) -> tuple[Step, ...]:
        # Without tools it is no turn: both TUIs ask for a title of the conversation, quoting the prompt.
        if not offered:
            return TITLE
        self.server.owner.offered[api] = offered
        return self.server.owner.steps_for(role, api, entries, schema=schema)

    def _failed(
        self, steps: tuple[Step, ...], error: Callable[[Fault, int], tuple[int, dict[str, str], bytes]]
    ) -> bool:
        """Plays a fault instead of an answer. An HTTP error drops the texts before it."""
        fault = steps[-1].action
        if not isinstance(fault, Fault) or fault.drop:
            return False
        self._wait(steps[-1].delay_ms)
        if fault.hang:
            self.server.owner.gone_within(self.connection, None)
            raise _Gone
        self._send(*error(fault, int(time.time())))
        return True

    def _send_whole(self, reply: AnthropicReply | ChatReply | GeminiReply, steps: tuple[Step, ...]) -> None:
        self._play(reply, steps, lambda _: None)
        self._send_json(200, reply.message())

    def _stream(self, reply: Reply, steps: tuple[Step, ...], headers: Mapping[str, str] = _NO_HEADERS) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("connection", "close")
        self.end_headers()
        self._chunk(reply.begin())
        self._play(reply, steps, self._chunk)
        self._chunk(reply.end())
        self.wfile.write(b"0\r\n\r\n")

    def _play(
        self,
        reply: Reply,
        steps: tuple[Step, ...],
        send: Callable[[bytes], None],
    ) -> None:
        for step in steps:
            self._wait(step.delay_ms)
            match step.action:
                case Say(text):
                    send(reply.say(text))
                case Fault():
                    send(reply.half_of(HALF_SAID))
                    raise _Gone
                case call:
                    send(reply.call(call))

    def _wait(self, delay_ms: int) -> None:
        if delay_ms and self.server.owner.gone_within(self.connection, delay_ms / 1000):
            raise _Gone

    def _chunk(self, data: bytes) -> None:
        if data:  # an empty chunk would be the end
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _send_json(self, status: int, body: object) -> None:
        self._send(status, {}, json.dumps(body).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in ({"content-type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Logs nothing: the agents' own output is enough."""


def main() -> int:
    """Serves one scenario file until SIGTERM or SIGINT. Exit status 2 for a bad file or port."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.model_server", description=main.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before any thread, so that all of them leave it to sigwait
    try:
        with ModelServer(load_scenario(arguments.file), arguments.port) as server:
            print(server.url, flush=True)
            signal.sigwait(ends)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
