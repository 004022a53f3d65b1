"""The stdio server of the bridge: the program itself, before the real endpoint and before ones that fail."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from actors.edges import bridge_shim, mcp_server
from actors.edges.mcp_endpoint import McpEndpoint
from actors.machines import mail
from tests.actors.edges.test_mcp_endpoint import MODES, TOKENS, Recorder, listening, tool_call
from tests.lab.ports import own_port
from tests.patience import PATIENCE_S


@pytest.fixture
def desk() -> Recorder:
    return Recorder()


@pytest.fixture
def url(desk: Recorder) -> Iterator[str]:
    with listening() as sock:
        endpoint = McpEndpoint(sock.fileno(), TOKENS, desk.tools(), print)
        endpoint.start()
        yield endpoint.url
        desk.gate.set()
        endpoint.stop()


class Shim:
    """The program, as an agent runs it."""

    def __init__(self, url: str, token: str = TOKENS["worker"], **more: Any) -> None:
        program, arguments = bridge_shim.command()
        environment = {bridge_shim.URL_VARIABLE: url, bridge_shim.TOKEN_VARIABLE: token, **more.pop("env", {})}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [program, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, env=environment, **more
        )

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, message: object) -> Any:
        self.write(json.dumps(message).encode())
        return self.read()

    def end(self) -> tuple[int, bytes, bytes]:
        """Exit status, and what else it has said on stdout and stderr."""
        out, err = self.process.communicate(timeout=PATIENCE_S)  # closes its stdin
        return self.process.returncode, out, err


@contextmanager
def started(url: str, *words: Any, **more: Any) -> Iterator[Shim]:
    """It ends with its input, by itself, and says nothing but answers."""
    shim = Shim(url, *words, **more)
    try:
        yield shim
        assert shim.end() == (0, b"", b"")
    finally:
        shim.process.kill()
        shim.process.wait()


def said_text(answer: Any) -> str:
    return str(answer["result"]["content"][0]["text"])


@pytest.mark.parametrize("mode", MODES)
def test_both_eras_of_the_client_use_the_tools_over_stdio(url: str, desk: Recorder, mode: str) -> None:
    program, arguments = bridge_shim.command()
    environment = {bridge_shim.URL_VARIABLE: url, bridge_shim.TOKEN_VARIABLE: TOKENS["reviewer"]}

    async def play() -> None:
        server = StdioServerParameters(command=program, args=arguments, env=environment)
        async with Client(server, mode=mode) as client:  # type: ignore[arg-type]
            tools = [tool.name for tool in (await client.list_tools()).tools]
            assert tools == ["send_message", "bridge_status", "receive_messages"]
            sent = await client.call_tool("send_message", {"target": "claude", "message": "hello"})
            assert sent.content[0].text == "queued, id 1, from the reviewer"  # type: ignore[union-attr]

    asyncio.run(asyncio.wait_for(play(), PATIENCE_S))
    assert desk.calls == [("reviewer", "claude", "hello")]
    assert not any(secret in word for word in (program, *arguments) for secret in TOKENS.values())


def test_it_starts_in_any_directory_and_with_any_environment(url: str, tmp_path: Path) -> None:
    for name in ("json", "actors", "socket", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("print('not ours')\nraise SystemExit(3)\n")
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "http_proxy": "http://127.0.0.1:9"}
    with started(url, cwd=tmp_path, env=environment) as shim:
        assert said_text(shim.ask(tool_call("bridge_status"))) == "status for the worker"


def test_a_slow_call_does_not_hold_up_the_next(url: str, desk: Recorder) -> None:
    with started(url) as shim:
        shim.write(json.dumps({**tool_call("send_message", message="slow"), "id": "slow"}).encode())
        assert desk.entered.wait(PATIENCE_S)
        assert shim.ask(tool_call("bridge_status"))["id"] == 7
        desk.gate.set()
        assert shim.read()["id"] == "slow"


def test_the_end_of_its_input_ends_it_in_the_middle_of_a_call(url: str, desk: Recorder) -> None:
    with started(url) as shim:
        shim.write(json.dumps(tool_call("send_message", message="slow")).encode())
        assert desk.entered.wait(PATIENCE_S)


def test_an_error_of_a_tool_reaches_the_agent_as_it_is(url: str) -> None:
    with started(url) as shim:
        answer = shim.ask(tool_call("send_message", message="bad"))
        assert answer["error"] == {"code": -32602, "message": "target 'bob' is unknown"}


def test_a_notification_is_not_answered(url: str) -> None:
    with started(url) as shim:
        shim.write(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}')
        assert shim.ask(tool_call("bridge_status"))["id"] == 7


def test_a_token_of_another_run_is_one_clear_error(url: str, desk: Recorder) -> None:
    with started(url, "another token") as shim:
        error = shim.ask(tool_call("send_message", message="x"))["error"]
        assert "refused this with status 401" in error["message"]
        assert "a bearer token of this run is needed" in error["message"]
    assert desk.calls == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"hello", -32700),
        (b"\xff\xfe\x00", -32700),
        (b"[" * 100_000, -32700),
        (b"[1]", -32700),
        (b'{"jsonrpc": "2.0", "id": 7}', -32603),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "a\\r\\nX: y", "params": {"_meta": {"x": 1}}}', -32601),
    ],
)
def test_nonsense_is_answered_with_an_error_and_the_next_line_is_served(url: str, line: bytes, code: int) -> None:
    with started(url) as shim:
        shim.write(b"")
        shim.write(line)
        answer = shim.read()
        assert (answer["error"]["code"], answer["id"]) == (code, None if code == -32700 else 7)
        assert said_text(shim.ask(tool_call("bridge_status"))) == "status for the worker"


def test_what_an_agent_says_cannot_become_a_header(url: str) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28\r\nAuthorization: Bearer x"}
    with started(url) as shim:
        message = tool_call("bridge_status\r\nX: y")
        message["params"]["_meta"] = meta
        assert "error" in shim.ask(message)
        assert said_text(shim.ask(tool_call("bridge_status"))) == "status for the worker"


def test_a_line_of_10_mb_is_served(url: str, desk: Recorder) -> None:
    text = "x" * 10_000_000
    with started(url) as shim:
        assert "queued, id 1" in said_text(shim.ask(tool_call("send_message", target="claude", message=text)))
    assert [len(message) for _, _, message in desk.calls] == [len(text)]


@pytest.mark.parametrize("order", [("jsonrpc", "id", "method", "params"), ("method", "params", "jsonrpc", "id")])
def test_a_line_that_is_too_long_is_refused_under_its_own_id(url: str, desk: Recorder, order: Sequence[str]) -> None:
    long = tool_call("send_message", message="x" * mcp_server.MAX_BODY_BYTES)
    with started(url) as shim:
        answer = shim.ask({name: long[name] for name in order})
        assert (answer["id"], answer["error"]["code"]) == (7, -32600)
        assert said_text(shim.ask(tool_call("bridge_status"))) == "status for the worker"
    assert desk.calls == []
    assert bridge_shim.MAX_LINE_BYTES == mcp_server.MAX_BODY_BYTES


# --- the bridge fails ---


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, Callable[[], int]]]:
    """A server that gives each connection its answer, after it has read the request; then says no more."""
    served = 0
    with listening() as sock:

        def serve() -> None:
            nonlocal served
            for answer in answers:
                link, _ = sock.accept()
                with link:
                    asked = b""
                    while b"\r\n\r\n{" not in asked:
                        asked += (part := link.recv(65_536))
                        assert part, asked
                    served += 1
                    link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/mcp", lambda: served
        thread.join(PATIENCE_S)


GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{"id":\n7,"x":"ok"}'


@pytest.mark.parametrize("broken", [b"", GOOD[:20], GOOD[:-1], b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"])
def test_a_call_whose_answer_breaks_off_is_sent_again(broken: bytes) -> None:
    with answering(broken, GOOD) as (url, _), started(url) as shim:
        assert shim.ask(tool_call("bridge_status")) == {"id": 7, "x": "ok"}


def test_a_call_that_breaks_each_connection_is_given_up() -> None:
    with answering(*[b""] * bridge_shim.MOST_TRIES) as (url, served), started(url) as shim:
        assert "the way to the bridge broke 3 times" in shim.ask(tool_call("bridge_status"))["error"]["message"]
    assert served() == bridge_shim.MOST_TRIES


def test_a_bridge_that_is_gone_for_good_is_one_clear_error() -> None:
    with started(f"http://127.0.0.1:{own_port()}/mcp") as shim:
        assert "the run that it belonged to is over" in shim.ask(tool_call("bridge_status"))["error"]["message"]


def test_no_call_is_sent_again_when_the_bridge_would_not_know_it_any_more() -> None:
    assert bridge_shim.PATIENCE_S * 1_000 < mail.DOUBT_MS


def test_without_an_address_it_says_so_and_ends() -> None:
    code, out, err = Shim("ftp://example").end()
    assert (code, out) == (1, b"")
    assert err.decode().startswith("LOOP_BRIDGE_URL and LOOP_BRIDGE_TOKEN say where the bridge is")
