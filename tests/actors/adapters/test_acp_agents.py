"""What ACP agents offer beside the bare turn, with a stand-in that answers what each test says."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from actors.adapters import acp
from actors.adapters.acp_setup import MOST_PUT_BACK
from actors.errors import AgentUnavailableError, SessionNotFoundError
from tests.actors.adapters.acp_rig import Events, Opened, opened, run, settings

PROGRAM = Path(__file__).with_name("bare_acp_agent.py")
NEEDS_LOGIN = {"error": {"code": -32000, "message": "Authentication required"}}
DONE = {"result": {"stopReason": "end_turn"}}


def new_id() -> str:
    return str(uuid.uuid4())


def bare(home: Path, *, initialize: dict[str, Any] | None = None, **changes: Any) -> Any:
    """`changes`: answers by method, with a dot for the slash, and settings of the adapter."""
    answers = {
        "initialize": [{"result": {"protocolVersion": 1, **(initialize or {})}}],
        "session/new": [{"result": {"sessionId": "bare-1"}}],
        "session/prompt": [DONE],
    }
    answers |= {name.replace("__", "/"): changes.pop(name) for name in list(changes) if "__" in name}
    answers["authenticate"] = changes.pop("authenticate", [])
    (home / "answers.json").write_text(json.dumps(answers))
    environment = changes.pop("environment", {})
    ours = settings(home, command=(sys.executable, str(PROGRAM)), **changes)
    ours.environment.update(environment)
    return ours


def asked(home: Path, method: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (home / "asked.jsonl").read_text().splitlines()]
    return [line["params"] for line in lines if line.get("method") == method]


async def refused(agent_settings: Any, session_id: str | None = None) -> str:
    agent = acp.factory(agent_settings, Events())
    try:
        with pytest.raises(AgentUnavailableError) as caught:
            await agent.open(session_id)
    finally:
        await agent.close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def select(name: str, category: str | None, values: list[str], current: str) -> dict[str, Any]:
    options = [{"value": value, "name": value} for value in values]
    option = {"id": name, "name": name, "type": "select", "currentValue": current, "options": options}
    return option | ({"category": category} if category else {})


MODES = {
    "currentModeId": "default",
    "availableModes": [{"id": each, "name": each} for each in ("default", "plan", "bypassPermissions")],
}

# --- modes ----------------------------------------------------------------------------------------------------------


def test_the_mode_that_asks_least_is_chosen_and_said(tmp_path: Path) -> None:
    async def play() -> None:
        session = {"result": {"sessionId": "bare-1", "modes": MODES}}
        left = {"sessionUpdate": "current_mode_update", "currentModeId": "plan"}
        ours = bare(
            tmp_path,
            session__new=[session],
            session__set_mode=[{}],
            session__prompt=[{"updates": [left], **DONE}],
        )
        async with opened(acp.factory, ours) as it:
            assert it.events.texts("note") == ["its mode is bypassPermissions: it asks for nothing"]
            await it.agent.turn(new_id(), "go")
            assert it.events.texts("note")[1:] == [
                "the agent has left mode bypassPermissions: its mode is plan; setting it back"
            ]
        # Whether it is put back before it is closed is chance: the test of that waits for it.
        assert asked(tmp_path, "session/set_mode")[0] == {"sessionId": "bare-1", "modeId": "bypassPermissions"}

    run(play())


def test_a_switch_that_allows_all_is_turned_on_and_the_mode_left_as_it_is(tmp_path: Path) -> None:
    async def play() -> None:
        mode = select("mode", "mode", ["agent", "plan"], "agent")
        off, on = (select("allow_all", "permissions", ["on", "off"], each) for each in ("off", "on"))
        ours = bare(
            tmp_path,
            session__new=[{"result": {"sessionId": "bare-1", "configOptions": [mode, off]}}],
            session__set_config_option=[{"result": {"configOptions": [mode, on]}}],
        )
        async with opened(acp.factory, ours) as it:
            assert it.events.texts("note") == ["its mode is agent with allow_all: it asks for nothing"]
        sent = {"configId": "allow_all", "sessionId": "bare-1", "value": "on"}
        assert asked(tmp_path, "session/set_config_option") == [sent]

    run(play())


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"mode": "yolo"}, "mode 'yolo' is not offered: it has default, plan, bypassPermissions"),
        ({"model": "gpt-9"}, "model 'gpt-9' is not offered: it has small, large"),
        ({"effort": "huge"}, "effort 'huge' is not offered: it has low, high"),
    ],
)
def test_a_choice_that_the_agent_does_not_offer_names_those_it_does(
    tmp_path: Path, wanted: dict[str, str], problem: str
) -> None:
    async def play() -> None:
        session = {
            "sessionId": "bare-1",
            "modes": MODES,
            "models": {
                "currentModelId": "small",
                "availableModels": [{"modelId": each, "name": each} for each in ("small", "large")],
            },
            "configOptions": [select("thinking", "thought_level", ["low", "high"], "low")],
        }
        said = await refused(bare(tmp_path, session__new=[{"result": session}], session__set_mode=[{}], **wanted))
        assert said == f"agent 'tester' cannot be used: {problem}"

    run(play())


def test_model_and_effort_are_set_in_the_way_the_agent_has(tmp_path: Path) -> None:
    async def play() -> None:
        effort = select("thinking", "thought_level", ["low", "high"], "low")
        session = {
            "sessionId": "bare-1",
            "models": {"currentModelId": "small", "availableModels": [{"modelId": "small"}, {"modelId": "large"}]},
            "configOptions": [effort],
        }
        ours = bare(
            tmp_path,
            session__new=[{"result": session}],
            session__set_model=[{}],
            session__set_config_option=[{"result": {"configOptions": [effort | {"currentValue": "high"}]}}],
            model="large",
            effort="high",
        )
        async with opened(acp.factory, ours) as it:
            await it.agent.turn(new_id(), "go")  # the model is chosen already
        assert asked(tmp_path, "session/set_model") == [{"sessionId": "bare-1", "modelId": "large"}]
        sent = {"configId": "thinking", "sessionId": "bare-1", "value": "high"}
        assert asked(tmp_path, "session/set_config_option") == [sent]

    run(play())


# --- logging in -----------------------------------------------------------------------------------------------------

METHODS = [
    {"id": "chatgpt", "name": "Log in with ChatGPT"},
    {"id": "openai-api-key", "name": "OpenAI API key"},
]


def test_a_key_in_the_environment_logs_in_without_anybody(tmp_path: Path) -> None:
    async def play() -> None:
        ours = bare(
            tmp_path,
            initialize={"authMethods": METHODS},
            session__new=[NEEDS_LOGIN, {"result": {"sessionId": "bare-1"}}],
            authenticate=[{}],
            environment={"OPENAI_API_KEY": "x"},
        )
        async with opened(acp.factory, ours) as it:
            assert it.events.texts("note") == ["logged in by openai-api-key"]
        assert asked(tmp_path, "authenticate") == [{"methodId": "openai-api-key"}]

    run(play())


def test_a_login_that_is_wanted_at_the_prompt_is_made_and_the_turn_can_be_taken_up_again(tmp_path: Path) -> None:
    async def play() -> None:
        prompts = [NEEDS_LOGIN, DONE]
        ours = bare(tmp_path, initialize={"authMethods": METHODS}, session__prompt=prompts, authenticate=[{}])
        ours.environment["OPENAI_API_KEY"] = "x"
        async with opened(acp.factory, ours) as it:
            outcome = await it.agent.turn(new_id(), "go")
            assert (outcome.status, outcome.cause) == ("failed", "transient")
            assert (await it.agent.turn(new_id(), "go")).status == "finished"

    run(play())


def test_without_a_key_the_error_says_what_the_agent_says_of_logging_in(tmp_path: Path) -> None:
    async def play() -> None:
        terminal = {"terminal-auth": {"command": "/opt/copilot", "args": ["login"]}}
        methods = [{"id": "copilot-login", "name": "Log in", "_meta": terminal}]
        ours = bare(tmp_path, initialize={"authMethods": methods}, session__new=[NEEDS_LOGIN])
        told = "agent 'tester' is not logged in: run '/opt/copilot login' in a terminal and log in"
        assert await refused(ours) == told
        at_prompt = bare(tmp_path, initialize={"authMethods": methods}, session__prompt=[NEEDS_LOGIN])
        async with opened(acp.factory, at_prompt) as it:
            outcome = await it.agent.turn(new_id(), "go")
            assert (outcome.status, outcome.cause, outcome.error) == ("failed", "login", told)

    run(play())


# --- what it tells --------------------------------------------------------------------------------------------------


def chunk(text: str, **more: Any) -> dict[str, Any]:
    return {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}, **more}


def test_commands_and_their_output_are_shown_like_those_of_the_others(tmp_path: Path) -> None:
    async def play() -> None:
        call = {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "Run it", "kind": "execute"}
        over = {"sessionUpdate": "tool_call_update", "toolCallId": "c", "status": "completed"}
        updates = [
            call | {"rawInput": {"command": "make test"}, "status": "pending"},
            over | {"rawOutput": {"exitCode": 0, "output": "1 passed\nOK\n"}},
        ]
        ours = bare(tmp_path, session__prompt=[{"updates": updates, **DONE}])
        async with opened(acp.factory, ours) as it:
            await it.agent.turn(new_id(), "go")
            assert it.events.texts("tool") == ["shell make test"]
            assert it.events.texts("tool-result") == ["exit 0: OK"]

    run(play())


def test_what_the_agent_does_not_report_of_its_usage_is_unknown(tmp_path: Path) -> None:
    async def play() -> None:
        quota = {"quota": {"token_count": {"input_tokens": 7, "output_tokens": 3}}}
        gemini = {"result": {"stopReason": "end_turn", "_meta": quota}}
        async with opened(acp.factory, bare(tmp_path, session__prompt=[DONE, gemini])) as it:
            silent = (await it.agent.turn(new_id(), "go")).usage
            assert (silent.tokens_known, silent.cost_known) == (False, False)
            told = (await it.agent.turn(new_id(), "go")).usage
            assert (told.input_tokens, told.output_tokens, told.tokens_known, told.cost_known) == (7, 3, True, False)

    run(play())


def test_a_notice_without_an_id_does_not_spoil_the_last_line(tmp_path: Path) -> None:
    async def play() -> None:
        plan = {"sessionUpdate": "plan", "entries": []}
        updates = [chunk("Compacting…", _meta={"notice": True}), chunk("All "), chunk("done"), plan]
        ours = bare(tmp_path, session__prompt=[{"updates": updates, **DONE}])
        async with opened(acp.factory, ours) as it:
            assert (await it.agent.turn(new_id(), "go")).text == "All done"
            assert it.events.texts("say") == ["Compacting…", "All done"]

    run(play())


def test_a_question_is_declined_and_said_as_nobody_is_there(tmp_path: Path) -> None:
    async def play() -> None:
        form = {
            "mode": "form",
            "sessionId": "bare-1",
            "message": "Which branch?",
            "requestedSchema": {"type": "object", "properties": {}},
        }
        ours = bare(tmp_path, session__prompt=[{"asks": [["elicitation/create", form]], **DONE}])
        async with opened(acp.factory, ours) as it:
            await it.agent.turn(new_id(), "go")
            await it.events.wait(lambda e: e.kind == "note" and e.text.startswith("the agent asks 'Which branch?'"))

    run(play())


def test_a_mode_that_the_agent_leaves_is_put_back_and_both_are_said(tmp_path: Path) -> None:
    async def play() -> None:
        offered = [{"id": "default", "name": "d"}, {"id": "yolo", "name": "y"}]
        modes = {"currentModeId": "default", "availableModes": offered}
        left = {"sessionUpdate": "current_mode_update", "currentModeId": "default"}
        ours = bare(
            tmp_path,
            session__new=[{"result": {"sessionId": "bare-1", "modes": modes}}],
            session__set_mode=[{}],
            session__prompt=[{"updates": [left], **DONE}],
        )
        async with opened(acp.factory, ours) as it:
            for _ in range(MOST_PUT_BACK):
                it.events.all.clear()
                await it.agent.turn(new_id(), "go")
                await it.events.wait(lambda e: "the agent has left mode yolo: its mode is default; setting" in e.text)
                await it.agent._session._setup._putting_back
            assert [each["modeId"] for each in asked(tmp_path, "session/set_mode")] == ["yolo"] * (1 + MOST_PUT_BACK)
            await it.agent.turn(new_id(), "go")
            assert it.events.texts("note")[-1].endswith("may ask; it left its mode too often to be set back")
        assert len(asked(tmp_path, "session/set_mode")) == 1 + MOST_PUT_BACK

    run(play())


# --- sessions -------------------------------------------------------------------------------------------------------


def test_an_agent_that_can_only_resume_is_resumed_and_may_have_any_prompt(tmp_path: Path) -> None:
    async def play() -> None:
        capabilities = {"agentCapabilities": {"sessionCapabilities": {"resume": {}, "close": {}}}}
        ours = bare(tmp_path, initialize=capabilities, session__resume=[{}], session__close=[{}])
        async with opened(acp.factory, ours, "bare-1") as it:
            assert (await it.agent.find_turn(new_id())).state == "unfinished"
        assert asked(tmp_path, "session/close") == [{"sessionId": "bare-1"}]
        gone = {"error": {"code": -32002, "message": "Resource not found"}}
        agent = acp.factory(bare(tmp_path, initialize=capabilities, session__resume=[gone]), Events())
        with pytest.raises(SessionNotFoundError, match="Resource not found"):
            await agent.open("bare-1")
        await agent.close()

    run(play())


@pytest.mark.parametrize(("listed", "state"), [(True, "unfinished"), (False, "absent"), (None, "unfinished")])
def test_the_agents_own_list_says_whether_a_session_without_a_replay_has_anything(
    tmp_path: Path, listed: bool | None, state: str
) -> None:
    async def play() -> None:
        others = [{"sessionId": f"other-{number}", "cwd": "/"} for number in range(2)]
        last = [{"sessionId": "bare-1", "cwd": "/"}] if listed else []
        pages = [{"result": {"sessions": others, "nextCursor": "2"}}, {"result": {"sessions": last}}]
        capabilities = {"resume": {}, **({} if listed is None else {"list": {}})}
        ours = bare(
            tmp_path,
            initialize={"agentCapabilities": {"sessionCapabilities": capabilities}},
            session__resume=[{}],
            session__list=pages,
        )
        async with opened(acp.factory, ours, "bare-1") as it:
            assert (await it.agent.find_turn(new_id())).state == state
            answered = new_id()  # one of which we know that it was answered there
            assert (await it.agent.find_turn(new_id(), answered=answered)).state == "unfinished"

    run(play())


@pytest.mark.parametrize(("outcome", "taken"), [("injected", True), ("promptRequired", False), ("failed", False)])
def test_a_message_goes_into_a_running_turn_where_that_is_announced(tmp_path: Path, outcome: str, taken: bool) -> None:
    async def play() -> None:
        supported = {"_meta": {"steering": {"supported": True}}}
        steered = [{"result": {"outcome": outcome}}]
        running = [{"updates": [chunk("working")], "hold": True, **DONE}]
        ours = bare(tmp_path, initialize=supported, session__prompt=running, _session__steering=steered)
        async with opened(acp.factory, ours) as it:
            assert it.agent.can_steer
            assert not await it.agent.steer(new_id(), "too early")
            await steer(it, taken)
        (sent,) = asked(tmp_path, "_session/steering")
        assert sent["prompt"][0]["text"].startswith("hurry up\n\n(message ")
        assert sent["_meta"]["steering"] == {"idleBehavior": "promptRequired"}

    async def steer(it: Opened, taken: bool) -> None:
        message_id = new_id()
        turn = asyncio.create_task(it.agent.turn(new_id(), "go"))
        await it.events.wait(lambda e: e.kind == "seen")
        assert await it.agent.steer(message_id, "hurry up") is taken
        assert (await turn).status == "finished"
        assert (await it.agent.find_turn(message_id)).state == ("unfinished" if taken else "absent")

    run(play())


# --- an introduction ------------------------------------------------------------------------------------------------


def test_an_agent_introduces_itself_without_a_session(tmp_path: Path) -> None:
    told = {"agentInfo": {"name": "lab", "title": "Lab\x1b[2J", "version": "1.2"}, "authMethods": METHODS}
    said = acp.probe(bare(tmp_path, initialize=told))
    assert (said.name, said.version, said.protocol) == ("Lab␛[2J", "1.2", "ACP 1")
    assert said.logins == ("chatgpt", "openai-api-key")
    lines = (tmp_path / "asked.jsonl").read_text().splitlines()
    assert [json.loads(line)["method"] for line in lines] == ["initialize"]


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("echo Welcome; read line; exit 0", "it exited with status 0: Welcome"),
        ("while :; do echo Welcome; done", "does not speak the Agent Client Protocol: it printed 'Welcome Welcome"),
    ],
)
def test_a_program_that_speaks_something_else_is_quoted(tmp_path: Path, shell: str, words: str) -> None:
    with pytest.raises(AgentUnavailableError, match=words):
        acp.probe(settings(tmp_path, command=("sh", "-c", shell)))
