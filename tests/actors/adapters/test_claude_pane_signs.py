"""What Claude Code's hooks, transcript and status say of it, without the program: signs in, what is told out."""

from typing import Any

import pytest

from actors.adapters.base import AgentEvent
from actors.adapters.claude_pane_signs import BegunLate, SessionLeft, Signs
from actors.adapters.claude_pane_turn import first_line

T = 100.0
SESSION = "session"
# Written out: the prompt is a parameter, and every process of the suite has to name the same tests.
ID, OTHER = "c83dac55-1427-4fc8-a250-346a1125be16", "61cf77b7-934e-481c-9c97-31e12d70dff5"
PROMPT = f"{first_line(ID)}\ndo it"


@pytest.fixture
def signs() -> Signs:
    return Signs(SESSION)


def hook(name: str, **more: Any) -> dict[str, Any]:
    return {"hook_event_name": name, "session_id": SESSION} | more


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "user", "promptSource": "typed", "message": {"role": "user", "content": text}} | more


def kinds(told: list[Any]) -> list[str]:
    return [each.kind if isinstance(each, AgentEvent) else type(each).__name__ for each in told]


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_the_first_hook_says_that_the_program_is_there_until_it_is_started_again(signs: Signs):
    assert signs.hooked(hook("SessionStart")) == []
    assert signs.ready
    signs.restarted()
    assert not signs.ready


def test_a_person_who_takes_the_program_to_another_session_is_noticed(signs: Signs):
    event = hook("SessionStart", session_id="another", source="resume")
    assert signs.hooked(event) == [SessionLeft("resume")]
    assert not signs.is_ours(event)


@pytest.mark.parametrize("name", ["UserPromptSubmit", "Stop", "PermissionRequest", "SessionEnd"])
def test_what_happens_in_another_session_is_nothing(signs: Signs, name: str):
    assert signs.hooked(hook(name, session_id="another", prompt="x", tool_name="Bash")) == []
    assert signs.idle_s("", T) == 0
    assert signs.permission == ""


def test_a_prompt_of_ours_that_the_hook_names_has_arrived_and_is_not_a_persons(signs: Signs):
    signs.submitted(ID)
    assert not signs.has(ID)
    assert signs.hooked(hook("UserPromptSubmit", prompt=PROMPT)) == []
    assert signs.has(ID)


@pytest.mark.parametrize("prompt", ["and now?", PROMPT])
def test_a_prompt_that_we_have_not_typed_is_a_persons(signs: Signs, prompt: str):
    assert signs.hooked(hook("UserPromptSubmit", prompt=f" {prompt}\n")) == [AgentEvent(kind="typed", text=prompt)]


def test_a_report_of_a_background_task_is_nobodys_prompt(signs: Signs):
    assert signs.hooked(hook("UserPromptSubmit", prompt="<task-notification>done</task-notification>")) == []
    assert signs.idle_s("", T) is None


@pytest.mark.parametrize("end", ["Stop", "StopFailure"])
def test_a_permission_is_asked_until_the_turn_ends(signs: Signs, end: str):
    signs.hooked(hook("PermissionRequest", tool_name="Bash", tool_input={"command": "rm x"}))
    assert (signs.permission_tool, "rm x" in signs.permission) == ("Bash", True)
    signs.hooked(hook(end))
    assert signs.permission == ""


def test_a_permission_is_asked_until_the_call_has_a_result(signs: Signs):
    signs.hooked(hook("PermissionRequest", tool_name="Bash", tool_input={"command": "rm x"}))
    signs.entered({"type": "user", "toolUseResult": {}})
    assert signs.permission == ""


@pytest.mark.parametrize(
    "event", [{}, hook("Unheard of"), {"session_id": SESSION}, hook("UserPromptSubmit", prompt=None)]
)
def test_a_hook_in_an_unknown_shape_is_taken(signs: Signs, event: dict[str, Any]):
    assert kinds(signs.hooked(event)) in ([], ["typed"])


