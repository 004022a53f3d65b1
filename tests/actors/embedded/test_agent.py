"""The embedded agent, as a real program, through its own adapter."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.access import BridgeAccess
from actors.adapters import embedded
from actors.adapters.base import AgentSettings
from actors.embedded.agent import STATE_FOLDER, EmbeddedAgent
from actors.embedded.scenario_file import load_scenario
from actors.errors import AgentDiedError, AgentUnavailableError, SessionNotFoundError
from tests.actors.adapters.acp_rig import Events, Opened, is_alive, opened, run, settings
from tests.lab.ports import own_port
from tests.patience import PATIENCE_S

SCENARIO = r"""
[[turn]]
role = "worker"
when = "^work"
[[turn.step]]
say = "looking"
[[turn.step]]
run = "echo made > made.txt; cat made.txt; exit 3"
[[turn.step]]
say = "it failed"
if_result = 'made\s+\(exit status 3\)'

[[turn]]
role = "reviewer"
when = "^work"
[[turn.step]]
say = "I only review"

[[turn]]
when = "^long"
[[turn.step]]
run = "test -e began && echo once more || { touch began; echo $$ > pid; sleep 60; }"
[[turn.step]]
say = "carried on"
if_result = "once more"

[[turn]]
when = "^busy"
[[turn.step]]
fault = { status = 529 }
[[turn.step]]
say = "not busy any more"

[[turn]]
when = "^limit"
[[turn.step]]
fault = { status = 429, resets_in_s = 60 }

[[turn]]
when = "^hang"
[[turn.step]]
say = "wait"
[[turn.step]]
fault = { hang = true }

[[turn]]
when = "^drop"
[[turn.step]]
fault = { drop = true }
[[turn.step]]
say = "back again"

