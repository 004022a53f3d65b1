"""When a turn of Claude Code is over, and how it ended, by the events that the real program was seen to send."""

from __future__ import annotations

from typing import Any

import pytest

from actors.adapters.claude_events import is_heartbeat
from actors.adapters.claude_turn import Conversation

Event = dict[str, Any]


def state(name: str) -> Event:
    return {"type": "system", "subtype": "session_state_changed", "state": name}


def echo(message_id: str) -> Event:
    return {"type": "user", "isReplay": True, "uuid": message_id, "message": {"content": "…"}}


def life(message_id: str, name: str) -> Event:
    return {"type": "command_lifecycle", "command_uuid": message_id, "state": name}


def says(text: str, message: str = "m", **more: Any) -> Event:
    return {"type": "assistant", "message": {"id": message, "content": [{"type": "text", "text": text}]}, **more}


def result(*ids: str, total: float = 0.0, **more: Any) -> Event:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5}
    event = {"type": "result", "subtype": "success", "is_error": False, "total_cost_usd": total, "usage": usage}
    return {**event, "user_message_uuids": list(ids), **more}


def task(name: str, kind: str = "local_bash") -> Event:
    return {"type": "system", "subtype": "task_started", "task_id": name, "task_type": kind}


def task_over(name: str, status: str = "completed") -> Event:
    return {"type": "system", "subtype": "task_notification", "task_id": name, "status": status}


def begun(*events: Event, cost_usd: float = 0.0) -> Conversation:
    """A conversation whose turn "t" was sent, after the given events."""
    conversation = Conversation(cost_usd)
    conversation.begin("t")
    take(conversation, *events)
    return conversation


def take(conversation: Conversation, *events: Event) -> None:
    for event in events:
        conversation.take(event)


def outcome(conversation: Conversation) -> tuple[str, str]:
    assert conversation.over
    assert conversation.turn is not None
    ended = conversation.turn.outcome()
    return ended.status, ended.text


def steer(conversation: Conversation, message_id: str) -> None:
    assert conversation.turn is not None
    conversation.turn.steered.add(message_id)


def test_a_turn_is_over_when_the_program_is_idle_not_with_its_result() -> None:
    conversation = begun(state("running"), echo("t"), says("done"), result("t"))
    assert not conversation.over
    take(conversation, state("idle"))
    assert outcome(conversation) == ("finished", "done")


def test_a_version_that_does_not_tell_its_state_ends_a_turn_with_the_result() -> None:
    assert outcome(begun(echo("t"), says("done"), result())) == ("finished", "done")


def test_an_idle_of_the_turn_before_does_not_end_the_next_one() -> None:
    conversation = begun(state("idle"))
    assert not conversation.over


def test_the_blocks_of_the_last_message_are_lines_of_the_answer() -> None:
    events = says("first", "a"), says("checked.", "b"), says("<promise>DONE</promise>", "b")
    joined = result("t", result="checked.<promise>DONE</promise>")
    conversation = begun(state("running"), echo("t"), *events, joined, state("idle"))
    assert outcome(conversation) == ("finished", "checked.\n<promise>DONE</promise>")


def test_words_of_a_subagent_are_not_the_answer() -> None:
    conversation = begun(echo("t"), says("mine"), says("its", parent_tool_use_id="x"), result("t"))
    assert outcome(conversation) == ("finished", "mine")


TOLD = {
    "type": "user",
    "isSynthetic": True,
    "message": {
        "content": [{"type": "text", "text": "[structured-output-enforce] You MUST call the StructuredOutput tool"}]
    },
}


def test_an_answer_in_the_form_of_a_schema_counts_more_than_what_was_said() -> None:
    conversation = begun(echo("t"), says("I looked at it."), result("t", structured_output={"verdict": "pass"}))
    assert outcome(conversation) == ("finished", '{"verdict": "pass"}')


