"""What the contract (tests/contract) does not ask of the Claude adapter: the real bundled `claude`, in a throw-away
home, against the scripted model.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.access import BridgeAccess
from actors.adapters import claude
from actors.adapters.base import SIGN_OF_LIFE, Agent, AgentFactory, AgentSettings, EventSink
from actors.adapters.claude_program import arguments, child_environment, refuse_root
from actors.embedded.scenario_file import parse_scenario
from actors.errors import AgentDiedError, AgentUnavailableError, SessionNotFoundError
from actors.machines.review_answer import SCHEMA, read_answer
from tests.actors.adapters.acp_rig import Opened, is_alive, opened, put_wrapper, rows, run
from tests.actors.adapters.stand_in_bridge import mcp_server
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.lab.ports import own_port
from tests.lab.turns import HELLO, REFUSALS, WORDS
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.real_agents

SCENARIO = (
    WORDS
    + """
[[turn]]
when = "^hang"
step = [{fault = {hang = true}}, {say = "went on"}]
[[turn]]
when = "^wait for a word"
step = [{run = "cat word"}, {say = "heard"}]
[[turn]]
when = "^give your verdict"
step = [{say = '{"verdict": "pass", "summary": "Fine.", "findings": [], "earlier": []}'}]
[[turn]]
when = "^give a last line"
step = [{say = "Fine.\\n<review>PASS</review>"}]
[[turn]]
when = "^break the form"
[[turn.step]]
run = "true"
[[turn.step]]
tool = {name = "StructuredOutput", input = {verdict = "maybe"}}
[[turn.step]]
tool = {name = "StructuredOutput", input = {verdict = "maybe"}}
[[turn.step]]
tool = {name = "StructuredOutput", input = {verdict = "maybe"}}
[[turn.step]]
tool = {name = "StructuredOutput", input = {verdict = "maybe"}}
[[turn.step]]
tool = {name = "StructuredOutput", input = {verdict = "maybe"}}
[[turn]]
when = "^leave a server"
step = [{run = "setsid sleep 300 > /dev/null 2>&1 & echo $! > server"}, {say = "left"}]
[[turn]]
when = "^tell the variables"
step = [{run = 'echo "[$PYTEST_CURRENT_TEST] [$FROM_USER_SETTINGS]"'}, {say = "told"}]
[[turn]]
when = "^start a background command"
[[turn.step]]
tool = {name = "Bash", input = {command = "cat word", run_in_background = true}}
[[turn.step]]
say = "waiting for it"
[[turn]]
when = "^start a background agent"
[[turn.step]]
[turn.step.tool]
name = "Agent"
input.description = "helps"
input.prompt = "be an agent"
input.subagent_type = "general-purpose"
input.run_in_background = true
[[turn.step]]
say = "waiting for it"
[[turn]]
when = "^be an agent"
step = [{run = "cat word"}, {say = "the agent's report"}]
[[turn]]
when = "^write to codex"
step = [{send = {target = "codex", message = "hello"}}, {say = "sent"}]
[[turn]]
when = "^move away"
step = [{tool = {name = "EnterWorktree", input = {name = "elsewhere"}}}, {run = "pwd"}, {say = "moved"}]
"""
    + REFUSALS
    + HELLO
)


class Bench:
    """A model that plays SCENARIO and a home that knows it."""

    def __init__(self, model: ModelServer, home: Path) -> None:
        self.model = model
        self.home = home
        prepare_home(home, model.url)
        self.work = home / "work"
        self.work.mkdir()
        os.mkfifo(self.work / "word")  # before anybody reads it or writes to it
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "IS_SANDBOX": "1"}
        environment = agent_environment(home, model.url, "reviewer", base)
        self.settings = AgentSettings(name="claude", cwd=self.work, environment=environment)

    def with_variables(self, **variables: str) -> AgentSettings:
        return replace(self.settings, environment=self.settings.environment | variables)

    def without(self, *names: str) -> AgentSettings:
        kept = {name: value for name, value in self.settings.environment.items() if name not in names}
        return replace(self.settings, environment=kept)

    def open(self, session_id: str | None = None, **changes: Any) -> Any:
        return opened(claude.factory, replace(self.settings, **changes), session_id)

    def prompts(self) -> list[str]:
        """What the model was asked for the first time."""
        return [request.prompt for request in self.model.requests if request.results == 0]

    def say_the_word(self) -> None:
        (self.work / "word").write_text("go on")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ModelServer(parse_scenario(SCENARIO, "test_claude")) as model:
        yield Bench(model, tmp_path / "home")


def new_id() -> str:
    return str(uuid.uuid4())


async def until_asked(bench: Bench, prompt: str, count: int = 1) -> None:
    await asyncio.to_thread(bench.model.wait_for, lambda request: request.prompt == prompt, 20, count)


async def until_seen(it: Opened, message_id: str) -> None:
    await it.events.wait(lambda event: event.kind == "seen" and event.message_id == message_id)


def transcript(bench: Bench, it: Opened) -> list[dict[str, Any]]:
    [path] = (bench.home / ".claude" / "projects").glob(f"*/{it.session_id}.jsonl")
    return rows(path)


# --- typed answers ------------------------------------------------------------------------------------------


def test_a_turn_that_is_bound_to_a_form_can_do_all_that_others_can(bench: Bench) -> None:
    async def play() -> None:
        with mcp_server() as (url, calls):
            async with bench.open(bridge=BridgeAccess(url=url, token="secret-token")) as it:
                await it.agent.turn(new_id(), "write to codex", schema=SCHEMA)
                assert [params for method, _, params in calls if method == "tools/call"]
                turn = asyncio.create_task(it.agent.turn(new_id(), "wait for a word", schema=SCHEMA))
                await it.events.wait(lambda event: event.text == "Bash: cat word")
                steered = new_id()
                assert await it.agent.steer(steered, "by the way")
                await asyncio.to_thread(bench.say_the_word)
                assert (await turn).text == "noted\nheard"
                await until_seen(it, steered)
                turn = asyncio.create_task(it.agent.turn(new_id(), "hang", schema=SCHEMA))
                await until_asked(bench, "hang")
                await it.agent.interrupt()
                assert (await turn).status == "interrupted"
                assert all(request.schema for request in bench.model.requests)
                processes = [event.pid for event in it.events.all if event.kind == "process"]
                assert len(processes) == 2  # it was opened, and started again for the first of these turns

    run(play())


def test_an_answer_that_breaks_its_form_is_what_was_said_and_its_session_takes_other_turns(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn_id = new_id()
            outcome = await it.agent.turn(turn_id, "give a last line", schema=SCHEMA)
            assert (outcome.status, outcome.text) == ("finished", "Fine.\n<review>PASS</review>")
            found = await it.agent.find_turn(turn_id)
            assert (found.state, found.outcome.text) == ("finished", outcome.text)
            assert it.events.texts("say") == [outcome.text, "I have answered."]  # asked by its own program
            outcome = await it.agent.turn(new_id(), "break the form", schema=SCHEMA)
            assert (outcome.status, outcome.text) == ("finished", "")
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"
            assert it.events.texts("say")[2:] == ["hello"]

    run(play())


def test_a_bound_turn_that_a_kill_cut_off_is_open_and_no_prompt_comes_twice(bench: Bench) -> None:
    ids = {"hello": new_id(), "hang": new_id(), "give your verdict": new_id()}

    async def play() -> None:
        async with bench.open() as it:
            await it.agent.turn(ids["hello"], "hello")
            turn = asyncio.create_task(it.agent.turn(ids["hang"], "hang", schema=SCHEMA))
            await until_seen(it, ids["hang"])
            os.kill([event.pid for event in it.events.all if event.kind == "process"][-1], signal.SIGKILL)
            with pytest.raises(AgentDiedError):
                await turn
        async with bench.open(it.session_id) as it:
            assert (await it.agent.find_turn(ids["hang"])).state == "unfinished"
            outcome = await it.agent.turn(ids["give your verdict"], "give your verdict", schema=SCHEMA)
            assert read_answer(outcome.text).verdict.kind == "pass"
            assert (await it.agent.find_turn(ids["give your verdict"])).outcome.text == outcome.text
            sent = [e["uuid"] for e in transcript(bench, it) if e.get("uuid") in ids.values()]
            assert sent == list(ids.values())

    run(play())


def test_what_comes_while_the_program_starts_again_is_not_lost_and_nothing_is_sent(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "hello", schema=SCHEMA))
            await it.events.wait(lambda event: event.kind == "process" and event.pid != it.events.pid)
            assert not await it.agent.steer(new_id(), "by the way")
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"
            turn = asyncio.create_task(it.agent.turn(new_id(), "hello"))
            started = len(it.events.all)
            await it.events.wait(lambda event: event in it.events.all[started:] and event.kind == "process")
            await it.agent.close()
            with pytest.raises(AgentDiedError):
                await turn
            assert bench.model.requests == []

    run(play())


def test_a_program_that_takes_no_schema_answers_in_its_last_line(bench: Bench, tmp_path: Path) -> None:
    path = put_wrapper(tmp_path / "bin", "claude", claude.locate(bench.settings.environment))
    wrapper = tmp_path / "bin" / "claude"
    knows_none = 'case "$*" in *--json-schema*) echo "error: unknown option \'--json-schema\'" >&2; exit 1;; esac'
    wrapper.write_text(wrapper.read_text().replace("#!/bin/sh", f"#!/bin/sh\n{knows_none}"))
    bench.settings = bench.with_variables(PATH=f"{path}:{bench.settings.environment['PATH']}")

    async def play() -> None:
        async with bench.open() as it:
            for _ in range(2):
                assert (await it.agent.turn(new_id(), "hello", schema=SCHEMA)).text == "hello"
            [note] = it.events.texts("note")
            assert note.startswith("claude takes no form of answer, so the last line of its answer counts: ")
            assert "--json-schema" in note
            assert bench.prompts() == ["hello", "hello"]

    run(play())


def test_a_program_whose_command_still_runs_is_not_started_again(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            await it.agent.turn(new_id(), "leave a server")
            server = psutil.Process(int((bench.work / "server").read_text()))
            assert (await it.agent.turn(new_id(), "hello", schema=SCHEMA)).text == "hello"
            assert is_alive(server)
            assert not any(request.schema for request in bench.model.requests)
            server.kill()
            server.wait()
            await it.agent.turn(new_id(), "hello", schema=SCHEMA)
            assert bench.model.requests[-1].schema

    run(play())


# --- turns --------------------------------------------------------------------------------------------------


def test_a_tool_that_a_rule_asks_a_person_for_is_refused_and_said_so_once(bench: Bench) -> None:
    ask_before_echo(bench.work)

    async def play() -> None:
        async with bench.open() as it:
            for _ in range(2):
                outcome = await it.agent.turn(new_id(), "use a tool")
                assert (outcome.status, outcome.text) == ("finished", "all done")
            why = "its settings have the rule Bash(echo:*) in permissions.ask, and the run is unattended"
            assert it.events.texts("note") == [f"claude may not use Bash: {why}; it was told so"]
            told = it.events.texts("tool-result")
            assert len(told) == 2
            assert all("require approval" in text for text in told)

    run(play())


def test_each_turn_has_the_tokens_and_money_of_its_own_also_after_resuming(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            first = (await it.agent.turn(new_id(), "hello")).usage
            turn_id = new_id()
            second = (await it.agent.turn(turn_id, "use a tool")).usage
            found = (await it.agent.find_turn(turn_id)).outcome
            assert found.usage.input_tokens == second.input_tokens
            raw = [json.loads(event.raw)["type"] for event in it.events.all if event.raw]
            assert raw.count("result") == 2
            assert "assistant" in raw
        async with bench.open(it.session_id) as it:
            third = (await it.agent.turn(new_id(), "hello")).usage
        assert first.cost_usd > 0
        assert third == first
        assert second.cost_usd == pytest.approx(2 * first.cost_usd)
        assert second.input_tokens == 2 * first.input_tokens

    run(play())


def test_the_same_message_id_is_not_run_twice(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn_id = new_id()
            first = await it.agent.turn(turn_id, "hello")
            again = await it.agent.turn(turn_id, "hello")
            assert (again.status, again.text) == (first.status, first.text)
            assert bench.prompts() == ["hello"]

    run(play())


def test_a_turn_has_its_own_model_and_the_next_one_the_sessions_again(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open(model="claude-opus-5-5") as it:
            for model in ("", "claude-sonnet-5-5", "", ""):
                turn_id = new_id()
                assert (await it.agent.turn(turn_id, "hello", model=model)).status == "finished"
                assert (await it.agent.find_turn(turn_id)).state == "finished"  # it is written by now
            used = [e["message"]["model"] for e in transcript(bench, it) if e["type"] == "assistant"]
            assert used == ["claude-opus-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-opus-5-5"]

    run(play())


def test_a_model_that_cannot_be_used_fails_the_turn_which_is_not_sent(bench: Bench) -> None:
    async def play() -> None:
        # With an API key the program asks the API for the model first; there is none here.
        settings = bench.with_variables(ANTHROPIC_BASE_URL="http://127.0.0.1:1", ANTHROPIC_API_KEY="any")
        async with opened(claude.factory, settings) as it:
            turn_id = new_id()
            outcome = await it.agent.turn(turn_id, "hello", model="claude-nowhere-1")
            assert outcome.status == "failed"
            assert outcome.error.startswith("model 'claude-nowhere-1' cannot be used: ")
            assert (await it.agent.find_turn(turn_id)).state == "absent"

    run(play())


def test_the_child_has_the_given_environment_and_nothing_of_ours(bench: Bench) -> None:
    assert "PYTEST_CURRENT_TEST" in os.environ

    async def play() -> None:
        async with bench.open() as it:
            await it.agent.turn(new_id(), "tell the variables")
            assert it.events.texts("tool-result") == ["[] []"]
            assert os.getsid(it.events.pid) == it.events.pid  # a Ctrl-C in our terminal is not for it

    run(play())


def ask_before_echo(work: Path) -> None:
    """What a cautious user has in a repository."""
    (work / ".claude").mkdir()
    (work / ".claude" / "settings.json").write_text(json.dumps({"permissions": {"ask": ["Bash(echo:*)"]}}))


def write_what_a_user_has(home: Path, work: Path) -> None:
    """Settings with hooks and a variable, an MCP server, a memory. Whatever of it is run leaves a file in `home`."""
    touch = {"type": "command", "command": f"touch {home}/hooked"}
    hooks = {name: [{"hooks": [touch]}] for name in ("SessionStart", "UserPromptSubmit", "Stop")}
    server = {"mcpServers": {"extra": {"command": "touch", "args": [f"{home}/served"]}}}
    for folder in (home / ".claude", work / ".claude"):
        folder.mkdir()
        settings = {"hooks": hooks, "env": {"FROM_USER_SETTINGS": "yes"}}
        (folder / "settings.json").write_text(json.dumps(settings))
    (work / ".mcp.json").write_text(json.dumps(server))
    (work / "CLAUDE.md").write_text("Remember the project.")


def test_settings_and_memory_of_the_user_are_loaded_but_no_hook_and_no_mcp_server(bench: Bench) -> None:
    write_what_a_user_has(bench.home, bench.work)

    async def play() -> None:
        async with bench.open() as it:
            turn_id = new_id()
            await it.agent.turn(turn_id, "tell the variables")
            assert it.events.texts("tool-result") == ["[] [yes]"]
            assert (await it.agent.find_turn(turn_id)).state == "finished"  # it is written by now
            assert any("Remember the project." in json.dumps(entry) for entry in transcript(bench, it))

    run(play())
    assert not (bench.home / "hooked").exists()
    assert not (bench.home / "served").exists()


# --- background tasks ---------------------------------------------------------------------------------------


def test_a_turn_lasts_until_its_background_command_has_ended_and_was_reported(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn_id = new_id()
            turn = asyncio.create_task(it.agent.turn(turn_id, "start a background command"))
            await it.events.wait(lambda event: event.kind == "usage")
            assert (await it.agent.find_turn(turn_id)).state == "unfinished"
            assert not turn.done()
            await asyncio.to_thread(bench.say_the_word)
            outcome = await turn
            assert (outcome.status, outcome.text) == ("finished", "(end of the rule)")
            assert outcome.usage.input_tokens == 30
            found = await it.agent.find_turn(turn_id)
            assert (found.state, found.outcome.text) == ("finished", "(end of the rule)")

    run(play())


def test_a_turn_lasts_until_its_background_agent_has_ended_and_was_reported(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "start a background agent"))
            await it.events.wait(lambda event: event.text == "subagent: Bash: cat word")
            await asyncio.to_thread(bench.say_the_word)
            outcome = await turn
            assert (outcome.status, outcome.text) == ("finished", "(end of the rule)")
            assert "the agent's report" not in it.events.texts("say")

    run(play())


def test_a_background_command_that_does_not_end_is_left_alone_after_the_programs_own_limit(bench: Bench) -> None:
    async def play() -> None:
        settings = bench.with_variables(CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS="300")
        async with opened(claude.factory, settings) as it:
            outcome = await it.agent.turn(new_id(), "start a background command")
            assert (outcome.status, outcome.text) == ("finished", "waiting for it")
            assert "1 background commands continue after this turn" in it.events.texts("note")
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"

    run(play())


def test_the_pieces_of_an_answer_are_signs_of_life_and_nothing_else(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"
            assert SIGN_OF_LIFE in it.events.all
            assert it.events.texts("say") == ["hello"]
            assert not any("stream_event" in event.raw for event in it.events.all)

    run(play())


def test_a_background_command_is_named_and_can_be_ended(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "start a background command"))
            note = await it.events.wait(lambda event: event.text.startswith("waits for background tasks: "))
            (named,) = it.agent.background()
            assert note.text.endswith(named)
            await it.agent.stop_background()
            outcome = await turn
            assert (outcome.status, outcome.text) == ("finished", "waiting for it")
            assert it.agent.background() == ()
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"

    run(play())


def test_a_question_about_a_background_command_leaves_the_answer_of_the_turn_as_it_is(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "start a background command"))
            await it.events.wait(lambda event: event.text.startswith("waits for background tasks: "))
            assert await it.agent.steer(new_id(), "hello")
            await it.events.wait(lambda event: (event.kind, event.text) == ("say", "hello"))
            await it.agent.stop_background()
            outcome = await turn
            assert (outcome.status, outcome.text) == ("finished", "waiting for it")

    run(play())


@pytest.mark.parametrize("prompt", ["start a background command", "start a background agent"])
def test_an_interrupt_ends_the_background_tasks_too(bench: Bench, prompt: str) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), prompt))
            await it.events.wait(lambda event: event.kind == "usage")
            await it.agent.interrupt()
            outcome = await turn
            assert (outcome.status, outcome.text) == ("interrupted", "waiting for it")
            await it.events.wait(lambda event: event.text.startswith("background task stopped"))
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"

    run(play())


# --- turns that do not finish -------------------------------------------------------------------------------


def test_an_interrupt_in_a_tool_ends_the_turn_and_the_tool(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "wait for a word"))
            await it.events.wait(lambda event: event.kind == "tool")
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"

    run(play())


def test_a_used_up_limit_says_when_it_ends(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn_id = new_id()
            asked_s = int(time.time())
            outcome = await it.agent.turn(turn_id, "reach the limit")
            assert outcome.status == "limited"
            assert "limit" in outcome.error
            assert asked_s <= outcome.resets_at_ms // 1000 - 3600 <= time.time()
            assert it.events.texts("limit")[-1].startswith("five-hour limit: rejected, resets at ")
            found = await it.agent.find_turn(turn_id)
            assert (found.state, found.outcome.status) == ("finished", "limited")
            assert found.outcome.resets_at_ms == outcome.resets_at_ms
            assert (await it.agent.turn(new_id(), "reach the limit")).text == "within the limit"

    run(play())


def test_a_turn_says_how_much_of_the_window_is_used(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            assert (await it.agent.turn(new_id(), "hello")).window is None
            asked_s = int(time.time())
            window = (await it.agent.turn(new_id(), "use most of it")).window
            assert (window.used_percent, window.name) == (97, "five-hour limit")
            assert asked_s <= window.resets_at_ms // 1000 - 3600 <= time.time()
            assert (await it.agent.turn(new_id(), "reach the limit")).window.used_percent == 100

    run(play())


def test_a_session_continues_in_another_account_and_back(bench: Bench) -> None:
    async def play() -> None:
        here = bench.settings.environment
        work = here | {"CLAUDE_CONFIG_DIR": str(bench.home / "work-account")}
        turn_ids = [new_id(), new_id(), new_id()]
        async with bench.open() as it:
            await it.agent.turn(turn_ids[0], "hello")
        for turn_id, own, other in ((turn_ids[1], work, here), (turn_ids[2], here, work)):
            async with bench.open(it.session_id, environment=own, elsewhere=(other,)) as it:
                assert (await it.agent.find_turn(turn_ids[0])).state == "finished"
                assert (await it.agent.turn(turn_id, "hello")).status == "finished"
        async with bench.open(it.session_id) as it:
            assert [(await it.agent.find_turn(each)).state for each in turn_ids] == ["finished"] * 3

    run(play())


def test_too_many_requests_are_a_limit_without_a_known_end(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            outcome = await it.agent.turn(new_id(), "ask too often")
            assert (outcome.status, outcome.resets_at_ms) == ("limited", None)

    run(play())


def test_an_error_of_the_provider_is_the_outcome_and_stays_in_the_transcript(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn_id = new_id()
            outcome = await it.agent.turn(turn_id, "overload")
            assert outcome.status == "failed"
            assert "529" in outcome.error
            assert outcome.cause == "transient"
            assert it.events.texts("say") == []
        async with bench.open(it.session_id) as it:
            found = await it.agent.find_turn(turn_id)
            assert (found.state, found.outcome.status) == ("finished", "failed")
            assert "529" in found.outcome.error
            assert found.outcome.cause == "transient"

    run(play())


# --- steering -----------------------------------------------------------------------------------------------


def test_a_message_that_comes_too_late_is_answered_after_the_turn_whose_outcome_stays(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            turn_id, steered = new_id(), new_id()
            turn = asyncio.create_task(it.agent.turn(turn_id, "start a background command"))
            await it.events.wait(lambda event: event.kind == "usage")  # the model has had its last word
            assert await it.agent.steer(steered, "hello")
            await it.events.wait(lambda event: event.kind == "say" and event.text == "hello")
            await asyncio.to_thread(bench.say_the_word)
            outcome = await turn
            assert (outcome.status, outcome.text) == ("finished", "(end of the rule)")
            assert (await it.agent.find_turn(turn_id)).outcome.text == "(end of the rule)"
            assert (await it.agent.find_turn(steered)).state == "finished"

    run(play())


def test_what_waits_when_the_turn_is_interrupted_is_taken_in_and_not_answered(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            steered = new_id()
            turn = asyncio.create_task(it.agent.turn(new_id(), "wait for a word"))
            await it.events.wait(lambda event: event.kind == "tool")
            assert await it.agent.steer(steered, "hang")
            await it.agent.interrupt()
            assert (await turn).status == "interrupted"
            assert (await it.agent.find_turn(steered)).state == "unfinished"
            assert (await it.agent.turn(new_id(), "hello")).text == "hello"

    run(play())


# --- death and resumption -----------------------------------------------------------------------------------


def test_a_wrapper_that_is_killed_ends_the_turn_and_its_program(bench: Bench, tmp_path: Path) -> None:
    path = put_wrapper(tmp_path / "bin", "claude", claude.locate(bench.settings.environment))
    bench.settings = bench.with_variables(PATH=f"{path}:{bench.settings.environment['PATH']}")

    async def play() -> None:
        async with bench.open() as it:
            turn = asyncio.create_task(it.agent.turn(new_id(), "wait for a word"))
            await it.events.wait(lambda event: event.kind == "tool")
            (program,) = psutil.Process(it.events.pid).children()
            os.kill(it.events.pid, signal.SIGKILL)
            with pytest.raises(AgentDiedError, match="exit status -9"):
                await turn
            assert is_alive(program)
        assert not is_alive(program)

    run(play())


def test_a_turn_that_a_kill_cut_off_is_unfinished_and_can_be_continued(bench: Bench) -> None:
    async def play() -> None:
        turn_id, steered = new_id(), new_id()
        async with bench.open() as it:
            turn = asyncio.create_task(it.agent.turn(turn_id, "wait for a word"))
            await it.events.wait(lambda event: event.kind == "tool")
            await until_seen(it, turn_id)
            assert await it.agent.steer(steered, "by the way")
            os.kill(it.events.pid, signal.SIGKILL)
            with pytest.raises(AgentDiedError, match="exit status -9"):
                await turn
        async with bench.open(it.session_id) as it:
            assert (await it.agent.find_turn(turn_id)).state == "unfinished"
            assert (await it.agent.find_turn(steered)).state == "absent"
            continued = new_id()
            assert (await it.agent.turn(continued, "hello")).text == "hello"
            assert (await it.agent.find_turn(continued)).state == "finished"
            assert (await it.agent.find_turn(turn_id)).state == "unfinished"  # the program closed it with its own words
            assert bench.prompts() == ["wait for a word", "hello"]

    run(play())


@pytest.mark.parametrize("session_id", ["nonsense", "--model=x"])
def test_what_is_no_session_id_is_said_to_be_unknown(bench: Bench, session_id: str) -> None:
    async def play() -> None:
        with pytest.raises(SessionNotFoundError, match=session_id):
            async with bench.open(session_id):
                pass

    run(play())


def test_a_session_that_never_had_a_prompt_is_unknown(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:
            pass
        with pytest.raises(SessionNotFoundError):
            async with bench.open(it.session_id):
                pass

    run(play())


# --- the bridge ---------------------------------------------------------------------------------------------


def test_a_tool_of_the_bridge_is_called_with_the_token(bench: Bench) -> None:
    async def play() -> None:
        with mcp_server() as (url, calls):
            async with bench.open(bridge=BridgeAccess(url=url, token="secret-token")) as it:
                outcome = await it.agent.turn(new_id(), "write to codex")
                assert (outcome.status, outcome.text) == ("finished", "sent")
                assert it.events.texts("tool") == ["loop-bridge.send_message: hello"]
                assert it.events.texts("tool-result") == ["queued as 7"]
                assert {token for _, token, _ in calls} == {"Bearer secret-token"}
                called = [params for method, _, params in calls if method == "tools/call"]
                assert [params["arguments"] for params in called] == [{"target": "codex", "message": "hello"}]
                assert "secret-token" not in " ".join(psutil.Process(it.events.pid).cmdline())

    run(play())


def test_a_bridge_that_is_not_there_is_noted_and_the_turn_goes_on(bench: Bench) -> None:
    async def play() -> None:
        gone = f"http://127.0.0.1:{own_port()}/mcp"
        async with bench.open(bridge=BridgeAccess(url=gone, token="secret-token")) as it:
            assert (await it.agent.turn(new_id(), "hello")).status == "finished"
            assert it.events.texts("note") == ["MCP server loop-bridge cannot be reached"]

    run(play())


# --- the end ------------------------------------------------------------------------------------------------


def test_closing_ends_a_program_that_does_not_react(bench: Bench) -> None:
    async def play() -> None:
        async with bench.open() as it:  # which is closed, with nothing left of it
            os.kill(it.events.pid, signal.SIGSTOP)

    run(play())


# --- what is started, and whether it can be -----------------------------------------------------------------


def test_importing_the_adapter_does_not_import_the_sdk() -> None:
    look = "import sys, actors.adapters.claude; print('claude_agent_sdk' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert answer.stdout.strip() == "False"


def test_the_command_line_holds_the_bridge_but_not_its_token(bench: Bench) -> None:
    bridge = BridgeAccess(url="http://127.0.0.1:7/mcp", token="secret-token")
    line = arguments(Path("claude"), model="m", bridge=bridge, resume="some-id")
    server = json.loads(line[line.index("--mcp-config") + 1])["mcpServers"]["loop-bridge"]
    assert server["headers"] == {"Authorization": "Bearer ${LOOP_BRIDGE_TOKEN}"}
    assert (server["url"], server["alwaysLoad"]) == (bridge.url, True)
    assert line[-3:] == ["--model", "m", "--resume=some-id"]
    environment = child_environment(replace(bench.with_variables(CLAUDECODE="1"), bridge=bridge), "mark")
    assert environment["LOOP_BRIDGE_TOKEN"] == "secret-token"
    assert "CLAUDECODE" not in environment  # else the program takes itself for a child of another one


def test_a_tool_that_moves_the_session_is_not_there_and_the_work_stays_in_the_directory(bench: Bench) -> None:
    subprocess.run(["git", "init", "-q"], cwd=bench.work, check=True)
    subprocess.run(
        [*("git", "-c", "user.name=t", "-c", "user.email=t@x"), "commit", "-q", "--allow-empty", "-m", "x"],
        cwd=bench.work,
        check=True,
    )

    async def play() -> None:
        async with bench.open() as it:
            assert (await it.agent.turn(new_id(), "move away")).text == "moved"
            results = [event.text for event in it.events.all if event.kind == "tool-result"]
            assert str(bench.work) in results[-1]

    run(play())
    assert not (bench.work / ".claude").exists()


def test_the_users_own_claude_is_preferred_and_the_bundled_one_is_the_fallback(tmp_path: Path) -> None:
    bundled = claude.locate({"PATH": str(tmp_path)})
    assert bundled.parts[-3:] == ("claude_agent_sdk", "_bundled", "claude")
    own = tmp_path / "claude"
    own.write_text("#!/bin/sh\n")
    own.chmod(own.stat().st_mode | stat.S_IXUSR)
    assert claude.locate({"PATH": str(tmp_path)}) == own


def test_preflight_is_content_with_any_way_to_be_logged_in(bench: Bench) -> None:
    claude.preflight(bench.settings)
    nothing = bench.without("CLAUDE_CODE_OAUTH_TOKEN")
    for variable, value in (("ANTHROPIC_API_KEY", "x"), ("CLAUDE_CODE_USE_BEDROCK", "1")):
        claude.preflight(replace(nothing, environment=nothing.environment | {variable: value}))


def test_only_root_outside_a_sandbox_is_refused() -> None:
    with pytest.raises(AgentUnavailableError, match=r"refuses to run unattended as root: .* set IS_SANDBOX=1$"):
        refuse_root({"IS_SANDBOX": "yes"}, user_id=0)  # only "1" will do for claude itself
    refuse_root({"IS_SANDBOX": "1"}, user_id=0)
    refuse_root({}, user_id=1000)


@pytest.mark.parametrize(("script", "said"), [("exit 3", "update it: claude update"), ("", "cannot be run")])
def test_preflight_with_a_program_that_is_none_names_it(bench: Bench, tmp_path: Path, script: str, said: str) -> None:
    own = tmp_path / "claude"
    own.write_text(f"#!/bin/sh\n{script}\n" if script else "#!/nowhere/at/all\n")
    own.chmod(0o755)
    settings = bench.with_variables(PATH=f"{tmp_path}:{bench.settings.environment['PATH']}")
    with pytest.raises(AgentUnavailableError, match=said) as caught:
        claude.preflight(settings)
    assert str(own) in str(caught.value)


def test_a_folder_that_is_not_there_is_said_before_anything_is_started(bench: Bench) -> None:
    async def play() -> None:
        with pytest.raises(AgentUnavailableError, match="there is no such folder"):
            async with bench.open(cwd=bench.home / "nowhere"):
                pass

    run(play())


def test_settings_that_forbid_unattended_work_are_named(bench: Bench) -> None:
    (bench.home / ".claude").mkdir()
    forbidden = {"permissions": {"disableBypassPermissionsMode": "disable"}}
    (bench.home / ".claude" / "settings.json").write_text(json.dumps(forbidden))

    async def play() -> None:
        with pytest.raises(AgentUnavailableError, match=r"remove permissions\.disableBypassPermissionsMode from"):
            async with bench.open():
                pass

    run(play())


def given(usd: float) -> AgentFactory:
    def factory(settings: AgentSettings, sink: EventSink) -> Agent:
        agent = claude.ClaudeAgent(settings, sink)
        agent.give(usd)
        return agent

    return factory


def test_the_money_that_it_was_given_ends_its_turn_and_the_next_program_has_its_own(bench: Bench) -> None:
    async def story() -> None:
        async with opened(given(0.0001), bench.settings) as it:
            outcome = await it.agent.turn(new_id(), "use a tool")
            assert (outcome.status, outcome.cause) == ("failed", "budget")
            assert outcome.usage.input_tokens == 20, "the result lacks the last message"
            assert it.agent.money_left() == pytest.approx(0.0001 - outcome.usage.cost_usd)
        async with opened(given(1.0), bench.settings, it.session_id) as again:
            outcome = await again.agent.turn(new_id(), "go on")
            assert (outcome.status, outcome.cause) == ("finished", "")
            assert 0 < outcome.usage.cost_usd < 0.0005, "what the session had cost before is not counted again"

    run(story())
