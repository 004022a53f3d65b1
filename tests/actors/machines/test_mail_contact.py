"""Whether an agent comes to the bridge at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from actors.machines import mail, mail_report, prompts

NOW = 1_000


def after(*events: mail.Event, state: mail.State | None = None) -> mail.State:
    state, _, _ = mail.advance(state or mail.initial(), events, NOW)
    return state


def worked(state: mail.State, session_id: str = "s-1") -> Sequence[mail.Event]:
    return mail.worked(state, "reviewer", session_id, NOW)


def absent(state: mail.State) -> Sequence[mail.Event]:
    return mail.absent(state, "reviewer", NOW)


def test_an_agent_that_has_worked_and_not_come_is_absent_once_a_session():
    state = mail.initial()
    assert absent(state) == []  # it has not worked yet
    state = after(*worked(state))
    assert mail.awaited(state) == ["reviewer"]
    state = after(*absent(state), state=state)
    assert state.contacts["reviewer"].is_absent
    assert not state.contacts["worker"].is_absent
    assert (worked(state), absent(state), mail.awaited(state)) == ([], [], [])
    state = after(*worked(state, "s-2"), state=state)
    assert absent(state) == [mail.AgentAbsent(role="reviewer", at_ms=NOW)]


def test_an_agent_that_comes_is_never_absent():
    state = after(*mail.came(mail.initial(), "reviewer", NOW))
    assert mail.came(state, "reviewer", NOW) == []
    assert (worked(state), worked(state, "s-2"), absent(state)) == ([], [], [])


def test_an_agent_that_comes_between_its_turn_and_the_look_is_not_absent():
    state = after(*worked(mail.initial()))
    state = after(*mail.came(state, "reviewer", NOW), state=state)
    assert absent(state) == []


def test_an_absent_agent_that_comes_after_all_is_absent_no_more():
    state = after(*worked(mail.initial()))
    state = after(*absent(state), state=state)
    state = after(*mail.came(state, "reviewer", NOW), state=state)
    assert not state.contacts["reviewer"].is_absent
    assert worked(state, "s-2") == []


def test_no_session_and_no_turn_say_nothing():
    assert worked(mail.initial(), "") == []


@pytest.mark.parametrize(
    "event",
    [
        mail.MailQueued(mail_id="1", sender="reviewer", target="worker", text="x", at_ms=0),
        mail.MailSuppressed(mail_id="1", sender="reviewer", target="worker", text="x", at_ms=0),
    ],
)
def test_an_agent_that_has_called_a_tool_in_an_old_journal_has_come(event: mail.Event):
    state = mail.Book([event]).state
    assert worked(state) == []
    assert mail.came(state, "reviewer", NOW) == []


def test_what_happened_to_mail_is_told_as_before_beside_these_events():
    queued = mail.MailQueued(mail_id="1", sender="worker", target="reviewer", text="x", at_ms=0)
    events: list[mail.Event] = [
        mail.AgentWorked(role="reviewer", session_id="s-1", at_ms=0),
        queued,
        mail.AgentAbsent(role="reviewer", at_ms=0),
        mail.AgentCame(role="reviewer", at_ms=0),
    ]
    assert mail.Book(events).stories == mail.Book([queued]).stories


def test_the_user_is_told_the_reason_where_it_is_known():
    told = mail_report.absent_text("gemini", "gemini-reviewer", "gemini")
    assert told.startswith("gemini-reviewer has not contacted the bridge: it cannot write to gemini (")
    assert "GEMINI_CLI_TRUST_WORKSPACE=true" in told
    assert "MCP servers may be switched off" in mail_report.absent_text("vibe", "vibe", "claude")


def test_mail_to_an_absent_agent_speaks_of_no_tool_and_asks_for_nothing():
    prompt = prompts.mail("claude", "look at a.py", answerable=False)
    assert "send_message" not in prompt
    assert prompt.endswith('You have no way to write to "claude", and no answer is expected.')
    assert mail.is_echo(prompt, delivered="look at a.py", speaker="claude")