[[turn]]
when = "^mail"
[[turn.step]]
send = { target = "peer", message = "please look" }
[[turn.step]]
run = "until test -e away; do sleep 0.02; done"
[[turn.step]]
bridge = { tool = "fail" }
[[turn.step]]
bridge = { tool = "no_such_tool" }
[[turn.step]]
say = "sent"
"""


def embedded_settings(home: Path, role: str = "worker", bridge: BridgeAccess | None = None) -> AgentSettings:
    (home / "scenario.toml").write_text(SCENARIO)
    return settings(home, options={"scenario": str(home / "scenario.toml"), "role": role}, bridge=bridge)


def new_id() -> str:
    return str(uuid.uuid4())


def transcript(home: Path, session_id: str) -> list[dict[str, Any]]:
    lines = (home / STATE_FOLDER / f"{session_id}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def prompts(home: Path, session_id: str) -> list[str]:
    return [line["id"] for line in transcript(home, session_id) if line["kind"] == "prompt"]


async def killed(it: Opened, turn: asyncio.Task[Any]) -> None:
    os.kill(it.events.pid, signal.SIGKILL)
    with pytest.raises(AgentDiedError, match="SIGKILL"):
        await turn


def test_a_turn_runs_its_commands_and_reacts_to_the_results(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(embedded.factory, embedded_settings(tmp_path)) as it:
            turn_id = new_id()
            outcome = await it.agent.turn(turn_id, "work on it")
            assert (outcome.status, outcome.text) == ("finished", "it failed")
            assert it.events.texts("say") == ["looking", "it failed"]
            assert it.events.texts("tool-result") == ["exit 3: made"]
            assert (tmp_path / "work" / "made.txt").read_text() == "made\n"
            assert prompts(tmp_path, it.session_id) == [turn_id]
            assert [e.message_id for e in it.events.all if e.kind == "seen"] == [turn_id]
        prompt = next(line for line in transcript(tmp_path, it.session_id) if line["kind"] == "prompt")
        assert prompt["text"] == "work on it"  # no marker: it gives ids back

    run(play())


def test_each_role_plays_its_own_rules(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(embedded.factory, embedded_settings(tmp_path, "reviewer")) as it:
            assert (await it.agent.turn(new_id(), "work on it")).text == "I only review"

    run(play())


def test_killed_between_turns_it_still_knows_how_they_ended(tmp_path: Path) -> None:
    async def play() -> None:
        finished, failed, limited, cancelled = (new_id() for _ in range(4))
        outcomes = {}
        async with opened(embedded.factory, embedded_settings(tmp_path)) as it:
            outcomes[finished] = await it.agent.turn(finished, "work")
            outcomes[failed] = await it.agent.turn(failed, "busy?")
            outcomes[limited] = await it.agent.turn(limited, "limit?")
            turn = asyncio.create_task(it.agent.turn(cancelled, "hang"))
            await it.events.wait(lambda e: e.kind == "seen" and e.message_id == cancelled)
            await it.agent.interrupt()
            outcomes[cancelled] = await turn
            os.kill(it.events.pid, signal.SIGKILL)
        assert [outcome.status for outcome in outcomes.values()] == ["finished", "failed", "limited", "interrupted"]
        async with opened(embedded.factory, embedded_settings(tmp_path), it.session_id) as again:
            for message_id, outcome in outcomes.items():
                found = await again.agent.find_turn(message_id)
                assert found.state == "finished"
                assert found.outcome == outcome
            assert (await again.agent.find_turn(new_id())).state == "absent"

    run(play())


def test_killed_in_the_middle_of_a_turn_it_knows_the_prompt_and_carries_on(tmp_path: Path) -> None:
    async def play() -> None:
        cut, note = new_id(), new_id()
        async with opened(embedded.factory, embedded_settings(tmp_path)) as it:
            turn = asyncio.create_task(it.agent.turn(cut, "long job"))
            await it.events.wait(lambda e: e.kind == "tool")
            await killed(it, turn)
        async with opened(embedded.factory, embedded_settings(tmp_path), it.session_id) as again:
            assert (await again.agent.find_turn(cut)).state == "unfinished"
            (tmp_path / "work" / "began").touch()  # it may have been killed before the command's first word
            outcome = await again.agent.turn(note, "you were interrupted: carry on")
            assert (outcome.status, outcome.text) == ("finished", "carried on")
        assert prompts(tmp_path, it.session_id) == [cut, note]

    run(play())


def test_a_prompt_that_comes_twice_is_recorded_twice(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(embedded.factory, embedded_settings(tmp_path)) as it:
            turn_id = new_id()
            await it.agent.turn(turn_id, "work")
            await it.agent.turn(turn_id, "work")
            assert prompts(tmp_path, it.session_id) == [turn_id, turn_id]

    run(play())


def test_a_line_torn_by_a_kill_is_cut_off(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(embedded.factory, embedded_settings(tmp_path)) as it:
            await it.agent.turn(new_id(), "work")
        file = tmp_path / STATE_FOLDER / f"{it.session_id}.jsonl"
        whole = file.read_text()
        file.write_text(whole + '{"kind": "prompt", "id"')
        async with opened(embedded.factory, embedded_settings(tmp_path), it.session_id):
            assert file.read_text() == whole

    run(play())


def test_an_interrupted_command_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(embedded.factory, embedded_settings(tmp_path)) as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "long job"))
            await it.events.wait(lambda e: e.kind == "tool")
            family = await asyncio.to_thread(_children_of, it.events.pid)
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"
            assert [process for process in family if is_alive(process)] == []

    run(play())


def _children_of(pid: int) -> list[psutil.Process]:
    """Waits for the shell: the agent tells of a call before it is made."""
    agent = psutil.Process(pid)
    while not (family := agent.children(recursive=True)):
        agent.status()  # raises when the agent is gone
    return family


def test_a_cancel_in_the_same_breath_as_its_prompt_is_answered(tmp_path: Path) -> None:
    scenario = embedded_settings(tmp_path).options["scenario"]
    program = (sys.executable, "-m", "actors.embedded.agent", "--scenario", str(scenario))
    command = (*program, "--role", "worker", "--state", str(tmp_path / "state"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None

        def send(*messages: dict[str, Any]) -> None:
            lines = [json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n" for message in messages]
            os.write(agent.stdin.fileno(), b"".join(lines))

        send({"id": 1, "method": "session/new", "params": {"cwd": str(tmp_path), "mcpServers": []}})
        session = {"sessionId": json.loads(agent.stdout.readline())["result"]["sessionId"]}
        prompt = {
            "id": 2,
            "method": "session/prompt",
            "params": {**session, "prompt": [{"type": "text", "text": "hang"}]},
        }
        send(prompt, {"method": "session/cancel", "params": session})
        answers = (json.loads(line) for line in agent.stdout)
        assert next(answer for answer in answers if answer.get("id") == 2)["result"] == {"stopReason": "cancelled"}
        agent.stdin.close()
        assert agent.wait(PATIENCE_S) == 0


def test_a_turn_whose_client_no_longer_listens_is_left_unfinished(tmp_path: Path) -> None:
    """Of a client that was killed, the end of listening may be noticed before the end of what it says."""

    async def play() -> None:
        told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def send(message: dict[str, Any]) -> None:
            told.put_nowait(message)
            if "looking" in json.dumps(message):
                raise BrokenPipeError

        scenario = load_scenario(Path(str(embedded_settings(tmp_path).options["scenario"])))
        agent = EmbeddedAgent(scenario, "worker", tmp_path / STATE_FOLDER, send)
        reader = asyncio.StreamReader()
        serving = asyncio.create_task(agent.serve(reader))
        new = {"id": 1, "method": "session/new", "params": {"cwd": str(tmp_path), "mcpServers": []}}
        reader.feed_data(json.dumps(new).encode() + b"\n")
        session_id = (await told.get())["result"]["sessionId"]
        params = {"sessionId": session_id, "prompt": [{"type": "text", "text": "work"}]}
        reader.feed_data(json.dumps({"id": 2, "method": "session/prompt", "params": params}).encode() + b"\n")
        while "looking" not in json.dumps(await told.get()):
            pass
        reader.feed_eof()
        await serving
        kinds = [line["kind"] for line in transcript(tmp_path, session_id)]
        assert kinds == ["session", "prompt", "say"]

    run(play())


def test_when_its_client_is_gone_it_ends_its_command_and_itself(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(embedded.factory, embedded_settings(tmp_path)) as it:
            cut = new_id()
            turn = asyncio.create_task(it.agent.turn(cut, "long job"))
            await it.events.wait(lambda e: e.kind == "tool")
            family = await asyncio.to_thread(_children_of, it.events.pid)
            await it.agent.close()
            with pytest.raises(AgentDiedError):
                await turn
            assert [process for process in family if is_alive(process)] == []
        assert "end" not in {line["kind"] for line in transcript(tmp_path, it.session_id)}

    run(play())


def test_a_fault_strikes_as_often_as_it_says_also_over_restarts(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(embedded.factory, embedded_settings(tmp_path)) as it:
            busy = await it.agent.turn(new_id(), "busy?")
            assert (busy.status, busy.error) == ("failed", "scripted fault: HTTP status 529 (error 529)")
            assert (await it.agent.turn(new_id(), "busy?")).text == "not busy any more"
            limited = await it.agent.turn(new_id(), "limit?")
            lines = transcript(tmp_path, it.session_id)
            assert limited.resets_at_ms is not None
            assert abs(limited.resets_at_ms - 60_000 - lines[-1]["at_ms"]) < 1_000
            with pytest.raises(AgentDiedError, match="exited with status 1"):
                await it.agent.turn(new_id(), "drop")
        async with opened(embedded.factory, embedded_settings(tmp_path), it.session_id) as again:
            assert (await again.agent.turn(new_id(), "drop")).text == "back again"

    run(play())


def test_a_fault_that_is_counted_everywhere_strikes_in_one_session_alone(tmp_path: Path) -> None:
    scenario = SCENARIO.replace("fault = { status = 529 }", "fault = { status = 529, everywhere = true }")

    async def play() -> None:
        ended = []
        for _ in range(2):
            found = embedded_settings(tmp_path)
            (tmp_path / "scenario.toml").write_text(scenario)
            async with opened(embedded.factory, found) as it:
                ended.append((await it.agent.turn(new_id(), "busy?")).status)
        assert ended == ["failed", "finished"]

    run(play())


def test_a_turn_uses_the_tokens_that_the_scenario_says(tmp_path: Path) -> None:
    async def play() -> None:
        found = embedded_settings(tmp_path)
        (tmp_path / "scenario.toml").write_text(f"tokens_per_turn = 1000\n{SCENARIO}")
        async with opened(embedded.factory, found) as it:
            usage = (await it.agent.turn(new_id(), "work on it")).usage
            assert (usage.input_tokens, usage.output_tokens) == (900, 100)

    run(play())


def test_a_session_that_it_does_not_have_is_reported_as_such(tmp_path: Path) -> None:
    async def play() -> None:
        with pytest.raises(SessionNotFoundError, match="no session 'nowhere'"):
            async with opened(embedded.factory, embedded_settings(tmp_path), "nowhere"):
                pass

    run(play())


def test_a_scenario_that_cannot_be_played_is_one_clear_line(tmp_path: Path) -> None:
    async def play() -> None:
        bad = embedded_settings(tmp_path)
        (tmp_path / "scenario.toml").write_text("[[turn]]\nwhen = 1\n")
        with pytest.raises(AgentUnavailableError, match=r"scenario\.toml"):
            embedded.preflight(bad)
        agent = embedded.factory(bad, Events())
        with pytest.raises(AgentUnavailableError, match=r"exited with status 2: .*scenario\.toml") as caught:
            await agent.open(None)
        await agent.close()
        assert "\n" not in str(caught.value)

    run(play())


def test_the_agent_of_a_foreign_working_directory_is_still_ours(tmp_path: Path) -> None:
    async def play() -> None:
        given = embedded_settings(tmp_path)
        (tmp_path / "work" / "actors").mkdir()
        (tmp_path / "work" / "actors" / "__init__.py").write_text("raise SystemExit('a repository of that name')")
        (tmp_path / "work" / "json.py").write_text("raise SystemExit('a module of that name')")
        async with opened(embedded.factory, given) as it:
            assert (await it.agent.turn(new_id(), "work")).status == "finished"

    run(play())


def test_starting_it_imports_no_protocol_packages() -> None:
    look = "import sys, actors.embedded.agent; print({'acp', 'mcp', 'pydantic'} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert answer.stdout.strip() == "set()"


# --- the bridge ---------------------------------------------------------------------------------------------

TOKEN = "the-token-of-this-agent"


class OnlyWithToken:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused: Response | None = None
        if scope["type"] == "http" and Request(scope).headers.get("authorization") != f"Bearer {TOKEN}":
            refused = PlainTextResponse("who are you?", status_code=401)
        await (refused or self.app)(scope, receive, send)


def listening(port: int) -> socket.socket:
    """The server closes it."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


