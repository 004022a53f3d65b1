"""What the agents are told about mail, from states that the mail machine has made."""

from __future__ import annotations

import json

import pytest

from actors.machines import mail, mail_report
from actors.settings import display_names

NAMES = {"worker": "codex", "reviewer": "claude"}
NOW = 1_000_000


def queued(state, mail_id, text="hello", sender="worker", target="reviewer"):
    fact = mail.MailQueued(mail_id=mail_id, sender=sender, target=target, text=text, at_ms=NOW)
    state, _, _ = mail.advance(state, [fact], NOW)
    return state, mail_report.sent_text(state, fact, target, NAMES)


def filled(count):
    state, texts = mail.initial(), []
    for number in range(1, count + 1):
        state, text = queued(state, f"id-{number}")
        texts.append(text)
    return state, texts


@pytest.mark.parametrize(
    ("agents", "names"),
    [
        (("codex", "claude"), ("codex", "claude")),
        (("codex", "codex"), ("codex", "codex-reviewer")),
        (("Codex", "codex"), ("Codex", "codex-reviewer")),
    ],
)
def test_two_agents_of_one_name_get_different_ones(agents, names):
    shown = display_names(*agents)
    assert (shown["worker"], shown["reviewer"]) == names


def test_a_sender_is_told_what_its_mail_waits_for():
    _, texts = filled(3)
    assert texts == [
        "queued, id id-1: on its way to claude.",
        "queued, id id-2: 1 earlier message to claude goes first.",
        "queued, id id-3: 2 earlier messages to claude go first.",
    ]


def test_a_sender_is_told_when_its_mail_is_held_back():
    state, _, _ = mail.advance(mail.initial(), [], NOW)
    state = mail.State(boxes=state.boxes, recent=state.recent, doubtful=state.doubtful, hops=mail.MAX_HOPS)
    _, text = queued(state, "id-1")
    assert text.startswith("queued, id id-1: 12 messages went back and forth")


@pytest.mark.parametrize("receipt", ["accepted", "seen", "handled", "failed"])
def test_only_evidence_is_called_delivered(receipt):
    text = mail_report.receipt_text(receipt, "id-1", "claude")
    assert "id id-1" in text
    assert text.startswith("delivered") == (receipt in {"seen", "handled"})


def test_a_reader_gets_all_texts_with_sender_and_id_and_hears_what_else_is_coming():
    state, _ = filled(3)
    facts, mails = mail.fetch(state, "reviewer", NOW)
    state, _, _ = mail.advance(state, facts, NOW)
    assert mail_report.fetched_text(state, "reviewer", mails, NAMES).split("\n\n") == [
        "[1 of 2] from codex, id id-2",
        "hello",
        "[2 of 2] from codex, id id-3",
        "hello",
        "One more is on its way to you as a prompt, id id-1.",
    ]
    assert mail_report.fetched_text(state, "worker", (), NAMES) == "No messages wait for you."


def test_a_mail_that_may_have_been_read_says_so():
    assert mail_report.marked_text("hello", repeat=False, edited=False) == "hello"
    assert mail_report.marked_text("hello", repeat=True, edited=False) == f"{mail_report.REPEAT_NOTE}\n\nhello"


def test_a_mail_that_a_person_has_edited_says_so():
    assert mail_report.marked_text("hello", repeat=False, edited=True) == f"{mail_report.EDITED_NOTE}\n\nhello"


def test_the_status_shows_each_mail_where_it_is_and_why_one_died():
    state, _ = filled(3)
    for event in (
        mail.MailAccepted(mail_id="id-1", at_ms=NOW),
        mail.MailSeen(mail_id="id-1", at_ms=NOW),
        mail.MailDied(mail_id="id-1", reason="the agent is gone", at_ms=NOW),
    ):
        state, _, _ = mail.advance(state, [event], NOW)
    status = json.loads(mail_report.status_text(state, "reviewer", NAMES, "7"))
    assert status["you"] == {"name": "claude", "role": "reviewer"}
    assert status["deliveries_in_a_row"] == {"made": 2, "limit": 12}
    box = status["to_you"]
    assert (box["queued"], box["on_the_way"], box["accepted"], box["seen"]) == (["id-3"], ["id-2"], [], [])
    assert box["last_dead"] == [{"id": "id-1", "reason": "the agent is gone"}]
    assert status["to_peer"]["queued"] == []


def test_a_long_queue_is_cut_in_the_status():
    state, _ = filled(30)
    box = json.loads(mail_report.status_text(state, "worker", NAMES, "7"))["to_peer"]
    assert box["queued"][-1] == "and 9 more"
    assert len(box["queued"]) == mail_report.IDS_SHOWN + 1