# --- idle or not ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "busy_by_hook", "idle"),
    [
        ("idle", False, True),
        ("idle", True, True),  # the status is newer than any hook
        ("shell", True, True),
        ("busy", False, False),
        ("waiting", False, False),
        ("", False, True),  # a version without a status
        ("", True, False),
    ],
)
def test_the_program_is_idle_when_it_says_so_and_by_its_hooks_when_it_says_nothing(
    signs: Signs, status: str, busy_by_hook: bool, idle: bool
):
    if busy_by_hook:
        signs.hooked(hook("UserPromptSubmit", prompt="x"))
    assert (signs.idle_s(status, T) is not None) == idle


def test_it_is_known_for_how_long_the_program_has_been_idle(signs: Signs):
    assert signs.idle_s("idle", T) == 0
    assert signs.idle_s("idle", T + 2) == 2
    assert signs.idle_s("busy", T + 3) is None
    assert signs.idle_s("idle", T + 4) == 0
    signs.hooked(hook("UserPromptSubmit", prompt="x"))
    assert signs.idle_s("idle", T + 5) == 0


# --- the transcript ---------------------------------------------------------------------------------------------------


def test_a_prompt_of_ours_in_the_transcript_is_seen_once(signs: Signs):
    signs.submitted(ID)
    assert AgentEvent(kind="seen", message_id=ID) in signs.entered(user(PROMPT))
    assert signs.has(ID)
    assert signs.newest == ID
    assert "seen" not in kinds(signs.entered(user(PROMPT)))


def test_a_prompt_of_somebody_elses_in_the_transcript_is_not_seen(signs: Signs):
    signs.submitted(OTHER)
    assert "seen" not in kinds(signs.entered(user(PROMPT)))
    assert not signs.has(OTHER)
    signs.entered(user("and now?"))
    assert signs.newest == ""


def test_a_prompt_that_waits_in_the_programs_queue_has_arrived_and_is_not_seen(signs: Signs):
    signs.submitted(ID)
    assert signs.entered({"type": "queue-operation", "operation": "enqueue", "content": PROMPT}) == []
    assert signs.has(ID)
    signs.entered({"type": "queue-operation", "operation": "enqueue", "content": first_line(OTHER)})
    assert not signs.has(OTHER)


def test_what_was_to_stop_before_it_began_is_told_when_it_begins_and_once(signs: Signs):
    signs.submitted(ID)
    signs.stop_when_begun({ID})
    told = signs.entered(user(PROMPT))
    assert BegunLate(ID) in told
    assert AgentEvent(kind="seen", message_id=ID) in told
    assert BegunLate(ID) not in signs.entered(user(PROMPT))


def test_a_queued_message_that_a_turn_takes_in_does_not_begin_late(signs: Signs):
    signs.submitted(ID)
    signs.stop_when_begun({ID})
    entry = {"type": "attachment", "attachment": {"type": "queued_command", "prompt": PROMPT}}
    assert kinds(signs.entered(entry)) == ["seen"]


def test_what_the_agent_says_is_shown_with_its_raw_entry(signs: Signs):
    entry = {"type": "assistant", "message": {"model": "m", "content": [{"type": "text", "text": "done"}]}}
    assert kinds(signs.entered(entry))[0] == "raw"
    assert any(isinstance(each, AgentEvent) and each.text == "done" for each in signs.entered(entry))


def test_what_the_program_says_in_the_agents_name_is_shown_only_when_it_is_an_error(signs: Signs):
    message = {"model": "<synthetic>", "content": [{"type": "text", "text": "No response requested."}]}
    assert kinds(signs.entered({"type": "assistant", "message": message})) == ["raw"]
    assert len(signs.entered({"type": "assistant", "message": message, "isApiErrorMessage": True})) > 1


@pytest.mark.parametrize("kind", ["summary", "file-history-snapshot", "mode"])
def test_bookkeeping_of_the_program_is_not_shown(signs: Signs, kind: str):
    assert signs.entered({"type": kind}) == []
