"""What comes of an agent's message whose fields are missing, or are something else than we know."""

import sys
from collections.abc import Callable

import pytest

from actors.adapters import acp_messages, claude_events, codex_events, codex_protocol, shapes
from actors.adapters.claude_reading import Reading
from actors.adapters.claude_turn import Conversation
from actors.errors import AgentBreachError
from actors.text import read_json

UPDATE = {"sessionId": "s", "update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": ""}}}


@pytest.mark.parametrize("value", [None, True, "7", 0.5, -1, 2**63, [], {}])
def test_what_is_no_count_counts_as_nothing(value: object):
    assert shapes.whole(value) == 0
    assert shapes.moment_s(value) is None
    assert claude_events.tokens({"input_tokens": value, "output_tokens": value}) == (0, 0)


@pytest.mark.parametrize("value", [None, True, "7", -0.5, 10**400, float("nan"), float("inf")])
def test_what_is_no_amount_is_no_money(value: object):
    assert shapes.money(value) == 0.0


def test_a_time_that_no_calendar_has_is_none():
    assert shapes.moment_s(1_760_000_000) == 1_760_000_000
    assert shapes.moment_s(10**12) is None


@pytest.mark.parametrize(
    "event",
    [
        {"type": "assistant", "message": ["x"]},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": 5}]}},
        {"type": "assistant", "message": {"content": [{"type": "tool_use"}]}},
        {"type": "system", "subtype": "init", "mcp_servers": ["x"]},
        {"type": "rate_limit_event", "rate_limit_info": "x"},
        {"type": "result", "usage": [1]},
    ],
)
def test_an_event_of_claude_in_an_unknown_shape_is_not_told(event: dict):
    assert list(claude_events.describe(event)) == []


def test_a_result_of_claude_in_an_unknown_shape_is_a_breach_that_names_it():
    conversation = Conversation()
    conversation.begin("t")
    with (
        pytest.raises(AgentBreachError, match=r"^claude sent 'result' in an unknown shape \(TypeError: "),
        shapes.decides("result", "claude"),
    ):
        conversation.take({"type": "result", "user_message_uuids": 5})


@pytest.mark.parametrize(
    "params",
    [
        {"item": {"type": "agentMessage", "text": 5}},
        {"item": {"type": "userMessage", "clientId": ["x"]}},
        {"item": {"type": "commandExecution", "aggregatedOutput": 5}},
        {"item": "x"},
    ],
)
def test_a_notification_of_codex_in_an_unknown_shape_is_raw_alone(params: dict):
    told = codex_events.events({"method": "item/completed", "params": params}, "")
    assert [event.kind for event in told] == ["raw"]


@pytest.mark.parametrize("message", [{"method": 5}, {"method": "x", "params": ["y"]}, {"id": {}, "result": 1}])
def test_what_is_no_message_of_codex_is_a_breach(message: dict):
    with pytest.raises(AgentBreachError, match="in an unknown shape"):
        codex_protocol.checked(message)


@pytest.mark.parametrize(
    "message",
    [
        {"method": "session/update", "params": {"sessionId": "s", "update": {"sessionUpdate": "news"}}},
        {"method": "session/update"},
        {"method": "_steering", "params": {}},
        {"method": {"x": 1}, "id": 1},
        {"method": "session/update", "params": ["x"]},
        {"id": None, "error": {"code": -32700, "message": "parse error"}},
        {"id": [1], "result": {}},
        {},
    ],
)
def test_a_message_of_an_acp_agent_that_says_nothing_to_us_is_passed_over(message: dict):
    assert acp_messages.passed_on(message) is None


@pytest.mark.parametrize("error", [None, "overloaded", {"code": "x", "message": "y"}, {"code": 1}])
def test_an_answer_of_an_acp_agent_that_is_none_is_its_error(error: object):
    answer = acp_messages.passed_on({"id": 1, "error": error})
    assert answer is not None
    assert answer["error"]["code"] == acp_messages.INTERNAL_ERROR
    assert "it gave an answer that is none" in answer["error"]["message"]


@pytest.mark.parametrize(
    "message",
    [
        {"method": "session/update", "params": UPDATE},
        {"id": 7, "method": "session/request_permission", "params": {}},
        {"id": "a", "result": None},
        {"id": 1, "error": {"code": -32000, "message": "log in"}},
    ],
)
def test_the_other_messages_of_an_acp_agent_are_as_they_came(message: dict):
    assert acp_messages.passed_on(message) == message


def test_a_number_that_is_none_or_too_large_is_read_as_one_that_can_be_written():
    found = read_json("[NaN, -Infinity, 1e999, -1e999, 1.5]")
    assert found == [None, None, sys.float_info.max, -sys.float_info.max, 1.5]


@pytest.mark.parametrize("content", ["x", 5, ["x"], [5, None], [{"type": 5}], {"a": 1}])
@pytest.mark.parametrize("wrap", [lambda content: {"content": content}, lambda content: content])
def test_an_entry_of_claudes_transcript_in_an_unknown_shape_is_read_over(content: object, wrap: Callable[..., object]):
    reading = Reading()
    reading.take({"type": "user", "uuid": "u", "message": wrap(content)})
    reading.take({"type": "assistant", "uuid": "a", "message": wrap(content)})
