"""What the contract (tests/contract) does not ask of the Codex adapter: the real bundled `codex`, against the scripted
model. With both kinds of model only where its tools matter.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types
import pytest

from actors.access import BridgeAccess
from actors.adapters import codex
from actors.adapters.base import discard_event
from actors.errors import AgentDiedError, AgentError, AgentUnavailableError, SessionNotFoundError
from actors.machines.review_answer import SCHEMA
from tests.actors.adapters.acp_rig import is_alive, opened, put_wrapper, run
from tests.actors.adapters.codex_rig import (
    Bench,
    benched,
    freeze,
    new_id,
    thread_of,
    until_asked,
    user_messages,
)
from tests.actors.adapters.stand_in_bridge import mcp_server
from tests.lab.ports import own_port
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.real_agents


@pytest.fixture(params=["scripted", ""], ids=["function-tools", "default-model"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """With a model that Codex does not know it has function tools; its own default works in code mode."""
    with benched(tmp_path / "home", request.param) as bench:
        yield bench


@pytest.fixture
def function_bench(tmp_path: Path) -> Iterator[Bench]:
    with benched(tmp_path / "home", "scripted") as bench:
        yield bench


@pytest.fixture
def code_bench(tmp_path: Path) -> Iterator[Bench]:
    with benched(tmp_path / "home", "") as bench:
        yield bench


# --- turns --------------------------------------------------------------------------------------------------


def test_a_turn_has_its_own_model_and_the_next_one_the_sessions_again(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            await it.agent.turn(new_id(), "hello")
            own = (await thread_of(it))["model"]
            assert (own == "scripted") != bench.in_code_mode
            await it.agent.turn(new_id(), "hello", model="another")
            assert (await thread_of(it))["model"] == "another"
            await it.agent.turn(new_id(), "hello")
            assert (await thread_of(it))["model"] == own
            await it.agent.turn(new_id(), "hello", model="another")
        async with bench.open(it.session_id) as it:
            await it.agent.turn(new_id(), "hello")
            assert (await thread_of(it))["model"] == own
        async with bench.open(it.session_id, model="chosen") as it:
            await it.agent.turn(new_id(), "hello")
            assert (await thread_of(it))["model"] == "chosen"

    run(play())


def test_an_answer_is_bound_to_a_schema_in_its_own_turn_alone(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            await it.agent.turn(new_id(), "hello")
            assert (await it.agent.turn(new_id(), "hello", schema=SCHEMA)).text == "hello"  # the model's own breach
            await it.agent.turn(new_id(), "hello")
            assert [request.schema for request in bench.model.requests] == [False, True, False]

    run(play())


def test_a_terminal_that_is_left_running_is_named_and_does_not_keep_the_turn_open(function_bench: Bench) -> None:
    async def play() -> None:
        async with function_bench.open() as it:
            assert (await it.agent.turn(new_id(), "leave a terminal")).text == "left it"
            note = "background terminals continue after this turn: shell mkfifo word; cat word"
            assert note in it.events.texts("note")
            await it.agent.turn(new_id(), "use a tool")
            assert it.events.texts("note").count(note) == 2

    run(play())


def test_a_goal_that_the_agent_sets_starts_no_turns_of_its_own(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            await it.agent.turn(new_id(), "set a goal")
            await it.agent.turn(new_id(), "hello")
            assert not any("thread/goal/updated" in event.raw for event in it.events.all)
            assert [request.prompt for request in bench.model.requests] == ["set a goal", "set a goal", "hello"]

    run(play())


def test_the_child_has_the_given_environment_and_nothing_of_ours(function_bench: Bench) -> None:
    assert "PYTEST_CURRENT_TEST" in os.environ

    async def play() -> None:
        async with function_bench.open() as it:
            await it.agent.turn(new_id(), "tell the variable")
            assert it.events.texts("tool-result") == ["exit 0: variable=[]"]

    run(play())


# --- turns that do not finish -------------------------------------------------------------------------------


def test_an_interrupt_at_the_very_beginning_of_a_turn_is_not_lost(function_bench: Bench) -> None:
    async def play() -> None:
        async with function_bench.open() as it:
            for turns in range(3):
                turn = asyncio.create_task(it.agent.turn(new_id(), f"never answer {turns}"))
                await asyncio.sleep(0)  # it is on its way and has no id yet
                while turns and not it.agent._turn.progress.turn_id:  # noqa: ASYNC110 - no event marks this window
                    await asyncio.sleep(0)  # it has an id, but Codex refuses to interrupt it until turn/started
                await it.agent.interrupt()
                assert (await turn).status == "interrupted"

    run(play())


def test_a_used_up_limit_says_when_it_ends(function_bench: Bench) -> None:
    async def play() -> None:
        async with function_bench.open() as it:
            asked_s = int(time.time())
            outcome = await it.agent.turn(new_id(), "reach the limit")
            assert outcome.status == "limited"
            assert "usage limit" in outcome.error
            assert asked_s <= outcome.resets_at_ms // 1000 - 3600 <= time.time()
            assert it.events.texts("limit")[-1].startswith("5 h limit used 100 %, until ")
            assert (await it.agent.turn(new_id(), "reach the limit")).text == "within the limit"
            assert len(it.events.texts("limit")) == 1

    run(play())


def test_a_turn_says_how_much_of_the_window_is_used(function_bench: Bench) -> None:
    async def play() -> None:
        async with function_bench.open() as it:
            assert (await it.agent.turn(new_id(), "hello")).window is None
            asked_s = int(time.time())
            window = (await it.agent.turn(new_id(), "use most of it")).window
            assert (window.used_percent, window.name) == (97, "5-hour limit")
            assert asked_s <= window.resets_at_ms // 1000 - 3600 <= time.time()
            assert (await it.agent.turn(new_id(), "reach the limit")).window.used_percent == 100

    run(play())


def test_a_thread_continues_in_another_account_and_back(function_bench: Bench) -> None:
    async def play() -> None:
        here = function_bench.settings.environment
        account = function_bench.home / "work-account"
        account.mkdir()
        shutil.copy(function_bench.home / ".codex" / "config.toml", account)
        work = here | {"CODEX_HOME": str(account)}
        turn_ids = [new_id(), new_id(), new_id()]
        async with function_bench.open() as it:
            await it.agent.turn(turn_ids[0], "hello")
        for turn_id, own, other in ((turn_ids[1], work, here), (turn_ids[2], here, work)):
            async with function_bench.open(it.session_id, environment=own, elsewhere=(other,)) as it:
                assert (await it.agent.find_turn(turn_ids[0])).state == "finished"
                assert (await it.agent.turn(turn_id, "hello")).status == "finished"
        async with function_bench.open(it.session_id) as it:
            assert [(await it.agent.find_turn(each)).state for each in turn_ids] == ["finished"] * 3

    run(play())


def test_too_many_requests_are_a_limit_without_a_known_end(function_bench: Bench) -> None:
    async def play() -> None:
        async with function_bench.open() as it:
            outcome = await it.agent.turn(new_id(), "ask too often")
            assert (outcome.status, outcome.resets_at_ms) == ("limited", None)

    run(play())


def test_an_error_of_the_provider_is_the_outcome_and_stays_in_the_transcript(function_bench: Bench) -> None:
    async def play() -> None:
        async with function_bench.open() as it:
            overloaded = new_id()
            outcome = await it.agent.turn(overloaded, "overload")
            assert outcome.status == "failed"
            assert "529" in outcome.error
            assert outcome.cause == "transient"
            assert (await it.agent.turn(new_id(), "crash the provider")).status == "failed"
            assert "disconnected" in (await it.agent.turn(new_id(), "break off")).error
        async with function_bench.open(it.session_id) as it:
            found = await it.agent.find_turn(overloaded)
            assert (found.state, found.outcome.status) == ("finished", "failed")
            assert "529" in found.outcome.error
            assert found.outcome.cause == "transient"

    run(play())


# --- steering -----------------------------------------------------------------------------------------------


def test_what_was_steered_and_not_seen_is_dropped_by_an_interrupt(function_bench: Bench) -> None:
    async def play() -> None:
        async with function_bench.open() as it:
            steered = new_id()
            turn = asyncio.create_task(it.agent.turn(new_id(), "wait for a word"))
            await it.events.wait(lambda event: event.kind == "tool")
            assert await it.agent.steer(steered, "by the way")
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"
            assert (await it.agent.find_turn(steered)).state == "absent"
            await it.agent.turn(new_id(), "hello")
            assert steered not in await user_messages(it)

    run(play())


# --- death and resumption -----------------------------------------------------------------------------------


def test_a_wrapper_that_is_killed_ends_the_turn_and_its_program(function_bench: Bench, tmp_path: Path) -> None:
    bench = function_bench
    path = put_wrapper(tmp_path / "bin", "codex", codex.locate(bench.settings.environment))
    bench.settings = bench.with_variables(PATH=f"{path}:{bench.settings.environment['PATH']}")

    async def play() -> None:
        async with bench.open() as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "hang"))
            await until_asked(bench, "hang")
            (program,) = psutil.Process(it.events.pid).children()
            os.kill(it.events.pid, signal.SIGKILL)
            with pytest.raises(AgentDiedError, match="SIGKILL"):
                await turn
            assert is_alive(program)
        assert not is_alive(program)
        async with bench.open(it.session_id) as again:
            assert (await again.agent.turn(new_id(), "hello")).status == "finished"

    run(play())


def test_a_session_that_never_had_a_turn_is_unknown_once_its_program_has_ended(function_bench: Bench) -> None:
    async def play() -> None:
        async with function_bench.open() as it:
            pass
        with pytest.raises(SessionNotFoundError, match=it.session_id):
            async with function_bench.open(it.session_id):
                pass

    run(play())


def test_what_is_no_session_id_is_said_to_be_unknown(function_bench: Bench) -> None:
    async def play() -> None:
        with pytest.raises(SessionNotFoundError, match="nonsense"):
            async with function_bench.open("nonsense"):
                pass

    run(play())


def test_an_archived_session_is_up_to_the_user(function_bench: Bench) -> None:
    async def play() -> None:
        async with function_bench.open() as it:
            await it.agent.turn(new_id(), "hello")
            await it.agent._opened().request("thread/archive", {"threadId": it.session_id})
        with pytest.raises(AgentUnavailableError, match="codex unarchive"):
            async with function_bench.open(it.session_id):
                pass

    run(play())


def test_a_session_that_another_codex_still_holds_is_refused(function_bench: Bench) -> None:
    async def play() -> None:
        async with function_bench.open() as it:
            await it.agent.turn(new_id(), "hello")
            with pytest.raises(AgentError, match="active writer") as refused:
                async with function_bench.open(it.session_id):
                    pass
            assert not isinstance(refused.value, AgentUnavailableError | SessionNotFoundError)  # worth another try

    run(play())


# --- the bridge ---------------------------------------------------------------------------------------------


def test_a_tool_of_the_bridge_is_called_with_the_token(bench: Bench) -> None:
    async def play() -> None:
        with mcp_server() as (url, calls):
            async with bench.open(bridge=BridgeAccess(url=url, token="secret-token")) as it:
                outcome = await it.agent.turn(new_id(), "write to claude")
                assert (outcome.status, outcome.text) == ("finished", "sent")
                arguments = '{"target": "claude", "message": "hello"}'
                assert it.events.texts("tool") == [f"loop-bridge.send_message {arguments}"]
                assert it.events.texts("tool-result") == ["completed: queued as 7"]
                assert {token for _, token, _ in calls} == {"Bearer secret-token"}
                called = [params for method, _, params in calls if method == "tools/call"]
                assert [params["arguments"] for params in called] == [{"target": "claude", "message": "hello"}]
                assert "secret-token" not in " ".join(psutil.Process(it.events.pid).cmdline())

    run(play())


@pytest.mark.parametrize("own", ["", "Speak like a pirate."])
def test_codex_is_told_once_which_send_message_is_meant(code_bench: Bench, own: str) -> None:
    if own:
        config = code_bench.home / ".codex" / "config.toml"
        config.write_text(f'developer_instructions = "{own}"\n{config.read_text()}')

    async def play() -> None:
        with mcp_server() as (url, _):
            bridge = BridgeAccess(url=url, token="secret-token")
            async with code_bench.open(bridge=bridge) as it:
                await it.agent.turn(new_id(), "hello")
            async with code_bench.open(it.session_id, bridge=bridge) as it:
                await it.agent.turn(new_id(), "hello")
        (rollout,) = code_bench.home.glob(f".codex/sessions/**/rollout-*{it.session_id}.jsonl")
        told = [
            part["text"]
            for line in rollout.read_text().splitlines()
            if (item := json.loads(line).get("payload", {})).get("role") == "developer"
            for part in item.get("content", ())
            if "await tools.mcp__loop_bridge__send_message(" in part["text"]
        ]
        assert len(told) == 1
        assert told[0].startswith(own)

    run(play())


def test_a_question_to_the_user_does_not_hold_the_turn_up(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            assert (await it.agent.turn(new_id(), "ask the user")).text == "asked twice"

    run(play())


def test_a_message_to_a_sub_agent_of_that_name_is_no_mail(code_bench: Bench) -> None:
    async def play() -> None:
        with mcp_server() as (url, calls):
            async with code_bench.open(bridge=BridgeAccess(url=url, token="secret-token")) as it:
                assert (await it.agent.turn(new_id(), "take the wrong tool")).text == "live agent path not found"
                assert not [method for method, _, _ in calls if method == "tools/call"]

    run(play())


def test_a_sub_agent_is_shown(code_bench: Bench) -> None:
    async def play() -> None:
        async with code_bench.open() as it:
            assert (await it.agent.turn(new_id(), "delegate")).status == "finished"
            assert "agent.started /root/helper" in it.events.texts("tool")

    run(play())


def test_a_bridge_that_is_not_there_is_noted_and_the_turn_goes_on(function_bench: Bench) -> None:
    async def play() -> None:
        gone = f"http://127.0.0.1:{own_port()}/mcp"
        async with function_bench.open(bridge=BridgeAccess(url=gone, token="secret-token")) as it:
            assert (await it.agent.turn(new_id(), "hello")).status == "finished"
            note = await it.events.wait(lambda event: event.kind == "note")
            assert note.text.startswith("MCP server loop-bridge did not start")

    run(play())


# --- the end ------------------------------------------------------------------------------------------------


def test_closing_leaves_no_thread(function_bench: Bench) -> None:
    before = set(threading.enumerate())

    async def play() -> None:
        async with function_bench.open() as it:
            await it.agent.turn(new_id(), "hello")

    run(play())
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(PATIENCE_S)  # the last one may just be on its way out
    assert [thread for thread in left if thread.is_alive()] == []


def test_a_request_without_an_answer_does_not_hold_up_closing(function_bench: Bench) -> None:
    async def play() -> None:
        async with function_bench.open() as it:
            await asyncio.to_thread(freeze, it.events.pid)
            request = asyncio.create_task(it.agent.find_turn(new_id()))
            await asyncio.sleep(0)
            await it.agent.close()
            with pytest.raises(AgentDiedError):
                await request

    run(play())


HANGING = """
import asyncio, json, os, signal, sys
from pathlib import Path
from actors.adapters import codex
from actors.adapters.base import AgentSettings

