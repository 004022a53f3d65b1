import json
from typing import Any

import pytest

from actors.embedded.scenario import Answer, BridgeCall, Call, Entry, Fault, Prompt, Result, Run, ToolCall
from tests.lab.gemini_api import GeminiReply, conversation, fault_response, offered_tools
from tests.lab.offered_tools import OfferedTools

GEMINI = OfferedTools(("run_shell_command", "mcp_loop-bridge_send_message"), "mcp_loop-bridge_")
CALL = {"functionCall": {"name": "run_shell_command", "args": {"command": "make"}}}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def response(**fields: str) -> dict[str, Any]:
    return {"functionResponse": {"name": "run_shell_command", "response": fields}}


def entries(*contents: dict[str, Any]) -> list[Entry]:
    return conversation({"contents": list(contents)})


def test_facts_about_the_machine_are_no_prompt() -> None:
    assert entries(user({"text": "<session_context>\nToday is Monday.\n</session_context>"}, {"text": "do it"})) == [
        Prompt("do it")
    ]


def test_text_in_front_of_a_call_and_thoughts_are_no_answer_and_text_alone_is_one() -> None:
    assert entries(
        user({"text": "do it"}),
        model({"text": "Let me see.", "thought": True}, {"text": "On my way."}, CALL),
        user(response(output="<untrusted_context>\nOutput: made\n</untrusted_context>")),
        model({"text": "Done."}),
        user({"text": "next"}),
    ) == [Prompt("do it"), Result("Output: made"), Answer("Done."), Prompt("next")]


def test_a_call_that_was_interrupted_has_no_result() -> None:
    assert entries(user({"text": "do it"}), model(CALL), user({"text": "go on"})) == [Prompt("do it"), Prompt("go on")]


def test_an_error_of_a_tool_is_its_result() -> None:
    assert entries(user(response(error="fetch failed"))) == [Result("fetch failed")]


def answers(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(block.removeprefix("data: ")) for block in stream.decode().strip().split("\r\n\r\n")]


def test_a_streamed_reply_has_text_call_reason_and_usage() -> None:
    reply = GeminiReply("1", "m", GEMINI)
    stream = answers(reply.begin() + reply.say("On my way.") + reply.call(Run("make")) + reply.end())
    parts = [part for answer in stream for part in answer["candidates"][0]["content"]["parts"]]
    assert parts == [{"text": "On my way."}, CALL, {"text": ""}]
    assert [answer["candidates"][0].get("finishReason") for answer in stream] == [None, None, "STOP"]
    assert stream[-1]["usageMetadata"]["totalTokenCount"] == 15


@pytest.mark.parametrize(
    ("scripted", "expected"),
    [
        (
            BridgeCall("send_message", {"target": "x"}),
            {"name": "mcp_loop-bridge_send_message", "args": {"target": "x"}},
        ),
        (ToolCall("read_file", {"path": "a"}), {"name": "read_file", "args": {"path": "a"}}),
    ],
)
def test_a_call_has_the_name_that_the_agent_knows(scripted: Call, expected: dict[str, Any]) -> None:
    reply = GeminiReply("1", "m", GEMINI)
    reply.call(scripted)
    assert reply.message()["candidates"][0]["content"]["parts"] == [{"functionCall": expected}]


def test_all_declared_tools_are_offered() -> None:
    request = {"tools": [{"functionDeclarations": [{"name": "glob"}]}, {"functionDeclarations": [{"name": "grep"}]}]}
    assert offered_tools(request).names == ("glob", "grep")
    assert offered_tools({}).names == ()


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        (Fault("k", status=429, resets_in_s=60), 429, "RESOURCE_EXHAUSTED"),
        (Fault("k", status=503), 503, "UNAVAILABLE"),
        (Fault("k", refuses="context"), 400, "INVALID_ARGUMENT"),
        (Fault("k", refuses="billing"), 429, "RESOURCE_EXHAUSTED"),
    ],
)
def test_an_error_is_worded_as_google_words_it(fault: Fault, status: int, name: str) -> None:
    answered, _, body = fault_response(fault, 1000)
    error = json.loads(body)["error"]
    assert (answered, error["code"], error["status"]) == (status, status, name)
    assert bool(error["details"]) == (fault.resets_in_s is not None)
