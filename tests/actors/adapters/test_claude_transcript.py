"""What became of a message, by rows that the real program was seen to write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.adapters.claude_reading import find
from actors.adapters.claude_transcript import Transcript

Row = dict[str, Any]


def prompt(message_id: str, text: str = "do it", **more: Any) -> Row:
    return {"type": "user", "uuid": message_id, "message": {"role": "user", "content": text}, **more}


def says(text: str, stop: str | None = "end_turn", message: str = "m", **more: Any) -> Row:
    body = {"id": message, "model": "claude", "stop_reason": stop, "content": [{"type": "text", "text": text}]}
    return {"type": "assistant", "message": {**body, "usage": {"input_tokens": 10, "output_tokens": 5}}, **more}


def calls(message: str = "m") -> Row:
    body = {"id": message, "model": "claude", "stop_reason": "tool_use", "content": [{"type": "tool_use", "id": "x"}]}
    return {"type": "assistant", "message": body}


def returns(result: Any = "ok") -> Row:
    content = [{"type": "tool_result", "tool_use_id": "x", "content": "ok"}]
    return {"type": "user", "uuid": "r", "message": {"role": "user", "content": content}, "toolUseResult": result}


def steered(message_id: str) -> Row:
    return {"type": "attachment", "attachment": {"type": "queued_command", "source_uuid": message_id}}


def reported(task: str, status: str = "completed") -> Row:
    text = f"<task-notification>\n<task-id>{task}</task-id>\n<status>{status}</status>\n</task-notification>"
    return {"type": "queue-operation", "operation": "enqueue", "content": text}


INTERRUPTED = prompt("i", "[Request interrupted by user for tool use]")
CLOSED_ON_RESUMING = {
    "type": "assistant",
    "message": {
        "id": "s",
        "model": "<synthetic>",
        "stop_reason": "stop_sequence",
        "content": [{"type": "text", "text": "No response requested."}],
    },
    "isApiErrorMessage": False,
}


def text(rows: list[Row], wanted: str = "t") -> str:
    found = find(rows, wanted)
    assert found.state == "finished"
    assert found.outcome is not None
    return found.outcome.text


def test_a_message_that_is_not_there_is_absent_also_when_it_was_queued() -> None:
    queued = {"type": "queue-operation", "operation": "enqueue", "content": "do it"}
    assert find([prompt("other"), says("done"), queued], "t").state == "absent"
    assert find([prompt("t", isSidechain=True)], "t").state == "absent"


def test_a_turn_is_finished_by_a_message_that_ends_it() -> None:
    rows = [prompt("t"), says("let me look", "tool_use"), calls(), returns(), says("done", message="n")]
    assert text(rows) == "done"
    found = find(rows, "t")
    assert found.outcome is not None
    assert (found.outcome.usage.input_tokens, found.outcome.usage.output_tokens) == (10, 5)
    for length in range(1, len(rows)):
        assert find(rows[:length], "t").state == "unfinished"


def test_the_blocks_of_one_message_are_lines_of_its_text() -> None:
    assert text([prompt("t"), says("checked."), says("DONE")]) == "checked.\nDONE"


def test_an_answer_in_the_form_of_a_schema_finishes_its_turn() -> None:
    typed = {"type": "attachment", "attachment": {"type": "structured_output", "data": {"verdict": "pass"}}}
    assert find([prompt("t"), calls()], "t").state == "unfinished"
    assert text([prompt("t"), calls(), typed]) == '{"verdict": "pass"}'
    assert text([prompt("t"), says("I looked", None), calls(), typed, returns(), prompt("u")]) == '{"verdict": "pass"}'
    assert text([prompt("t"), calls(), typed, returns(), says("and more", message="n")]) == "and more"


def test_what_is_said_when_the_form_is_asked_for_is_not_the_answer() -> None:
    told = prompt("n", "[structured-output-enforce] You MUST call the StructuredOutput tool", isMeta=True)
    assert text([prompt("t"), says("done"), told, says("I said it", message="n")]) == "done"


def test_a_subagents_words_do_not_finish_a_turn() -> None:
    assert find([prompt("t"), calls(), says("its report", isSidechain=True)], "t").state == "unfinished"


def test_a_steered_message_is_found_in_the_turn_that_took_it_in() -> None:
    rows = [prompt("t"), calls(), returns(), steered("s"), says("both", message="n")]
    assert (text(rows, "t"), text(rows, "s")) == ("both", "both")
    assert find(rows[:-1], "s").state == "unfinished"


def test_an_interrupted_turn_is_unfinished() -> None:
    assert find([prompt("t"), says("so far", None)], "t").state == "unfinished"
    assert find([prompt("t"), says("done"), INTERRUPTED], "t").state == "unfinished"
    assert find([prompt("t"), calls(), returns(), INTERRUPTED, prompt("u"), says("x")], "t").state == "unfinished"


def test_the_programs_own_words_on_resuming_do_not_finish_a_killed_turn() -> None:
    rows = [prompt("t"), calls(), returns(), CLOSED_ON_RESUMING, prompt("u", "go on"), says("done", message="n")]
    assert find(rows, "t").state == "unfinished"
    assert text(rows, "u") == "done"


def test_the_next_prompt_ends_the_search() -> None:
    rows = [prompt("t"), says("done"), prompt("u"), says("more", message="n")]
    assert text(rows) == "done"
    assert find([prompt("t"), prompt("u"), says("more")], "t").state == "unfinished"


def test_reminders_and_the_summary_of_a_compacted_conversation_are_no_prompts() -> None:
    rows = [prompt("t"), calls(), prompt("a", "a reminder", isMeta=True), returns()]
    rows += [prompt("b", "This session is being continued", isCompactSummary=True), says("done", message="n")]
    assert text(rows) == "done"


@pytest.mark.parametrize("started", [{"backgroundTaskId": "b"}, {"isAsync": True, "agentId": "b"}])
def test_a_background_task_leaves_a_turn_unfinished_until_it_was_reported_and_answered(started: Row) -> None:
    rows = [prompt("t"), calls(), returns(started), says("waiting", message="n")]
    assert find(rows, "t").state == "unfinished"
    rows += [reported("b")]
    assert find(rows, "t").state == "unfinished"
    rows += [prompt("p", "<task-notification>…"), says("all done", message="o")]
    assert text(rows) == "all done"


def test_a_background_task_that_was_stopped_needs_no_answer() -> None:
    assert text([prompt("t"), calls(), returns({"backgroundTaskId": "b"}), says("w"), reported("b", "killed")]) == "w"


def test_a_prompt_in_the_time_of_a_background_task_does_not_end_the_turn() -> None:
    rows = [prompt("t"), calls(), returns({"backgroundTaskId": "b"}), says("waiting", message="n")]
    rows += [prompt("s", "mail"), says("thanks", message="o"), reported("b"), prompt("p", "<task-notification>…")]
    assert find(rows, "t").state == "unfinished"
    assert text([*rows, says("all done", message="p")]) == "all done"


def test_an_error_of_the_api_is_how_the_turn_ended() -> None:
    failed = says("API Error:\n529 Overloaded", "stop_sequence", isApiErrorMessage=True, apiErrorStatus=529)
    found = find([prompt("t"), failed], "t")
    assert found.outcome is not None
    assert (found.outcome.status, found.outcome.error) == ("failed", "API Error: 529 Overloaded")
    limited = says("limit", "stop_sequence", isApiErrorMessage=True, error="rate_limit", quotaLimits={"resetsAt": 7})
    found = find([prompt("t"), limited], "t")
    assert found.outcome is not None
    assert (found.outcome.status, found.outcome.resets_at_ms) == ("limited", 7000)


# --- the file -----------------------------------------------------------------------------------------------


def write(folder: Path, rows: list[Row], torn: str = "") -> Path:
    path = folder / "projects" / "-some-where" / "session.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows) + torn)
    return path


def test_a_session_without_a_file_has_nothing(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path, "session")
    assert transcript.find("t").state == "absent"
    assert transcript.new_message_ids() == set()
    assert transcript.cost_usd() == 0


def test_new_messages_are_told_once_and_only_when_they_are_written_whole(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path, "session")
    row = json.dumps(prompt("torn"))
    path = write(tmp_path, [prompt("t"), steered("s")], torn=row[:30])
    assert transcript.new_message_ids() == {"t", "s"}
    assert transcript.new_message_ids() == set()
    assert transcript.find("torn").state == "absent"
    with path.open("a", encoding="utf-8") as file:
        file.write(row[30:] + "\n")
    assert transcript.new_message_ids() == {"torn"}
    write(tmp_path, [prompt("late")])
    transcript.skip_to_end()
    assert transcript.new_message_ids() == set()


def test_the_cost_is_the_last_one_that_was_written(tmp_path: Path) -> None:
    write(tmp_path, [{"type": "cost-state", "totalCostUSD": 1.5}])
    write(tmp_path, [{"type": "cost-state", "totalCostUSD": 2.5}, prompt("u", "cost-state")])
    assert Transcript(tmp_path, "session").cost_usd() == 2.5
