import json
from typing import Any

import pytest

from actors.embedded.scenario import Answer, BridgeCall, Call, Entry, Fault, Prompt, Result, Run, ToolCall
from tests.lab.responses_api import (
    ResponsesReply,
    conversation,
    fault_response,
    is_code_mode,
    running_cell,
    tool_names,
)


def message(role: str, *texts: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text} for text in texts]}


def call(number: int) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": f"call_{number}",
        "name": "exec_command",
        "arguments": '{"cmd": "make"}',
    }


def output(number: int, text: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"call_{number}", "output": text}


def entries(*items: dict[str, Any]) -> list[Entry]:
    return conversation({"input": list(items)})


def test_instructions_and_facts_about_the_machine_are_no_prompts() -> None:
    assert entries(
        message("developer", "You are a coding agent."),
        message("user", "# AGENTS.md instructions for /w\n\nBe nice.", "<environment_context>…</environment_context>"),
        message("user", "do it"),
    ) == [Prompt("do it")]


def test_text_in_front_of_a_call_is_no_answer_and_text_alone_is_one() -> None:
    assert entries(
        message("user", "do it"),
        message("assistant", "One."),
        message("assistant", "Two."),
        call(1),
        output(1, "made"),
        message("assistant", "Done."),
        message("user", "next"),
    ) == [Prompt("do it"), Result("made"), Answer("Done."), Prompt("next")]


@pytest.mark.parametrize("content", ["made", [{"type": "input_text", "text": "made"}]])
def test_the_text_of_a_result_is_found_in_both_its_forms(content: Any) -> None:
    assert entries(output(1, content)) == [Result("made")]


def test_a_steered_message_is_a_prompt_behind_the_result() -> None:
    assert entries(message("user", "do it"), call(1), output(1, "made"), message("user", "Mail")) == [
        Prompt("do it"),
        Result("made"),
        Prompt("Mail"),
    ]


@pytest.mark.parametrize(
    "made_up", ["aborted", "aborted by user after 0.7s", "Wall time: 0.7 seconds\naborted by user"]
)
def test_an_interrupted_call_has_no_result_and_the_interruption_is_no_prompt(made_up: str) -> None:
    assert entries(
        message("user", "do it"),
        call(1),
        output(1, made_up),
        message("user", "<turn_aborted>\nThe user interrupted the previous turn.\n</turn_aborted>"),
        message("user", "go on"),
    ) == [Prompt("do it"), Prompt("go on")]


def test_output_that_speaks_of_abortion_is_a_result() -> None:
    assert entries(output(1, "Process exited with code 1\nOutput:\naborted")) == [
        Result("Process exited with code 1\nOutput:\naborted")
    ]


def events(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(block.split("\ndata: ")[1]) for block in stream.decode().strip().split("\n\n")]


def test_a_streamed_reply_has_text_and_call_in_items_of_their_own() -> None:
    reply = ResponsesReply("1", "gpt")
    stream = events(reply.begin() + reply.say("On my way.") + reply.call(Run("make")) + reply.end())
    assert [(event["type"].removeprefix("response."), event.get("output_index")) for event in stream] == [
        ("created", None),
        ("output_item.added", 0),
        ("output_text.delta", 0),
        ("output_item.done", 0),
        ("output_item.added", 1),
        ("output_item.done", 1),
        ("completed", None),
    ]
    assert [item["type"] for item in stream[-1]["response"]["output"]] == ["message", "function_call"]
    assert stream[-1]["response"]["usage"]["total_tokens"] == 15


@pytest.mark.parametrize(
    ("scripted", "expected"),
    [
        (Run("make"), {"name": "exec_command", "arguments": '{"cmd": "make", "yield_time_ms": 30000}'}),
        (
            BridgeCall("bridge_status", {}),
            {"namespace": "mcp__loop_bridge", "name": "bridge_status", "arguments": "{}"},
        ),
        (ToolCall("view_image", {"path": "a"}), {"name": "view_image", "arguments": '{"path": "a"}'}),
    ],
)
def test_a_call_has_the_name_that_codex_knows(scripted: Call, expected: dict[str, Any]) -> None:
    item = events(ResponsesReply("1", "gpt").call(scripted))[-1]["item"]
    assert item == {"type": "function_call", "id": "fc_1", "call_id": "call_1"} | expected


def test_a_usage_limit_says_when_it_ends_in_body_and_headers() -> None:
    status, headers, body = fault_response(Fault("k", status=429, resets_in_s=60), now_s=1000)
    error = json.loads(body)["error"]
    assert (status, error["type"], error["resets_at"]) == (429, "usage_limit_reached", 1060)
    assert headers["x-codex-primary-reset-at"] == "1060"


@pytest.mark.parametrize(("status", "kind"), [(429, "rate_limit_exceeded"), (500, "server_error")])
def test_an_error_is_worded_as_openai_words_it(status: int, kind: str) -> None:
    _, headers, body = fault_response(Fault("k", status=status), now_s=1000)
    assert headers == {}
    assert json.loads(body)["error"]["type"] == kind


CODE_MODE = {"type": "additional_tools", "tools": [{"name": "functions", "tools": [{"name": "exec"}]}]}


def test_tools_are_offered_by_the_request_or_by_an_item_of_its_input() -> None:
    assert tool_names({"tools": [{"name": "exec_command"}, {"type": "web_search"}]}) == ("exec_command", "web_search")
    assert tool_names({"input": [CODE_MODE]}) == ("functions.exec",)
    assert tool_names({"tools": [], "input": [message("user", "a title, please")]}) == ()
    assert is_code_mode({"input": [CODE_MODE]})
    assert not is_code_mode({"tools": [{"name": "exec"}]})


@pytest.mark.parametrize(
    ("action", "script"),
    [
        (Run("make"), "tools.exec_command("),
        (
            BridgeCall("send_message", {"target": "claude"}),
            'tools.mcp__loop_bridge__send_message({"target": "claude"})',
        ),
        (ToolCall("create_goal", {"objective": "o"}), 'tools.create_goal({"objective": "o"})'),
    ],
)
def test_in_code_mode_a_call_is_a_script(action: Call, script: str) -> None:
    sent = ResponsesReply("1", "m", in_code=True).call(action).decode()
    item = json.loads(sent.rpartition("data: ")[2])["item"]
    assert (item["type"], item["name"], item["namespace"]) == ("custom_tool_call", "exec", "functions")
    assert script in item["input"]


def test_a_script_that_runs_on_is_no_result_and_its_end_is_waited_for() -> None:
    items = [message("user", "do it"), call(1), output(1, "Script running with cell ID 7\nWall time 0.2 seconds")]
    assert entries(*items) == [Prompt("do it")]
    assert running_cell({"input": items}) == "7"
    sent = ResponsesReply("1", "m", in_code=True, cell="7").call(Run("make")).decode()
    item = json.loads(sent.rpartition("data: ")[2])["item"]
    assert (item["name"], json.loads(item["arguments"])["cell_id"]) == ("wait", "7")


@pytest.mark.parametrize(
    "end", ["Script completed\nOutput:\nmade", "Script failed\nScript error:\nexec cell 7 not found"]
)
def test_a_script_that_has_ended_or_is_gone_is_not_waited_for(end: str) -> None:
    items = [call(1), output(1, "Script running with cell ID 7\n"), call(2), output(2, end)]
    assert running_cell({"input": items}) == ""
    assert [type(entry) for entry in entries(*items)] == ([Result] if "completed" in end else [])