@contextmanager
def bridge_server(listener: socket.socket, mails: list[tuple[str, str]]) -> Iterator[None]:
    server = MCPServer("loop-bridge", log_level="ERROR")

    @server.tool()
    def send_message(target: str, message: str) -> str:
        mails.append((target, message))
        return "accepted for delivery"

    @server.tool()
    def fail() -> str:
        raise ToolError("on purpose")

    app = OnlyWithToken(server.streamable_http_app(stateless_http=True, json_response=True))
    web = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
    thread = threading.Thread(target=web.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        web.should_exit = True
        thread.join(PATIENCE_S)


def test_it_calls_the_bridge_with_its_token_and_waits_while_the_bridge_starts_again(tmp_path: Path) -> None:
    async def play() -> None:
        mails: list[tuple[str, str]] = []
        port = own_port()
        first = listening(port)
        bridge = BridgeAccess(url=f"http://127.0.0.1:{port}/mcp", token=TOKEN)
        given = embedded_settings(tmp_path, bridge=bridge)
        given.environment["HTTP_PROXY"] = "http://127.0.0.1:9"  # must not be asked for a loopback address
        async with opened(embedded.factory, given) as it:
            with bridge_server(first, mails):
                turn = asyncio.create_task(it.agent.turn(new_id(), "mail it"))
                await it.events.wait(lambda e: e.text.startswith("completed: accepted"))
            (tmp_path / "work" / "away").touch()
            await it.events.wait(lambda e: e.kind == "tool" and e.text.startswith("fail"))
            with pytest.raises(TimeoutError):  # it does not give up
                async with asyncio.timeout(0.5):
                    await it.events.wait(lambda e: "Refused" in e.text)
            with bridge_server(listening(port), mails):
                outcome = await turn
            assert outcome.text == "sent"
            sent, _, failed, unknown = it.events.texts("tool-result")
            assert sent == "completed: accepted for delivery"
            assert "on purpose" in failed
            assert "no_such_tool" in unknown
        assert mails == [("peer", "please look")]

    run(play())


@pytest.mark.parametrize("calls", [True, False])
def test_it_greets_the_bridge_when_its_scenario_calls_it(tmp_path: Path, *, calls: bool) -> None:
    async def play(url: str) -> None:
        given = embedded_settings(tmp_path, bridge=BridgeAccess(url=url, token=TOKEN))
        if not calls:
            (tmp_path / "scenario.toml").write_text('[[turn]]\nwhen = ""\n[[turn.step]]\nsay = "hello"\n')
        async with opened(embedded.factory, given) as it:
            assert (await it.agent.turn(new_id(), "hello")).status == "finished"

    with listening(0) as listener:
        run(play(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"))
        listener.setblocking(False)
        if calls:
            listener.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_bridge_that_does_not_know_its_token_is_a_failed_call_and_no_more(tmp_path: Path) -> None:
    async def play(url: str) -> None:
        bridge = BridgeAccess(url=url, token="another")
        async with opened(embedded.factory, embedded_settings(tmp_path, bridge=bridge)) as it:
            assert (await it.agent.turn(new_id(), "mail it")).text == "sent"
            results = [line for line in transcript(tmp_path, it.session_id) if line["kind"] == "result"]
            assert [line["ok"] for line in results] == [False, True, False, False]

    mails: list[tuple[str, str]] = []
    listener = listening(0)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "away").touch()
    with bridge_server(listener, mails):
        run(play(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"))
    assert mails == []
