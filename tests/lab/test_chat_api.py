import json
from typing import Any

import pytest

from actors.embedded.scenario import Answer, BridgeCall, Call, Entry, Fault, Prompt, Result, Run, ToolCall
from tests.lab.chat_api import ChatReply, conversation, fault_response, offered_tools
from tests.lab.offered_tools import OfferedTools

COPILOT = OfferedTools(("bash", "loop-bridge-send_message"), "loop-bridge-")
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": "{}"}}]


def entries(*messages: dict[str, Any]) -> list[Entry]:
    return conversation({"messages": list(messages)})


def test_instructions_and_what_the_agent_adds_are_no_prompts() -> None:
    assert entries(
        {"role": "system", "content": "You are a coding agent."},
        {"role": "user", "content": "<current_datetime>2026-11-28T20:22:35Z</current_datetime>\n\ndo it"},
        {"role": "user", "content": [{"type": "text", "text": "and that"}]},
    ) == [Prompt("do it"), Prompt("and that")]


def test_text_in_front_of_a_call_is_no_answer_and_text_alone_is_one() -> None:
    assert entries(
        {"role": "user", "content": "do it"},
        {"role": "assistant", "content": "On my way.", "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": "call_1", "content": "made"},
        {"role": "assistant", "content": "Done."},
    ) == [Prompt("do it"), Result("made"), Answer("Done.")]


@pytest.mark.parametrize(
    "made_up",
    [
        "The execution of this tool, or a previous tool was interrupted.",
        "Tool execution was interrupted before a result was recorded. Its effects may be absent, partial, or complete.",
    ],
)
def test_an_interrupted_call_has_no_result(made_up: str) -> None:
    assert entries(
        {"role": "user", "content": "do it"},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": "call_1", "content": made_up},
        {"role": "user", "content": "go on"},
    ) == [Prompt("do it"), Prompt("go on")]


def function(name: str, *properties: str) -> dict[str, Any]:
    shape = {"type": "object", "additionalProperties": False, "properties": {key: {} for key in properties}}
    return {"type": "function", "function": {"name": name, "parameters": shape}}


def called(reply: ChatReply, call: Call) -> tuple[str, dict[str, Any]]:
    (chunk,) = [json.loads(line.removeprefix("data: ")) for line in reply.call(call).decode().strip().split("\n\n")]
    told = chunk["choices"][0]["delta"]["tool_calls"][0]["function"]
    return told["name"], json.loads(told["arguments"])


def test_vibe_reaches_the_bridge_in_code_and_its_shell_takes_no_description() -> None:
    offered = offered_tools({"tools": [function("bash", "command"), function("run_typescript", "code")]})
    reply = ChatReply("1", "m", offered)
    assert called(reply, Run("make")) == ("bash", {"command": "make"})
    code = 'return await tools.mcp_loop_bridge.send_message({"target": "codex"});'
    assert called(reply, BridgeCall("send_message", {"target": "codex"})) == ("run_typescript", {"code": code})
    assert offered_tools({"tools": [function("bash", "command", "description")]}).describes_commands


def chunks(stream: bytes) -> list[dict[str, Any]]:
    blocks = stream.decode().strip().split("\n\n")
    assert blocks[-1] == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]


def test_a_streamed_reply_has_text_call_reason_and_usage() -> None:
    reply = ChatReply("1", "m", COPILOT)
    stream = chunks(reply.begin() + reply.say("On my way.") + reply.call(Run("make")) + reply.end())
    deltas = [choice["delta"] for chunk in stream for choice in chunk["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "On my way."
    ((call,),) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])["command"]) == ("bash", "make")
    assert [choice["finish_reason"] for chunk in stream for choice in chunk["choices"]][-1] == "tool_calls"
    assert stream[-1]["usage"]["total_tokens"] == 15


def test_a_whole_reply_is_what_the_stream_says() -> None:
    reply = ChatReply("1", "m", COPILOT)
    reply.say("One.")
    reply.say("Two.")
    (choice,) = reply.message()["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": "One.\nTwo."},
        "finish_reason": "stop",
    }


@pytest.mark.parametrize(
    ("scripted", "name", "arguments"),
    [
        (BridgeCall("send_message", {"target": "x"}), "loop-bridge-send_message", {"target": "x"}),
        (ToolCall("view", {"path": "a"}), "view", {"path": "a"}),
    ],
)
def test_a_call_has_the_name_that_the_agent_knows(scripted: Call, name: str, arguments: dict[str, Any]) -> None:
    sent = json.loads(ChatReply("1", "m", COPILOT).call(scripted).decode().removeprefix("data: "))
    function = sent["choices"][0]["delta"]["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == (name, arguments)


def test_the_bridges_tools_are_called_as_they_are_offered_and_never_a_like_one_of_the_agents_own() -> None:
    names = ("send_message", "loop_bridge__send_message")
    request = {"tools": [{"type": "function", "function": {"name": name}} for name in names]}
    assert offered_tools(request).of_bridge("send_message") == "loop_bridge__send_message"
    assert offered_tools({}).of_bridge("send_message") == "loop-bridge-send_message"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault("k", status=429, resets_in_s=60), 429, "rate_limit_exceeded"),
        (Fault("k", status=503), 503, None),
        (Fault("k", refuses="context"), 400, "context_length_exceeded"),
        (Fault("k", refuses="billing"), 429, "insufficient_quota"),
    ],
)
def test_an_error_is_worded_as_openai_words_it(fault: Fault, status: int, code: str | None) -> None:
    answered, headers, body = fault_response(fault, 1000)
    assert (answered, json.loads(body)["error"]["code"]) == (status, code)
    assert headers == ({"retry-after": "60"} if fault.resets_in_s else {})
