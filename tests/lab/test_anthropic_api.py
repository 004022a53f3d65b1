import json
import uuid
from typing import Any

import pytest

from actors.embedded.scenario import Answer, BridgeCall, Call, Entry, Fault, Prompt, Result, Run, Say, Step, ToolCall
from tests.lab.anthropic_api import AnthropicReply, conversation, fault_response, in_form, is_bound


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def tool_use(number: int) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": "Bash", "input": {"command": "make"}}


def tool_result(number: int, content: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": content}


def entries(*messages: tuple[str, Any]) -> list[Entry]:
    return conversation({"messages": [{"role": role, "content": content} for role, content in messages]})


STEERED = (
    "The user sent a new message while you were working:\nMail\n\nfor you\n\nThis is how Claude Code surfaces messages"
)


def test_reminders_and_facts_about_the_machine_are_no_prompts() -> None:
    assert entries(
        ("user", [text("<system-reminder>\nSign commits.\n</system-reminder>\n"), text("do it")]),
        ("system", [text("# Environment\nYou are here.")]),
    ) == [Prompt("do it")]


def test_text_with_a_call_is_no_answer_and_text_alone_is_one() -> None:
    assert entries(
        ("user", "do it"),
        ("assistant", [text("On my way."), tool_use(1)]),
        ("user", [tool_result(1, "made")]),
        ("assistant", [text("Done.")]),
        ("user", [text("next")]),
    ) == [Prompt("do it"), Result("made"), Answer("Done."), Prompt("next")]


@pytest.mark.parametrize("content", ["made", [text("made")]])
def test_the_text_of_a_result_is_found_in_both_its_forms(content: Any) -> None:
    assert entries(("user", [tool_result(1, content)])) == [Result("made")]


def test_a_steered_message_is_a_prompt_in_a_system_message_or_a_reminder() -> None:
    in_system = entries(("user", [tool_result(1, "made")]), ("system", STEERED))
    in_result = entries(("user", [tool_result(1, f"made\n\n<system-reminder>\n{STEERED}\n</system-reminder>")]))
    in_text = entries(("user", [tool_result(1, "made"), text(f"<system-reminder>\n{STEERED}\n</system-reminder>")]))
    in_user = entries(("user", [tool_result(1, "made"), text(STEERED)]))  # from the TUI
    assert in_system == in_result == in_text == in_user == [Result("made"), Prompt("Mail\n\nfor you")]


@pytest.mark.parametrize("form", ["{}", '<pasted_content id="bd76">\n{}\n</pasted_content id="bd76">\n', "\n{}"])
def test_what_was_typed_into_the_tui_is_a_prompt_without_what_stands_around_it(form: str) -> None:
    first_line = f"[loop {uuid.uuid4()}] Please do what the following says.\n"
    assert entries(("user", [text(first_line + form.format("do\nit"))])) == [Prompt("do\nit")]


def test_an_interrupted_call_has_no_result_and_the_interruption_is_no_prompt() -> None:
    assert entries(
        ("user", "do it"),
        ("assistant", [tool_use(1)]),
        (
            "user",
            [
                tool_result(1, "The user doesn't want to proceed with this tool use. The tool use was rejected"),
                text("[Request interrupted by user for tool use]\n"),
                text("go on"),
            ],
        ),
    ) == [Prompt("do it"), Prompt("go on")]


def test_a_call_that_was_running_when_claude_was_killed_has_no_result() -> None:
    assert entries(
        ("user", "do it"),
        ("assistant", [tool_use(1)]),
        ("user", [tool_result(1, "[Tool call interrupted: the session ended before this call's result")]),
        ("assistant", [text("No response requested.")]),
        ("user", [text("go on")]),
    ) == [Prompt("do it"), Prompt("go on")]


def events(stream: bytes) -> list[dict[str, Any]]:
    blocks = stream.decode().strip().split("\n\n")
    found = [json.loads(block.split("\ndata: ")[1]) for block in blocks]
    assert [block.split("\n")[0] for block in blocks] == [f"event: {event['type']}" for event in found]
    return found


def test_a_streamed_reply_has_text_and_call_in_blocks_of_their_own() -> None:
    reply = AnthropicReply("1", "opus")
    stream = events(reply.begin() + reply.say("On my way.") + reply.call(Run("make")) + reply.end())
    assert [(event["type"], event.get("index")) for event in stream] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("message_delta", None),
        ("message_stop", None),
    ]
    assert stream[0]["message"]["content"] == []
    assert stream[2]["delta"] == {"type": "text_delta", "text": "On my way."}
    assert json.loads(stream[5]["delta"]["partial_json"]) == {"command": "make"}
    assert stream[7]["delta"]["stop_reason"] == "tool_use"


def test_a_reply_that_does_not_stream_holds_the_same_blocks() -> None:
    reply = AnthropicReply("1", "opus")
    reply.say("Done.")
    message = reply.message()
    assert (message["content"], message["stop_reason"]) == ([text("Done.")], "end_turn")


@pytest.mark.parametrize(
    ("call", "name", "arguments"),
    [
        (Run("make"), "Bash", {"command": "make"}),
        (BridgeCall("bridge_status", {}), "mcp__loop-bridge__bridge_status", {}),
        (ToolCall("Read", {"file_path": "a"}), "Read", {"file_path": "a"}),
    ],
)
def test_a_call_has_the_name_that_claude_code_knows(call: Call, name: str, arguments: dict[str, Any]) -> None:
    reply = AnthropicReply("1", "opus")
    reply.call(call)
    assert reply.message()["content"] == [{"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}]


def test_a_usage_limit_says_when_it_ends() -> None:
    status, headers, body = fault_response(Fault("k", status=429, resets_in_s=60), now_s=1000)
    assert (status, headers["anthropic-ratelimit-unified-reset"]) == (429, "1060")
    assert json.loads(body)["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize(("status", "kind"), [(529, "overloaded_error"), (500, "api_error")])
def test_an_error_is_worded_as_anthropic_words_it(status: int, kind: str) -> None:
    _, headers, body = fault_response(Fault("k", status=status), now_s=1000)
    assert headers == {}
    assert json.loads(body)["error"]["type"] == kind


def test_a_bound_answer_is_a_call_that_ends_its_turn():
    said = (Step(Say("I looked at it.")), Step(Say('{"verdict": "pass"}')))
    assert in_form(said) == (said[0], Step(ToolCall("StructuredOutput", {"verdict": "pass"})))
    assert in_form(said[:1]) == said[:1]
    assert is_bound({"tools": [{"name": "Bash"}, {"name": "StructuredOutput"}]})
    assert not is_bound({"tools": [{"name": "Bash"}]})
    call = {"type": "tool_use", "id": "x", "name": "StructuredOutput", "input": {"verdict": "pass"}}
    taken = {"type": "tool_result", "tool_use_id": "x", "content": "Structured output provided successfully"}
    refused = {"type": "tool_result", "tool_use_id": "x", "content": "Output does not match required schema"}
    for result, entry in ((taken, Answer(taken["content"])), (refused, Result(refused["content"]))):
        messages = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        assert conversation({"messages": messages}) == [entry]
