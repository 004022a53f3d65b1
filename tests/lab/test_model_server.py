import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from actors.embedded.scenario_file import parse_scenario
from actors.errors import UndeliverableError, UserError
from tests.lab.model_server import ModelServer, SeenRequest
from tests.lab.world import PATIENCE_S

SCENARIO = """
[[turn]]
role = "worker"
when = "hello"
step = [{say = "Hello from the worker."}]
[[turn]]
role = "reviewer"
when = "hello"
step = [{say = "Hello from the reviewer."}]
[[turn]]
when = "work"
step = [{run = "make"}, {say = "Made."}]
[[turn]]
when = "slow"
step = [{say = "At last.", delay_ms = 150}]
[[turn]]
when = "busy"
step = [{fault = {status = 529, times = 2}}, {say = "Back."}]
[[turn]]
when = "drop"
step = [{say = "Whole."}, {fault = {drop = true}}, {say = "Back."}]
[[turn]]
when = "hang"
step = [{fault = {hang = true}}, {say = "Back."}]
"""


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(parse_scenario(SCENARIO, "s.toml")) as server:
        yield server


def connect(server: ModelServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_S)


def ask(server: ModelServer, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
    connection = connect(server)
    try:
        connection.request("POST" if body is not None else "GET", path, json.dumps(body))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def claude(prompt: str, *, stream: bool = False) -> dict[str, Any]:
    return {
        "model": "m",
        "stream": stream,
        "tools": [{"name": "Bash"}],
        "messages": [{"role": "user", "content": prompt}],
    }


def codex(prompt: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": prompt}]
    return {
        "model": "m",
        "stream": True,
        "tools": [{"name": "exec_command"}],
        "input": [{"type": "message", "role": "user", "content": content}],
    }


def copilot(prompt: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": "bash"}}]
    return {"model": "m", "stream": True, "tools": tools, "messages": [{"role": "user", "content": prompt}]}


def gemini(prompt: str) -> dict[str, Any]:
    tools = [{"functionDeclarations": [{"name": "run_shell_command"}]}]
    return {"tools": tools, "contents": [{"role": "user", "parts": [{"text": prompt}]}]}


GEMINI = "/worker/v1beta/models/gemini-2.5-flash"


def said(server: ModelServer, path: str, prompt: str) -> str:
    status, body = ask(server, path, claude(prompt))
    assert status == 200, body
    return str(json.loads(body)["content"][0]["text"])


def test_the_role_stands_in_the_path(server: ModelServer) -> None:
    assert said(server, "/worker/v1/messages?beta=true", "hello") == "Hello from the worker."
    assert said(server, "/reviewer/v1/messages", "hello") == "Hello from the reviewer."
    assert said(server, "/v1/messages", "hello") == "Hello from the worker."


@pytest.mark.parametrize(
    ("path", "body", "end"),
    [
        ("/worker/v1/messages", claude("hello", stream=True), b"message_stop"),
        ("/worker/v1/responses", codex("hello"), b"response.completed"),
        ("/worker/v1/chat/completions", copilot("hello"), b"[DONE]"),
        (f"{GEMINI}:streamGenerateContent?alt=sse", gemini("hello"), b"STOP"),
    ],
)
def test_each_api_streams_whole_replies(server: ModelServer, path: str, body: dict[str, Any], end: bytes) -> None:
    status, stream = ask(server, path, body)
    assert (status, b"Hello from the worker." in stream, end in stream) == (200, True, True)
    assert [(request.role, request.prompt) for request in server.requests] == [("worker", "hello")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/worker/v1/chat/completions", copilot("hello") | {"stream": False}),
        (f"{GEMINI}:generateContent", gemini("hello")),
    ],
)
def test_a_reply_that_is_not_to_be_streamed_is_one_object(server: ModelServer, path: str, body: dict[str, Any]) -> None:
    status, answer = ask(server, path, body)
    assert (status, "Hello from the worker." in json.dumps(json.loads(answer))) == (200, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/worker/v1/chat/completions", copilot("busy")),
        (f"{GEMINI}:streamGenerateContent?alt=sse", gemini("busy")),
    ],
)
def test_a_fault_is_played_as_often_as_it_is_to_be(server: ModelServer, path: str, body: dict[str, Any]) -> None:
    assert [ask(server, path, body)[0] for _ in range(3)] == [529, 529, 200]


def test_counting_tokens_and_listing_models_are_answered_and_are_no_requests(server: ModelServer) -> None:
    assert ask(server, "/worker/v1/messages/count_tokens", {"messages": []}) == (200, b'{"input_tokens": 10}')
    assert ask(server, f"{GEMINI}:countTokens", {"contents": []}) == (200, b'{"totalTokens": 10}')
    assert ask(server, "/worker/v1/models?client_version=1")[0] == 200
    assert server.requests == []


def test_a_request_without_tools_gets_a_title_and_is_no_turn(server: ModelServer) -> None:
    status, stream = ask(server, "/worker/v1/responses", codex("title for: work") | {"tools": []})
    assert (status, b"Scripted" in stream, b"function_call" in stream) == (200, True, False)
    assert server.requests == []


@pytest.mark.parametrize("body", [None, {}])
def test_an_unknown_path_is_named(server: ModelServer, body: dict[str, Any] | None) -> None:
    status, answer = ask(server, "/boss/v1/messages", body)
    assert (status, json.loads(answer)["error"]["message"]) == (404, "unknown path /boss/v1/messages")


def test_requests_are_noted_with_prompt_and_number_of_results(server: ModelServer) -> None:
    ask(server, "/worker/v1/messages", claude("work"))
    request = claude("work")
    request["messages"] += [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "Bash", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "made"}]},
    ]
    ask(server, "/worker/v1/messages", request)
    assert server.requests == [
        SeenRequest("worker", "anthropic", "work", 0),
        SeenRequest("worker", "anthropic", "work", 1),
    ]
    assert json.loads(ask(server, "/requests")[1])[1] == {
        "role": "worker",
        "api": "anthropic",
        "prompt": "work",
        "results": 1,
        "fault": "",
        "schema": False,
        "earlier": [],
    }


