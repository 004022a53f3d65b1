"""What Codex says, as events and outcomes: shapes that a scripted model does not make the real program say."""

from __future__ import annotations

from typing import Any

import pytest

from actors.adapters.codex_events import events
from actors.adapters.codex_protocol import (
    TurnProgress,
    find_turn,
    is_conversation,
    one_line,
    resets_at_ms,
    turn_outcome,
    user_text,
)
from actors.messages import FoundTurn, TurnOutcome, Usage

THREAD = "thread-1"


def item(state: str, **fields: Any) -> dict[str, Any]:
    return {"method": f"item/{state}", "params": {"threadId": THREAD, "turnId": "turn-1", "item": fields}}


@pytest.mark.parametrize(
    ("started", "text"),
    [
        ({"type": "commandExecution", "command": "/bin/bash -lc 'make test'"}, "shell make test"),
        ({"type": "commandExecution", "command": "make 'test"}, "shell make 'test"),
        ({"type": "fileChange", "changes": [{"path": "a.py"}, {"path": "b.py"}]}, "edit a.py, b.py"),
        ({"type": "mcpToolCall", "server": "s", "tool": "t", "arguments": {"a": "ä"}}, 's.t {"a": "ä"}'),
        ({"type": "collabAgentToolCall", "tool": "spawn", "prompt": "look\nhere"}, "agent.spawn look here"),
        ({"type": "webSearch", "query": "pykka"}, "web search pykka"),
    ],
)
def test_a_tool_is_told_on_one_line_when_it_starts(started: dict[str, Any], text: str) -> None:
    [event] = events(item("started", **started), THREAD)
    assert (event.kind, event.text) == ("tool", text)


@pytest.mark.parametrize(
    ("completed", "text"),
    [
        ({"type": "commandExecution", "exitCode": 0, "aggregatedOutput": "a\nb\n"}, "exit 0: b"),
        ({"type": "commandExecution", "exitCode": 1, "aggregatedOutput": None}, "exit 1"),
        ({"type": "fileChange", "status": "completed"}, "completed"),
        ({"type": "mcpToolCall", "status": "failed", "error": {"message": "no such target"}}, "failed: no such target"),
    ],
)
def test_a_result_is_told_on_one_line(completed: dict[str, Any], text: str) -> None:
    [event] = events(item("completed", **completed), THREAD)
    assert (event.kind, event.text) == ("tool-result", text)


@pytest.mark.parametrize(
    "notification",
    [
        item("started", type="fileChange"),  # lacks its changes
        item("started", type="telepathy"),
        {"method": "item/completed", "params": None},
        {"method": "thread/tokenUsage/updated", "params": {"threadId": THREAD, "tokenUsage": []}},
        {"method": "something/new", "params": {}},
        {"method": "something/newer"},
    ],
)
def test_what_is_not_known_is_passed_on_raw(notification: dict[str, Any]) -> None:
    [event] = events(notification, THREAD)
    assert event.kind == "raw"
    assert event.raw.startswith('{"method":')
    TurnProgress().take(notification["method"], notification.get("params") or {})


def test_what_a_sub_agent_does_in_its_own_thread_is_raw_only() -> None:
    notification = item("completed", type="agentMessage", text="from below")
    assert [event.kind for event in events(notification, THREAD)] == ["say"]
    assert [event.kind for event in events(notification, "another thread")] == ["raw"]
    assert [event.kind for event in events(notification, "")] == ["say"]  # ours, whose id is not known yet


def test_fragments_are_dropped() -> None:
    assert events({"method": "item/agentMessage/delta", "params": {"delta": "He"}}, THREAD) == []
    assert events({"method": "item/reasoning/summaryTextDelta", "params": {"delta": "He"}}, THREAD) == []


def test_a_retry_is_noted_and_a_last_error_is_left_to_the_outcome() -> None:
    error = {"threadId": THREAD, "error": {"message": "Reconnecting... 2/5"}}
    assert events({"method": "error", "params": error | {"willRetry": True}}, THREAD)[0].text == "Reconnecting... 2/5"
    assert events({"method": "error", "params": error | {"willRetry": False}}, THREAD)[0].kind == "raw"


def test_the_usage_of_a_turn_is_what_the_session_used_since_it_began() -> None:
    progress = TurnProgress()
    progress.take("turn/started", {"turn": {"id": "turn-2"}})
    for turn, total_in, total_out in (("turn-1", 900, 90), ("turn-2", 1100, 95), ("turn-2", 1300, 101)):
        usage = {
            "total": {"inputTokens": total_in, "outputTokens": total_out},
            "last": {"inputTokens": 200, "outputTokens": 5},
        }
        progress.take("thread/tokenUsage/updated", {"turnId": turn, "tokenUsage": usage})
    outcomes = []
    for turn in ("turn-1", "turn-2"):
        progress.take("turn/completed", {"turn": {"id": turn, "status": "completed"}})
        outcomes.append(progress.outcome)
    assert outcomes == [
        None,
        TurnOutcome(status="finished", usage=Usage(input_tokens=400, output_tokens=11, cost_known=False)),
    ]


