"""What is chosen of what an agent offers, how it is logged in, and how its tool calls read: tables."""

from __future__ import annotations

from typing import Any

import pytest
from acp.schema import AuthMethodAgent, InitializeResponse, ToolCallProgress, ToolCallStart
from pydantic import TypeAdapter

from actors.adapters import acp_choices, acp_login
from actors.adapters.acp_tools import ToolCalls
from actors.adapters.own_commands import as_message

COPILOT = "https://agentclientprotocol.com/protocol/session-modes#"


def modes(*ids: str) -> dict[str, Any]:
    return {"modes": {"currentModeId": ids[0], "availableModes": [{"id": each, "name": each} for each in ids]}}


def select(name: str, *values: str, category: str | None = None) -> dict[str, Any]:
    options = [{"value": each, "name": each} for each in values]
    return {"id": name, "type": "select", "category": category, "currentValue": values[0], "options": options}


SWITCH = {"id": "allow_all", "type": "boolean", "currentValue": False}
GROUPED = {
    "id": "mode",
    "type": "select",
    "currentValue": "ask",
    "options": [{"group": "g", "name": "G", "options": [{"value": "ask", "name": "Ask"}, {"value": "yolo"}]}],
}


@pytest.mark.parametrize(
    ("session", "wanted", "picked"),
    [
        (modes("auto", "default", "acceptEdits", "plan", "bypassPermissions"), "", ("mode", "bypassPermissions")),
        (modes("read-only", "agent", "agent-full-access"), "", ("mode", "agent-full-access")),
        (modes("read-only", "auto", "full-access"), "", ("mode", "full-access")),
        (modes("default", "autoEdit", "yolo", "plan"), "", ("mode", "yolo")),
        (modes("default", "plan", "auto-approve"), "", ("mode", "auto-approve")),
        (modes("yolo", "default"), "", None),
        (modes("build", "plan"), "", None),
        ({}, "", None),
        ({"modes": "none", "configOptions": 7}, "", None),
        ({"configOptions": [SWITCH]}, "", ("allow_all", "true")),
        ({"configOptions": [select("allow_all", "off", "on", category="permissions")]}, "", ("allow_all", "on")),
        (
            {"configOptions": [select("mode", COPILOT + "agent", COPILOT + "autopilot")]},
            "",
            ("mode", COPILOT + "autopilot"),
        ),
        ({"configOptions": [GROUPED]}, "", ("mode", "yolo")),
        (modes("default", "autoEdit", "yolo") | {"configOptions": [SWITCH]}, "autoedit", ("mode", "autoEdit")),
        ({"configOptions": [select("mode", COPILOT + "agent", COPILOT + "plan")]}, "plan", ("mode", COPILOT + "plan")),
        (modes("default", "yolo"), "default", None),
    ],
)
def test_of_the_modes_the_one_that_asks_least_or_the_users_own_is_picked(
    session: dict[str, Any], wanted: str, picked: tuple[str, str] | None
) -> None:
    pick = acp_choices.pick_mode(acp_choices.read(session), wanted)
    assert (pick and (pick.choice.id, pick.value)) == picked


def test_a_session_is_full_only_by_a_name_that_says_so() -> None:
    assert acp_choices.is_full(acp_choices.read(modes("yolo", "default")))
    assert not acp_choices.is_full(acp_choices.read(modes("default", "plan")))
    assert not acp_choices.is_full(acp_choices.read({}))


VARIABLES = {"id": "env", "name": "Env", "type": "env_var", "vars": [{"name": "LAB_KEY"}]}
GEMINI = {"id": "gemini-api-key", "name": "Gemini API key", "_meta": {"api-key": {"provider": "google"}}}
BROWSER = {"id": "oauth-personal", "name": "Log in with Google"}
TERMINAL = {"id": "t", "name": "Login", "type": "terminal", "args": ["auth", "login"]}


@pytest.mark.parametrize(
    ("methods", "environment", "chosen"),
    [
        ([BROWSER, GEMINI], {"GEMINI_API_KEY": "x"}, "gemini-api-key"),
        ([BROWSER, GEMINI], {"GOOGLE_API_KEY": "x"}, "gemini-api-key"),
        ([BROWSER, GEMINI], {"OPENAI_API_KEY": "x"}, None),
        ([BROWSER], {"GEMINI_API_KEY": "x"}, None),
        ([GEMINI, VARIABLES], {"LAB_KEY": "x", "GEMINI_API_KEY": "x"}, "env"),
        ([VARIABLES], {"LAB_KEY": ""}, None),
        (
            [{"id": "api-key", "name": "API key", "description": "Uses OPENAI_API_KEY"}],
            {"OPENAI_API_KEY": "x"},
            "api-key",
        ),
        ([], {}, None),
    ],
)
def test_only_a_way_whose_secret_is_there_is_taken(
    methods: list[dict[str, Any]], environment: dict[str, str], chosen: str | None
) -> None:
    read = InitializeResponse.model_validate({"protocolVersion": 1, "authMethods": methods}).auth_methods or []
    assert acp_login.unattended(read, environment) == chosen