def test_parallel_requests_do_not_wait_for_each_other(server: ModelServer) -> None:
    hanging = connect(server)
    hanging.request("POST", "/worker/v1/responses", json.dumps(codex("hang")))
    server.wait_for(lambda request: request.fault != "", PATIENCE_S)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: said(server, "/worker/v1/messages", "slow"), range(20)))
    assert answers == ["At last."] * 20
    hanging.close()


def test_an_http_fault_strikes_as_often_as_it_says(server: ModelServer) -> None:
    statuses = [ask(server, "/worker/v1/messages", claude("busy"))[0] for _ in range(3)]
    assert statuses == [529, 529, 200]
    assert [request.fault for request in server.requests] == ["turn[4].step[0]", "turn[4].step[0]", ""]


@pytest.mark.parametrize(
    ("path", "body"),
    [("/worker/v1/messages", claude("drop", stream=True)), ("/worker/v1/responses", codex("drop"))],
)
def test_a_dropped_connection_breaks_in_the_middle_of_the_stream(
    server: ModelServer, path: str, body: dict[str, Any]
) -> None:
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(server, path, body)
    assert b"Whole." in broken.value.partial
    assert b"Back." in ask(server, path, body)[1]


def test_a_hanging_request_ends_when_its_client_goes(server: ModelServer) -> None:
    connection = connect(server)
    connection.request("POST", "/worker/v1/messages", json.dumps(claude("hang")))
    server.wait_for(lambda request: request.fault != "", PATIENCE_S)
    handlers = [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]
    assert len(handlers) == 1
    connection.close()
    for thread in handlers:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_leaving_ends_requests_that_hang_and_all_threads() -> None:
    before = set(threading.enumerate())
    with ModelServer(parse_scenario(SCENARIO, "s.toml")) as server:
        connection = connect(server)
        connection.request("POST", "/worker/v1/messages", json.dumps(claude("hang")))
        server.wait_for(lambda request: request.fault != "", PATIENCE_S)
    assert set(threading.enumerate()) <= before  # an earlier one may have ended meanwhile
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    connection.close()


def test_waiting_for_a_request_that_does_not_come_ends(server: ModelServer) -> None:
    with pytest.raises(UndeliverableError, match=r"no such request within 0\.01 s"):
        server.wait_for(lambda _: True, 0.01)


def test_a_port_that_is_taken_is_refused_by_its_number(server: ModelServer) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    with pytest.raises(UserError, match=rf"port {port} cannot be used"):
        ModelServer(server.scenario, port)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_the_program_prints_its_url_and_serves_until_it_is_told_to_end(tmp_path: Path, end: signal.Signals) -> None:
    (tmp_path / "s.toml").write_text(SCENARIO)
    command = [sys.executable, "-m", "tests.lab.model_server", str(tmp_path / "s.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            url = program.stdout.readline().strip()
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
            connection.request("GET", "/requests")
            assert connection.getresponse().read() == b"[]"
            connection.close()
            program.send_signal(end)
            assert program.wait(PATIENCE_S) == 0
        finally:
            program.kill()


def test_the_program_refuses_a_bad_file_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("turn = 3")
    command = [sys.executable, "-m", "tests.lab.model_server", str(tmp_path / "s.toml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (ended.returncode, ended.stderr) == (
        2,
        f"{tmp_path}/s.toml: turn: expected `array`, got `int`, in 3\n",
    )
