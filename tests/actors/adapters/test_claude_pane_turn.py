"""When a turn in Claude Code's TUI is over, and how: entries of its transcript in, an outcome out."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from actors.adapters.claude_pane_turn import TuiTurn, first_line, identify, message_in
from actors.messages import TurnOutcome

OURS, OTHER = str(uuid.uuid4()), str(uuid.uuid4())
LONG_S = 60.0


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "user", "message": {"role": "user", "content": content}, **more}


def prompt(message_id: str, text: str = "do it") -> dict[str, Any]:
    return user(f"{first_line(message_id)}\n{text}", promptSource="typed")


def says(text: str, stop_reason: str = "end_turn") -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    usage = {"input_tokens": 10, "output_tokens": 5}
    message = {"id": text, "model": "m", "content": content, "stop_reason": stop_reason, "usage": usage}
    return {"type": "assistant", "message": message}


CALLS = says("let me look", "tool_use")
INTERRUPTED = user([{"type": "text", "text": "[Request interrupted by user for tool use]"}])
BACKGROUND = user([{"type": "tool_result", "content": "running"}], toolUseResult={"backgroundTaskId": "b1"})


def outcome(*entries: dict[str, Any], idle_s: float | None, interrupting: bool = False) -> TurnOutcome | None:
    turn = TuiTurn(OURS)
    turn.interrupting = interrupting
    for entry in entries:
        turn.take(entry)
    return turn.outcome(idle_s)


def test_a_turn_is_over_when_it_was_answered_and_the_program_rests() -> None:
    entries = (prompt(OURS), CALLS, user([{"type": "tool_result", "content": "x"}]), says("done"))
    over = outcome(*entries, idle_s=1.0)
    assert over is not None
    assert (over.status, over.text, over.usage.input_tokens) == ("finished", "done", 20)
    assert outcome(*entries, idle_s=None) is None  # something more is coming
    assert outcome(*entries, idle_s=0.0) is None
    assert outcome(*entries[:3], idle_s=None) is None


def test_an_answered_turn_is_over_when_a_person_goes_on_with_another() -> None:
    over = outcome(prompt(OURS), says("done"), user("and now this"), says("yes"), idle_s=None)
    assert over is not None
    assert (over.status, over.text) == ("finished", "done")


@pytest.mark.parametrize(
    "entries",
    [
        (CALLS, INTERRUPTED),
        (CALLS, user("what a person had queued"), INTERRUPTED, says("an answer to that")),
        (CALLS, INTERRUPTED, user("go on"), says("an answer to that")),
    ],
    ids=["stopped", "something waited", "a user continues"],
)
def test_an_interrupted_turn_is_over_at_once(entries: tuple[dict[str, Any], ...]) -> None:
    over = outcome(prompt(OURS), *entries, idle_s=None)
    assert over is not None
    assert over.status == "interrupted"


def test_a_prompt_that_was_taken_back_leaves_no_trace_but_a_program_that_rests() -> None:
    assert outcome(prompt(OURS), idle_s=None) is None
    assert outcome(prompt(OURS), idle_s=1.0) is None
    over = outcome(prompt(OURS), idle_s=LONG_S)
    assert over is not None
    assert over.status == "interrupted"


def test_background_tasks_keep_a_turn_open_unless_it_is_interrupted() -> None:
    entries = (prompt(OURS), CALLS, BACKGROUND, says("waiting for it"))
    assert outcome(*entries, idle_s=LONG_S) is None
    over = outcome(*entries, idle_s=1.0, interrupting=True)
    assert over is not None
    assert (over.status, over.text) == ("interrupted", "waiting for it")


def test_a_turn_waits_for_what_was_steered_into_it_as_long_as_it_can_come() -> None:
    turn = TuiTurn(OURS)
    turn.steered.add(OTHER)
    for entry in (prompt(OURS), says("done")):
        turn.take(entry)
    assert turn.outcome(1.0) is None
    assert turn.outcome(LONG_S) is not None  # it did not come
    turn.take(prompt(OTHER))
    assert turn.outcome(None) is not None


def test_nothing_is_known_before_the_transcript_has_the_prompt() -> None:
    assert outcome(prompt(OTHER), says("done"), idle_s=LONG_S) is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (prompt(OURS), OURS),
        (user([{"type": "text", "text": f"{first_line(OURS)}\ndo it"}]), OURS),
        ({"type": "attachment", "attachment": {"type": "queued_command", "prompt": f"{first_line(OURS)}\nx"}}, OURS),
        (user(f"do\nit{first_line(OURS)}"), OURS),
        (user("[loop] Please do what the following says."), ""),
        (user(f"{first_line(OURS)}\ndo it", isSidechain=True), ""),
        (says(first_line(OURS)), ""),
    ],
    ids=["text", "blocks", "queued", "overtaken", "without", "subagent", "said"],
)
def test_a_message_is_known_by_its_line(entry: dict[str, Any], expected: str) -> None:
    assert identify(entry) == expected
    assert message_in(first_line(OURS)) == OURS