def test_what_is_said_when_the_form_is_asked_for_is_not_the_answer() -> None:
    assert outcome(begun(echo("t"), says("done"), TOLD, says("I said it", "n"), result("t"))) == ("finished", "done")
    typed = result("t", structured_output={"verdict": "pass"})
    assert outcome(begun(echo("t"), says("done"), TOLD, says("there", "n"), typed)) == (
        "finished",
        '{"verdict": "pass"}',
    )
    assert outcome(begun(echo("t"), TOLD, says("done"), result("t"))) == ("finished", "done")


def test_an_answer_that_breaks_its_form_to_the_end_is_finished_with_what_was_said() -> None:
    failed = result("t", subtype="error_max_structured_output_retries", is_error=True, errors=["no valid output"])
    assert outcome(begun(echo("t"), says("I looked at it."), failed)) == ("finished", "I looked at it.")
    assert outcome(begun(echo("t"), failed)) == ("finished", "")


def test_the_result_of_somebody_elses_turn_is_not_ours() -> None:
    conversation = begun(state("running"), says("a report"), result(), state("idle"))
    assert not conversation.over
    take(conversation, echo("t"), says("ours"), result("t"), state("idle"))
    assert outcome(conversation) == ("finished", "ours")


@pytest.mark.parametrize("ids", [("t", "s"), ()])
def test_a_steered_message_that_was_taken_in_is_answered_by_the_same_result(ids: tuple[str, ...]) -> None:
    conversation = begun(state("running"), echo("t"))
    steer(conversation, "s")
    take(conversation, echo("s"), says("both"), result(*ids), state("idle"))
    assert outcome(conversation) == ("finished", "both")


@pytest.mark.parametrize("tells_ids", [True, False])
def test_a_steered_message_that_came_too_late_keeps_the_turn_open_and_its_outcome(*, tells_ids: bool) -> None:
    conversation = begun(state("running"), echo("t"))
    steer(conversation, "s")
    take(conversation, says("the review"), result(*["t"] * tells_ids))
    assert not conversation.over
    take(conversation, echo("s"), says("thanks", "n"), result(*["s"] * tells_ids), state("idle"))
    assert outcome(conversation) == ("finished", "the review")
    assert conversation.turn is not None
    assert conversation.turn.outcome().usage.input_tokens == 200


def test_an_idle_between_the_turn_and_a_message_that_came_too_late_does_not_end_it() -> None:
    conversation = begun(state("running"), echo("t"))
    steer(conversation, "s")
    take(conversation, result("t"), state("idle"))
    assert not conversation.over
    take(conversation, state("running"), life("s", "queued"), life("s", "started"), result("s"), state("idle"))
    assert conversation.over


@pytest.mark.parametrize("word", ["cancelled", "discarded", "refused"])
def test_a_steered_message_that_the_program_gives_up_is_not_waited_for(word: str) -> None:
    conversation = begun(state("running"), echo("t"))
    steer(conversation, "s")
    take(conversation, life("s", word), result("t"), state("idle"))
    assert conversation.over


def test_a_message_whose_id_was_used_before_is_echoed_and_swallowed() -> None:
    conversation = begun(echo("t"), state("idle"))
    assert conversation.over
    assert conversation.turn is not None
    assert (conversation.turn.dropped, conversation.turn.result) == (True, None)


def test_a_background_command_keeps_the_turn_open_until_it_was_reported() -> None:
    conversation = begun(state("running"), echo("t"), task("b"), says("waiting"), result("t"), state("idle"))
    assert (conversation.over, conversation.only_shells_left) == (False, True)
    take(conversation, task_over("b"))
    assert (conversation.over, conversation.follow_up_owed) == (False, True)
    take(conversation, state("running"), says("all done", "n"), result())
    assert not conversation.over
    take(conversation, state("idle"))
    assert outcome(conversation) == ("finished", "all done")


def test_a_report_that_came_while_the_model_was_at_work_is_not_waited_for() -> None:
    conversation = begun(state("running"), echo("t"), task("b"), task_over("b"), result("t"), state("idle"))
    assert conversation.over


@pytest.mark.parametrize("status", ["killed", "stopped"])
def test_a_task_that_was_stopped_is_not_reported_in_a_turn_of_its_own(status: str) -> None:
    conversation = begun(state("running"), echo("t"), task("b"), result("t"), state("idle"))
    take(conversation, {"type": "system", "subtype": "task_updated", "task_id": "b", "patch": {"status": status}})
    assert conversation.over