@pytest.mark.parametrize(
    ("info", "status"),
    [
        ("usageLimitExceeded", "limited"),
        ("rateLimitExceeded", "limited"),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}, "limited"),
        ({"httpConnectionFailed": {"httpStatusCode": 529}}, "failed"),
        ({"httpConnectionFailed": None}, "failed"),
        ("serverOverloaded", "failed"),
        ("contextWindowExceeded", "failed"),
        (None, "failed"),
    ],
)
def test_only_what_waiting_helps_against_is_a_limit(info: Any, status: str) -> None:
    turn = {"status": "failed", "error": {"message": "no\ngood", "codexErrorInfo": info, "additionalDetails": "why"}}
    outcome = turn_outcome(turn, "", Usage(), {})
    assert (outcome.status, outcome.error) == (status, "no good why")


def test_a_limit_ends_with_the_last_window_that_is_used_up() -> None:
    def limits(primary: int, secondary: int) -> dict[str, Any]:
        return {
            "primary": {"usedPercent": primary, "windowDurationMins": 300, "resetsAt": 1000},
            "secondary": {"usedPercent": secondary, "windowDurationMins": 10080, "resetsAt": 9000},
        }

    assert resets_at_ms(limits(100, 30)) == 1_000_000
    assert resets_at_ms(limits(100, 100)) == 9_000_000
    assert resets_at_ms(limits(99, 30)) is None
    assert resets_at_ms({"primary": None, "secondary": None}) is None


def test_a_failed_turn_without_a_reason_still_has_an_error_line() -> None:
    assert turn_outcome({"status": "failed"}, "", Usage(), {}).error == "codex gave no reason"


@pytest.mark.parametrize(
    ("status", "state"),
    [("completed", "finished"), ("failed", "finished"), ("interrupted", "unfinished"), ("inProgress", "unfinished")],
)
def test_a_message_is_found_by_our_id_also_when_it_was_steered(status: str, state: str) -> None:
    items: list[dict[str, Any]] = [
        {"type": "userMessage", "clientId": "first"},
        {"type": "userMessage", "clientId": "steered"},
        {"type": "userMessage", "clientId": None},
        {"type": "agentMessage", "text": "early"},
        {"type": "agentMessage", "text": "last"},
    ]
    turns: list[dict[str, Any]] = [{"status": "completed", "items": []}, {"status": status, "items": items}]
    for message_id in ("first", "steered"):
        found = find_turn(turns, message_id)
        assert found.state == state
        if found.outcome is not None:
            assert found.outcome.text == "last"
    assert find_turn(turns, "third").state == "absent"


def test_a_long_text_becomes_one_short_line() -> None:
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("x" * 300, 10) == "xxxxxxxxx…"


@pytest.mark.parametrize(
    ("what", "thread", "conversation"),
    [
        ("begun or loaded", {}, True),
        ("forked off", {"forkedFromId": THREAD}, True),
        ("a side question", {"forkedFromId": THREAD, "ephemeral": True}, False),
        ("for a title", {"threadSource": "thread_title", "ephemeral": True}, False),
        ("a sub-agent's", {"parentThreadId": THREAD, "source": {"subAgent": {"thread_spawn": {}}}}, False),
    ],
)
def test_a_conversation_of_a_persons_is_told_from_other_threads(
    what: str, thread: dict[str, Any], *, conversation: bool
) -> None:
    kept = {"ephemeral": False, "parentThreadId": None, "source": "vscode"}
    assert is_conversation(kept | thread) is conversation, what


def test_what_a_person_sent_is_told_with_what_is_no_text_by_name() -> None:
    content = [{"type": "text", "text": "look"}, {"type": "localImage", "path": "a.png"}, {"type": "text", "text": "ä"}]
    assert user_text({"type": "userMessage", "content": content}) == "look\n[localImage]\nä"


def test_the_answer_to_a_mail_at_the_very_end_does_not_take_the_place_of_the_answer_to_the_prompt() -> None:
    items = [
        {"type": "userMessage", "clientId": "prompt", "content": []},
        {"type": "agentMessage", "text": "I look."},
        {"type": "agentMessage", "text": "Made.\n\nDONE"},
        {"type": "userMessage", "clientId": "mail", "content": []},
        {"type": "agentMessage", "text": "Understood."},
    ]
    turn = {"id": "turn-2", "status": "completed"}
    progress = TurnProgress()
    progress.take("turn/started", {"turn": turn})
    for each in items:
        progress.take("item/completed", {"turnId": "turn-2", "item": each})
    progress.take("turn/completed", {"turn": turn})
    assert progress.outcome is not None
    assert progress.outcome.text == "Made.\n\nDONE\n\nUnderstood."
    found = find_turn([turn | {"items": items}], "prompt")
    assert found.outcome == TurnOutcome(status="finished", text=progress.outcome.text)


def test_a_message_that_came_when_its_turn_was_ending_is_unread() -> None:
    items = [
        {"type": "userMessage", "clientId": "prompt", "content": []},
        {"type": "agentMessage", "text": "Done."},
        {"type": "userMessage", "clientId": "mail", "content": []},
    ]
    turn = {"status": "completed", "items": items}
    assert find_turn([turn], "mail") == FoundTurn(state="unfinished", unread=True)
    assert find_turn([turn], "prompt").state == "finished"
    asked = turn | {"items": [*items, {"type": "reasoning"}]}
    assert find_turn([asked], "mail").state == "finished"
    assert find_turn([turn | {"status": "interrupted"}], "mail") == FoundTurn(state="unfinished")
    alone = {"status": "completed", "items": items[:1]}  # the model may have had nothing to say
    assert find_turn([alone], "prompt").state == "finished"