async def hang():
    pids = []
    settings = AgentSettings(name="codex", cwd=Path(sys.argv[1]), environment=json.loads(sys.argv[2]))
    agent = codex.factory(settings, lambda event: pids.append(event.pid))
    await agent.open(None)
    os.kill(pids[0], signal.SIGSTOP)
    os.waitid(os.P_PID, pids[0], os.WSTOPPED | os.WNOWAIT)
    request = asyncio.create_task(agent.find_turn("x"))
    await asyncio.sleep(0)
    print(pids[0], flush=True)
    request.cancel()

asyncio.run(hang())
"""


def test_a_request_without_an_answer_does_not_keep_the_interpreter(function_bench: Bench) -> None:
    environment = json.dumps(function_bench.settings.environment)
    ended = subprocess.run(
        [sys.executable, "-c", HANGING, str(function_bench.work), environment],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert is_alive(psutil.Process(int(ended.stdout)))
    assert "Exception" not in ended.stderr


# --- before anything is started -----------------------------------------------------------------------------


def test_importing_the_adapter_does_not_import_the_sdk() -> None:
    code = "import sys, actors.adapters.codex; print([m for m in sys.modules if 'openai' in m or 'pydantic' in m])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_a_model_provider_that_needs_no_login_is_enough(function_bench: Bench) -> None:
    codex.preflight(function_bench.settings)


def test_without_a_login_the_next_step_is_named(function_bench: Bench) -> None:
    function_bench.configure("requires_openai_auth = true")
    with pytest.raises(AgentUnavailableError, match=r"^codex is not logged in: run codex login$"):
        codex.preflight(function_bench.settings)
    with pytest.raises(AgentUnavailableError, match=r"login, or export CODEX_API_KEY=\$OPENAI_API_KEY$"):
        codex.preflight(function_bench.with_variables(OPENAI_API_KEY="sk-test"))
    (function_bench.home / ".codex" / "auth.json").write_text('{"OPENAI_API_KEY": "sk-test"}')
    codex.preflight(function_bench.settings)


def test_a_key_in_the_environment_is_a_login_and_is_not_written_down(function_bench: Bench) -> None:
    function_bench.configure("requires_openai_auth = true")
    settings = function_bench.with_variables(CODEX_API_KEY="sk-test")
    codex.preflight(settings)

    async def play() -> None:
        async with opened(codex.factory, settings) as it:
            account = await it.agent._opened().request("account/read", {})
            assert account["account"] == {"type": "apiKey"}
            assert (await it.agent.turn(new_id(), "hello")).status == "finished"

    run(play())
    assert not (function_bench.home / ".codex" / "auth.json").exists()


def test_a_key_that_the_model_provider_wants_is_named(function_bench: Bench) -> None:
    function_bench.configure('env_key = "MY_KEY"')
    with pytest.raises(AgentUnavailableError, match="scripted reads its key from MY_KEY: export MY_KEY=…"):
        codex.preflight(function_bench.settings)
    codex.preflight(function_bench.with_variables(MY_KEY="x"))


def test_a_configuration_that_codex_refuses_is_said_on_one_line(function_bench: Bench) -> None:
    function_bench.configure("nonsense = = 3")
    with pytest.raises(AgentUnavailableError, match=r"config\.toml:\d+") as refused:
        codex.preflight(function_bench.settings)
    assert "\n" not in str(refused.value)

    async def play() -> None:
        with pytest.raises(AgentUnavailableError, match=r"config\.toml:\d+"):
            async with function_bench.open():
                pass

    run(play())


def test_a_working_directory_that_is_not_there_is_named(function_bench: Bench) -> None:
    async def play() -> None:
        agent = codex.factory(replace(function_bench.settings, cwd=function_bench.home / "nowhere"), discard_event)
        with pytest.raises(AgentUnavailableError, match="nowhere"):
            await agent.open(None)
        await agent.close()

    run(play())


def own_codex(directory: Path, version: str, otherwise: str = "exit 1") -> Path:
    directory.mkdir(exist_ok=True)
    program = directory / "codex"
    answer = f'if [ "$1" = --version ]; then echo codex-cli {version}; else {otherwise}; fi'
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("otherwise", "error", "text"),
    [
        ("echo no such luck >&2; exit 3", AgentUnavailableError, "no such luck"),
        ("kill -9 $$", AgentDiedError, "SIGKILL"),
    ],
)
def test_a_program_that_ends_at_once_is_unavailable_and_one_that_was_killed_is_not(
    function_bench: Bench, otherwise: str, error: type[AgentError], text: str
) -> None:
    program = own_codex(function_bench.home / "bin", "1.0.0", otherwise)
    settings = function_bench.with_variables(PATH=f"{program.parent}:/usr/bin:/bin")

    async def play() -> None:
        with pytest.raises(error, match=text):
            async with opened(codex.factory, settings):
                pass

    run(play())
    with pytest.raises(AgentUnavailableError, match="does not run"):
        codex.preflight(settings)


@pytest.mark.parametrize(("version", "preferred"), [("0.163.0", True), ("1.0.0", True), ("0.99.0", False)])
def test_the_users_own_codex_is_preferred_unless_it_is_too_old(
    tmp_path: Path, version: str, *, preferred: bool
) -> None:
    program = own_codex(tmp_path / "bin", version)
    found = codex.locate({"PATH": f"{program.parent}:/usr/bin:/bin"})
    assert (found == program) is preferred
    assert found.is_file()


def test_without_a_codex_on_the_path_the_bundled_one_is_used(tmp_path: Path) -> None:
    assert codex.locate({"PATH": str(tmp_path)}).parts[-2:] == ("bin", "codex")
    assert codex.locate({}) == codex.locate({"PATH": str(tmp_path)})