def test_what_a_report_brought_up_is_the_outcome_also_when_mail_was_answered_along_with_it() -> None:
    conversation = begun(state("running"), echo("t"), task("b"), says("waiting"), result("t"), state("idle"))
    steer(conversation, "s")
    take(conversation, state("running"), echo("s"), task_over("b"), says("DONE", "n"), result("s"), state("idle"))
    assert outcome(conversation) == ("finished", "DONE")


def test_a_background_agent_is_waited_for_without_a_limit() -> None:
    conversation = begun(state("running"), echo("t"), task("a", "local_agent"), result("t"), state("idle"))
    assert (conversation.over, conversation.only_shells_left) == (False, False)


def test_a_command_that_was_left_alone_keeps_no_later_turn_open() -> None:
    conversation = begun(state("running"), echo("t"), task("b"), result("t"), state("idle"))
    conversation.leave_tasks()
    assert conversation.over
    conversation.begin("u")
    take(conversation, state("running"), echo("u"), task("b"), result("u"), state("idle"))
    assert conversation.over


def test_an_interrupted_turn_does_not_wait_for_background_tasks() -> None:
    conversation = begun(state("running"), echo("t"), task("b"), says("waiting"), result("t"), state("idle"))
    conversation.interrupt()
    assert outcome(conversation) == ("interrupted", "waiting")


def test_an_interrupt_that_comes_after_the_last_word_changes_nothing() -> None:
    conversation = begun(state("running"), echo("t"), says("done"), result("t"))
    conversation.interrupt()
    take(conversation, state("idle"))
    assert outcome(conversation) == ("finished", "done")


def test_an_aborted_turn_is_interrupted_not_failed() -> None:
    aborted = result("t", subtype="error_during_execution", is_error=True, errors=["…"])
    conversation = begun(echo("t"), says("so far"))
    conversation.interrupt()
    take(conversation, aborted)
    assert outcome(conversation) == ("interrupted", "so far")
    assert outcome(begun(echo("t"), {**aborted, "terminal_reason": "aborted_tools"}))[0] == "interrupted"
    assert outcome(begun(echo("t"), aborted))[0] == "failed"


def test_money_is_the_difference_of_the_sessions_total() -> None:
    conversation = begun(echo("t"), result("t", total=3.0), cost_usd=2.5)
    assert conversation.turn is not None
    assert conversation.turn.outcome().usage.cost_usd == 0.5
    turn = conversation.begin("u")
    take(conversation, echo("u"), result("u", total=0.25))  # the conversation was reset
    assert turn.outcome().usage.cost_usd == 0.25
    assert (turn.outcome().usage.input_tokens, turn.outcome().usage.output_tokens) == (100, 5)


def test_a_limit_is_told_from_other_errors() -> None:
    rejected = {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": 1_800_000_000}}
    refused = result("t", is_error=True, result="You've hit your limit", api_error_status=429)
    conversation = begun(echo("t"), rejected, refused)
    assert conversation.turn is not None
    ended = conversation.turn.outcome()
    assert (ended.status, ended.text, ended.error) == ("limited", "", "You've hit your limit")
    assert ended.resets_at_ms == 1_800_000_000_000
    by_word = begun(echo("t"), says("limit", error="rate_limit"), result("t", is_error=True))
    assert outcome(by_word)[0] == "limited"
    other = begun(echo("t"), says("no", error="billing_error"), result("t", is_error=True, result="Credit\nis low"))
    assert outcome(other)[0] == "failed"
    assert other.turn is not None
    assert other.turn.outcome().error == "Credit is low"
    overage = begun(echo("t"), rejected, says("on credits"), result("t"))
    assert outcome(overage) == ("finished", "on credits")


def test_the_report_that_a_tool_still_runs_is_a_heartbeat_and_an_answer_is_none() -> None:
    assert is_heartbeat({"type": "tool_progress", "tool_use_id": "toolu_1-heartbeat-0", "tool_name": "Bash"})
    assert not is_heartbeat({"type": "assistant", "message": {}})
