"""The MCP endpoint over real sockets: both eras of the client of `mcp`, plain HTTP, and the real agents."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import struct
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
import uvicorn
from loguru import logger
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from actors.access import BridgeAccess
from actors.adapters import claude, codex
from actors.adapters.base import AgentSettings
from actors.edges import doorkeeper, mcp_server
from actors.edges.mcp_endpoint import McpEndpoint
from actors.edges.mcp_server import GuardedServer
from actors.edges.mcp_tools import Tools
from actors.embedded.scenario_file import parse_scenario
from actors.errors import OperationalError, ProtocolError, UserError
from tests.actors.adapters.acp_rig import opened, run
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.patience import PATIENCE_S

TOKENS = {"worker": "token of the worker", "reviewer": "token of the reviewer"}
MODES = ("legacy", "auto", "2026-07-28")
PLAIN_ENVIRONMENT = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "IS_SANDBOX": "1"}
HANDSHAKES = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")


class Recorder:
    """Tools that remember who called them with what."""

    def __init__(self):
        self.calls = []
        self.gate = threading.Event()
        self.entered = threading.Event()

    def send(self, caller, target, message):
        self.calls.append((caller, target, message))
        match message:
            case "bad":
                raise UserError("target 'bob' is unknown")
            case "broken":
                raise OperationalError("the bridge gave no answer within 45 s")
            case "bug":
                raise ZeroDivisionError("secret detail")
            case "slow":
                self.entered.set()
                assert self.gate.wait(PATIENCE_S)
        return f"queued, id 1, from the {caller}"

    def tools(self):
        return Tools(
            send_message=self.send,
            bridge_status=lambda caller: f"status for the {caller}",
            receive_messages=lambda caller: f"messages for the {caller}",
        )


def listening(host="127.0.0.1"):
    sock = socket.socket()
    sock.bind((host, 0))
    sock.listen(128)
    return sock


@pytest.fixture
def sock():
    with listening() as sock:
        yield sock


@pytest.fixture
def desk():
    return Recorder()


@pytest.fixture
def endpoint(sock, desk):
    crashes = []
    endpoint = McpEndpoint(sock.fileno(), TOKENS, desk.tools(), crashes.append)
    endpoint.start()
    yield endpoint
    desk.gate.set()
    endpoint.stop()
    assert crashes == []


def with_client(endpoint, use, role="worker", mode="legacy"):
    async def run():
        headers = {"Authorization": f"Bearer {TOKENS[role]}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as http_client,
            Client(streamable_http_client(endpoint.url, http_client=http_client), mode=mode) as client,
        ):
            try:
                return await use(client)
            except MCPError as error:  # outside it would come in an exception group
                return error

    answer = asyncio.run(run())
    if isinstance(answer, MCPError):
        raise answer
    return answer


def call(endpoint, name, arguments=None, role="worker", mode="legacy"):
    return with_client(endpoint, lambda client: client.call_tool(name, arguments or {}), role, mode)


def post(endpoint, message, **headers):
    """One request by hand. Returns status, headers and body."""
    address = endpoint.url.removeprefix("http://").removesuffix("/mcp")
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    usual = {
        "Authorization": f"Bearer {TOKENS['worker']}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
    }
    body = json.dumps(message).encode() if isinstance(message, dict) else message
    try:
        connection.request("POST", "/mcp", body, usual | headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def tool_call(name, **arguments):
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


# --- tools ---


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_call_whose_caller_was_killed_before_it_was_served_is_not_carried_out(sock, desk, how):
    body = json.dumps(tool_call("send_message", target="reviewer", message="of the dead")).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{sock.getsockname()[1]}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {TOKENS['worker']}\r\n\r\n"
    )
    with socket.create_connection(sock.getsockname()) as dead:  # it waits in the backlog: there is no server yet
        dead.sendall(head.encode() + body)
        if how == "reset":
            dead.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    endpoint = McpEndpoint(sock.fileno(), TOKENS, desk.tools(), lambda _error: None)
    endpoint.start()
    call(endpoint, "send_message", {"target": "reviewer", "message": "of the living"})
    endpoint.stop()  # what was begun has ended
    assert desk.calls == [("worker", "reviewer", "of the living")]


@pytest.mark.parametrize("mode", MODES)
def test_the_three_tools_are_listed_with_their_annotations(endpoint, mode):
    tools = {tool.name: tool for tool in with_client(endpoint, lambda client: client.list_tools(), mode=mode).tools}
    assert set(tools) == {"send_message", "bridge_status", "receive_messages"}
    assert tools["send_message"].input_schema["required"] == ["target", "message"]
    hints = {name: tool.annotations for name, tool in tools.items()}
    assert [hints[name].read_only_hint for name in tools] == [name == "bridge_status" for name in tools]
    assert not any(hint.destructive_hint or hint.open_world_hint for hint in hints.values())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("role", TOKENS)
def test_the_caller_is_known_by_its_token(endpoint, desk, role, mode):
    result = call(endpoint, "send_message", {"target": "claude", "message": "hello"}, role, mode)
    assert not result.is_error
    assert result.content[0].text == f"queued, id 1, from the {role}"
    assert desk.calls == [(role, "claude", "hello")]
    assert call(endpoint, "bridge_status", role=role, mode=mode).content[0].text == f"status for the {role}"
    assert call(endpoint, "receive_messages", role=role, mode=mode).content[0].text == f"messages for the {role}"


@pytest.mark.parametrize("version", HANDSHAKES)
def test_every_handshake_version_of_the_protocol_is_spoken(endpoint, version):
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    status, _, body = post(endpoint, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    assert status == 200
    assert json.loads(body)["result"]["protocolVersion"] == version
    assert json.loads(body)["result"]["serverInfo"]["name"] == "loop-bridge"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("send_message", {"target": "bob", "message": "bad"}, "target 'bob' is unknown"),
        ("send_message", {"target": 3, "message": "x"}, r"arguments of send_message: Expected `str`, got `int`"),
        ("shout", {}, "unknown tool 'shout': there are send_message, bridge_status, receive_messages"),
    ],
)
def test_a_call_that_the_agent_can_correct_is_answered_with_invalid_params(endpoint, mode, name, arguments, said):
    with pytest.raises(MCPError, match=said) as error:
        call(endpoint, name, arguments, mode=mode)
    assert error.value.code == -32602


def test_missing_arguments_reach_the_tool_as_empty_ones(endpoint, desk):
    call(endpoint, "send_message")
    assert desk.calls == [("worker", "", "")]


def test_a_circumstance_is_told_as_an_internal_error(endpoint):
    with pytest.raises(MCPError, match="no answer within 45 s") as error:
        call(endpoint, "send_message", {"target": "claude", "message": "broken"})
    assert error.value.code == -32603


def test_a_bug_is_an_error_without_details_and_the_server_lives_on(endpoint):
    with pytest.raises(MCPError) as error:
        call(endpoint, "send_message", {"target": "claude", "message": "bug"})
    assert "secret detail" not in str(error.value)
    assert not call(endpoint, "bridge_status").is_error


def test_a_slow_call_does_not_hold_up_the_others(endpoint, desk):
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(call, endpoint, "send_message", {"target": "claude", "message": "slow"})
        assert desk.entered.wait(PATIENCE_S)
        assert not call(endpoint, "bridge_status", role="reviewer").is_error
        desk.gate.set()
        assert not slow.result(PATIENCE_S).is_error


# --- who is let in ---


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer ", "Bearer wrong", "token of the worker", "Basic token of the worker", "Bearer t\xf6ken"],
)
def test_without_a_token_of_this_run_there_is_only_a_401(endpoint, desk, authorization):
    status, headers, body = post(endpoint, tool_call("send_message", message="x"), Authorization=authorization)
    assert status == 401
    assert headers["www-authenticate"].startswith("Bearer")
    assert b"bearer token" in body
    assert desk.calls == []


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "evil.example", 421),
        ("Host", "evil.example:80", 421),
        ("Host", "127.0.0.1.evil.example", 421),
        ("Host", "192.0.2.1:80", 421),
        ("Origin", "http://evil.example", 403),
        ("Origin", "http://localhost:3000", 403),
        ("Content-Type", "text/plain", 400),
    ],
)
def test_what_a_web_page_could_send_is_refused(endpoint, desk, header, value, status):
    assert post(endpoint, tool_call("send_message", message="x"), **{header: value})[0] == status
    assert desk.calls == []


def test_it_can_be_called_as_localhost(endpoint):
    port = endpoint.url.rsplit(":", 1)[1].removesuffix("/mcp")
    assert post(endpoint, tool_call("bridge_status"), Host=f"localhost:{port}")[0] == 200


def test_it_refuses_to_listen_beyond_loopback(desk):
    with listening("0.0.0.0") as sock, pytest.raises(ProtocolError, match=r"not on 0\.0\.0\.0"):
        McpEndpoint(sock.fileno(), TOKENS, desk.tools(), print)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_there_is_no_stream_and_no_session_to_end(endpoint, method):
    connection = http.client.HTTPConnection(endpoint.url.split("/")[2], timeout=PATIENCE_S)
    connection.request(method, "/mcp", headers={"Authorization": f"Bearer {TOKENS['worker']}"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("allow")) == (405, "POST")
    connection.close()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"jsonrpc":"2.0"}'])
def test_nonsense_is_refused_and_the_server_lives_on(endpoint, body):
    assert 400 <= post(endpoint, body)[0] < 500
    assert post(endpoint, tool_call("bridge_status"))[0] == 200


@pytest.mark.parametrize("method", ["POST", "HEAD", "PRI"])
def test_a_body_that_is_no_http_is_answered_once_and_is_no_error_of_ours(endpoint, caplog, method):
    with caplog.at_level("WARNING"):
        for _ in range(20):  # the rest of the request and our answer to its head meet at times
            with socket.create_connection(("127.0.0.1", int(endpoint.url.split(":")[2].split("/")[0]))) as link:
                head = f"{method} /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKENS['worker']}\r\n"
                link.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\nno number\r\n".encode())
                answer = b"".join(iter(lambda: link.recv(1 << 16), b""))
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 405 "))
            assert answer.count(b"HTTP/1.1") == 1
    assert [record for record in caplog.records if record.exc_info] == []


# --- strangers ---


@pytest.fixture
def log():
    lines = []
    sink = logger.add(lines.append)
    yield lines
    logger.remove(sink)


def connected(sock, count, said=b""):
    links = []
    for _ in range(count):
        link = socket.create_connection(sock.getsockname())
        link.settimeout(PATIENCE_S)
        link.sendall(said)
        links.append(link)
    return links


def is_closed(link):
    """Waits until the other side has closed it."""
    try:
        while link.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize("said", [b"", b"POST /mcp HTTP/1.1\r\nX: "], ids=["nothing", "half a head"])
def test_strangers_are_few_and_cost_a_line_while_a_call_is_served(endpoint, sock, log, said):
    strangers = connected(sock, doorkeeper.MOST_WAITING + 100, said)
    assert not call(endpoint, "send_message", {"target": "claude", "message": "hello"}).is_error
    assert all(is_closed(link) for link in strangers[:100])  # the first ones make room
    for link in strangers:
        link.close()
    assert len([line for line in log if "connections were closed" in line]) == 1


def test_a_head_that_never_ends_is_cut_off(endpoint, sock):
    (stranger,) = connected(sock, 1)
    with contextlib.suppress(ConnectionError):
        stranger.sendall(b"POST /mcp HTTP/1.1\r\n" + b"X: y\r\n" * doorkeeper.MAX_HEAD_BYTES)
    assert is_closed(stranger)
    stranger.close()


def test_strangers_from_before_a_restart_delay_no_call(sock, desk):
    strangers = connected(sock, 100)  # they fill the backlog while there is no server
    endpoint = McpEndpoint(sock.fileno(), TOKENS, desk.tools(), print)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(call, endpoint, "bridge_status")
        endpoint.start()
        assert made.result(PATIENCE_S).content[0].text == "status for the worker"
    endpoint.stop()
    for link in strangers:
        link.close()


def chunks(size):
    for _ in range(0, size, 65_536):
        yield b" " * 65_536


@pytest.mark.parametrize("announced", [True, False], ids=["content-length", "chunked"])
def test_a_body_that_is_too_long_is_answered_with_413(endpoint, announced):
    size = mcp_server.MAX_BODY_BYTES + 65_536
    assert post(endpoint, b" " * size if announced else chunks(size))[0] == 413
    assert post(endpoint, tool_call("bridge_status"))[0] == 200


def test_a_body_as_long_as_allowed_is_served(endpoint, desk):
    text = "x" * (mcp_server.MAX_BODY_BYTES - 1_000)
    assert post(endpoint, tool_call("send_message", target="claude", message=text))[0] == 200
    assert len(desk.calls[0][2]) == len(text)


# --- the socket outlives the server ---


def test_every_answer_closes_its_connection(endpoint):
    assert post(endpoint, tool_call("bridge_status"))[1]["connection"] == "close"
    assert post(endpoint, tool_call("bridge_status"), Authorization="no")[1]["connection"] == "close"


def test_a_call_made_while_there_is_no_server_waits_and_is_answered_by_the_next_one(sock, desk):
    first = McpEndpoint(sock.fileno(), TOKENS, desk.tools(), print)
    first.start()
    url = first.url
    first.stop()
    second = McpEndpoint(sock.fileno(), TOKENS, desk.tools(), print)
    assert second.url == url
    with ThreadPoolExecutor(1) as pool, socket.create_connection(sock.getsockname()) as waiting:
        made = pool.submit(call, second, "bridge_status")
        waiting.sendall(b"POST /mcp HTTP/1.1\r\nHost: x\r\n\r\n")  # both are in the backlog, or soon will be
        second.start()
        waiting.settimeout(PATIENCE_S)
        assert waiting.recv(12) == b"HTTP/1.1 401"
        assert made.result(PATIENCE_S).content[0].text == "status for the worker"
    second.stop()


def test_a_call_that_is_being_served_is_answered_before_the_server_stops(sock, desk):
    endpoint = McpEndpoint(sock.fileno(), TOKENS, desk.tools(), print)
    endpoint.start()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(post, endpoint, tool_call("send_message", target="claude", message="slow"))
        assert desk.entered.wait(PATIENCE_S)
        stopping = pool.submit(endpoint.stop)
        desk.gate.set()
        assert slow.result(PATIENCE_S)[0] == 200
        stopping.result(PATIENCE_S)


def test_a_server_that_dies_says_so(sock, desk):
    crashes, crashed = [], threading.Event()

    def note(error):
        crashes.append(error)
        crashed.set()

    endpoint = McpEndpoint(sock.fileno(), TOKENS, desk.tools(), note)
    endpoint.start()
    endpoint._server._loop.call_soon_threadsafe(endpoint._server._over.set)  # nobody has asked for it
    assert crashed.wait(PATIENCE_S)
    assert "has ended" in str(crashes[0])


class Timed(asyncio.SelectorEventLoop):
    """Counts the timers that are set in it."""

    timers = 0

    def call_at(self, *arguments, **named):
        self.timers += 1
        return super().call_at(*arguments, **named)


def test_a_server_that_nobody_calls_sets_no_timer_and_ends_by_stop_alone(sock):
    class App:
        async def __call__(self, scope, receive, send):
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})

    started = threading.Event()
    server = GuardedServer(uvicorn.Config(App(), lifespan="on", log_config=None), started, lambda _head: None)
    loop = Timed()

    async def look():
        return loop.timers

    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(loop.run_until_complete, server.serve(sockets=[sock]))
        try:
            assert started.wait(PATIENCE_S)
            assert asyncio.run_coroutine_threadsafe(look(), loop).result(PATIENCE_S) == 0
        finally:
            server.stop()
            served.result(PATIENCE_S)
    assert loop.timers == 0
    loop.close()


# --- the real clients ---

SCENARIO = """
[[turn]]
when = "use the bridge"
step = [
    {send = {target = "them", message = "hello"}},
    {bridge = {tool = "bridge_status"}, if_result = "queued, id 1, from the (worker|reviewer)"},
    {bridge = {tool = "receive_messages"}, if_result = "status for the (worker|reviewer)"},
    {send = {target = "them", message = "bad"}, if_result = "messages for the (worker|reviewer)"},
    {say = "the bridge answers, and says what is wrong", if_result = "target 'bob' is unknown"},
]
"""


@pytest.mark.real_agents
@pytest.mark.parametrize(("program", "role"), [(codex, "worker"), (claude, "reviewer")], ids=["codex", "claude"])
def test_the_real_agents_call_the_tools_and_are_told_what_is_wrong(endpoint, desk, tmp_path, program, role):
    async def play(url):
        settings = AgentSettings(
            name="agent",
            cwd=tmp_path,
            environment=agent_environment(tmp_path / "home", url, None, PLAIN_ENVIRONMENT),
            bridge=BridgeAccess(url=endpoint.url, token=TOKENS[role]),
        )
        async with opened(program.factory, settings) as it:
            outcome = await it.agent.turn(str(uuid.uuid4()), "use the bridge")
            assert (outcome.status, outcome.text) == ("finished", "the bridge answers, and says what is wrong")

    with ModelServer(parse_scenario(SCENARIO, "test_mcp_endpoint")) as model:
        prepare_home(tmp_path / "home", model.url, codex_role=None)
        run(play(model.url))
    assert desk.calls == [(role, "them", "hello"), (role, "them", "bad")]


def test_a_message_with_half_an_emoji_arrives_with_a_replacement(endpoint, desk):
    status, _, body = post(endpoint, tool_call("send_message", target="claude", message="cut \ud83d off"))
    assert status == 200
    assert "queued, id 1" in body.decode()
    assert desk.calls == [("worker", "claude", "cut \ufffd off")]
