import json
from typing import Any

from actors.messages import Progress
from actors.messages.values import ProgressKind
from shell.acp.updates import LONGEST_RESULT, Narrator


def told(*events: tuple[str, ProgressKind, str]) -> list[dict[str, Any]]:
    """The updates of these events: who, kind, text. `run` is the run itself, any other name an agent."""
    narrator = Narrator("x")
    found = [
        update
        for who, kind, text in events
        for update in narrator.updates(
            Progress(
                at_ms=1,
                source=who if who == "run" else "worker",
                agent="" if who == "run" else who,
                kind=kind,
                text=text,
            )
        )
    ]
    return [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in [*found, *narrator.end()]]


def brief(updates: list[dict[str, Any]]) -> list[str]:
    return [
        " ".join(
            str(part)
            for part in (
                each["sessionUpdate"],
                each.get("toolCallId", ""),
                each.get("status", ""),
                json.dumps(each.get("content", "")) if "content" in each else each.get("title", ""),
            )
            if part
        )
        for each in updates
    ]


def test_a_tool_call_is_open_until_its_result_comes():
    found = told(("codex", "tool", "shell ls"), ("claude", "tool", "Read a"), ("codex", "tool-result", "a b"))
    assert brief(found) == [
        "tool_call x-1 in_progress codex: shell ls",
        "tool_call x-2 in_progress claude: Read a",
        'tool_call_update x-1 completed [{"content": {"text": "a b", "type": "text"}, "type": "content"}]',
        "tool_call_update x-2 completed",
    ]


def test_a_tool_call_without_a_result_ends_when_its_agent_does_something_else():
    found = told(("codex", "tool", "shell ls"), ("codex", "say", "I have looked."))
    assert brief(found)[1:] == [
        "tool_call_update x-1 completed",
        'agent_message_chunk {"text": "**codex:** I have looked.\\n\\n", "type": "text"}',
    ]


def test_a_check_has_passed_when_the_next_one_begins_or_the_run_continues():
    found = told(("run", "check", "lint"), ("run", "check", "test"), ("run", "status", "review round 1"))
    assert brief(found) == [
        "tool_call x-1 in_progress lint",
        "tool_call_update x-1 completed",
        "tool_call x-2 in_progress test",
        'agent_thought_chunk {"text": "review round 1\\n", "type": "text"}',
        "tool_call_update x-2 completed",
    ]


def test_a_check_has_failed_when_an_error_of_the_run_follows():
    found = told(
        ("run", "check", "lint"), ("run", "status", "iteration 2 of 20"), ("run", "error", "checks failed: lint")
    )
    assert brief(found)[-1] == (
        'tool_call_update x-1 failed [{"content": {"text": "checks failed: lint", "type": "text"}, "type": "content"}]'
    )


def test_what_a_client_does_not_need_is_not_sent():
    assert told(("codex", "raw", "{}"), ("codex", "usage", "3 tokens"), ("run", "question", "What next?")) == []


def test_foreign_text_is_printable_and_bounded():
    found = told(("codex", "tool", "shell \x1b[2J"), ("codex", "tool-result", "x" * (LONGEST_RESULT + 10)))
    assert "\x1b" not in found[0]["title"]
    assert len(found[1]["content"][0]["content"]["text"]) == LONGEST_RESULT + 2