@pytest.mark.parametrize(
    ("methods", "login", "words"),
    [
        ([BROWSER, TERMINAL], "x login", "run 'agent auth login' in a terminal and log in"),
        ([BROWSER], "x login", "run 'x login' in a terminal and log in"),
        ([VARIABLES], "", "set LAB_KEY in its environment"),
        ([BROWSER], "", "it takes: Log in with Google"),
        ([], "", "it does not say how: see its own documentation"),
    ],
)
def test_a_person_is_told_the_command_that_logs_in(methods: list[dict[str, Any]], login: str, words: str) -> None:
    read = InitializeResponse.model_validate({"protocolVersion": 1, "authMethods": methods}).auth_methods or []
    assert acp_login.advice(read, ("agent", "--acp"), login) == words


def test_a_foreign_name_is_printable_in_the_advice() -> None:
    method = AuthMethodAgent(id="a", name="Evil\x1b]0;x\x07")
    assert acp_login.advice([method], ("agent",), "").isprintable()


UPDATES: TypeAdapter[Any] = TypeAdapter(ToolCallStart | ToolCallProgress)


def call(**fields: Any) -> dict[str, Any]:
    return {"sessionUpdate": "tool_call", "toolCallId": "1", "title": "Terminal", **fields}


def over(**fields: Any) -> dict[str, Any]:
    return {"sessionUpdate": "tool_call_update", "toolCallId": "1", "status": "completed", **fields}


def text(words: str) -> list[dict[str, Any]]:
    return [{"type": "content", "content": {"type": "text", "text": words}}]


DIFF = [{"type": "diff", "path": "a.py", "oldText": "1", "newText": "2"}]


@pytest.mark.parametrize(
    ("updates", "told"),
    [
        ([call(kind="execute", rawInput={"command": ["bash", "-lc", "make test"]})], ["shell make test"]),
        (
            [call(kind="execute", rawInput={}), over(title="`make`", content=text("OK"))],
            ["shell make", "completed: OK"],
        ),
        (
            [call(kind="execute", title="make", status="in_progress"), over(content=text("no\nExit Code: 2"))],
            ["shell make", "exit 2: no"],
        ),
        ([over(kind="execute", title="ls", status="failed", rawOutput="boom")], ["shell ls", "failed: boom"]),
        (
            [
                call(kind="execute", rawInput={"command": "make"}),
                over(status="in_progress", _meta={"terminal_output": {"data": "building\nO"}}),
                over(_meta={"terminal_output": {"data": "K\n"}, "terminal_exit": {"exit_code": 0}}),
            ],
            ["shell make", "exit 0: OK"],
        ),
        ([call(kind="edit", content=DIFF), over()], ["edit a.py", "completed: a.py"]),
        (
            [call(kind="read", rawInput={"path": "b.py"}), over(rawOutput={"content": "text"})],
            ["read b.py", "completed: text"],
        ),
        ([call(title="send_message", kind="other", rawInput={"to": "x"})], ['send_message {"to": "x"}']),
        ([call(kind="think", title="Thinking"), over(status=None), over()], ["Thinking", "completed"]),
        (
            [call(kind="execute", rawInput=7, rawOutput=[[[]]]), over(rawOutput={"code": True})],
            ["shell Terminal", "completed"],
        ),
    ],
)
def test_a_tool_call_is_told_once_and_its_result_once(updates: list[dict[str, Any]], told: list[str]) -> None:
    calls = ToolCalls()
    assert [e.text for update in updates for e in calls.take(UPDATES.validate_python(update))] == told


@pytest.mark.parametrize("asks", [False, True])
def test_what_is_told_with_a_call_is_not_shown_as_its_result(asks: bool) -> None:
    """As Gemini does: where it would run, and whether it may, are in the content before, and no result follows."""
    calls = ToolCalls()
    asked = call(kind="execute", title="make", content=text("[in /work] may I?"))
    ended = over() if asks else over(content=[])
    told = [*calls.take(UPDATES.validate_python(asked), asks=asks), *calls.take(UPDATES.validate_python(ended))]
    assert [event.text for event in told] == ["shell make", "completed"]


@pytest.mark.parametrize("words", ["/memory show", "$HOME is wrong", "  \n/about", "!ls"])
def test_a_message_that_begins_like_an_agents_own_command_reaches_the_model(words: str) -> None:
    sent = as_message(words)
    assert sent.endswith(words)
    assert sent[:1].isalpha()


@pytest.mark.parametrize("words", ["Iteration 1", "- a list", "", "a/b"])
def test_any_other_message_is_sent_as_it_is(words: str) -> None:
    assert as_message(words) == words
