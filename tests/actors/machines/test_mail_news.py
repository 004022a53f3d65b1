"""What the user is told of the mail between the agents."""

from __future__ import annotations

import pytest

from actors.machines import mail
from actors.machines.mail_news import news

NAMES = {"worker": "codex", "reviewer": "claude"}


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        (
            mail.MailQueued(mail_id="m", sender="worker", target="reviewer", text="look", at_ms=1),
            "mail",
            "codex -> claude: look",
        ),
        (
            mail.MailSuppressed(mail_id="m", sender="worker", target="reviewer", text="look", at_ms=1),
            "note",
            "codex only sent claude's own message back: not delivered",
        ),
        (
            mail.DeliveryFailed(mail_id="m", reason="it is down", at_ms=1),
            "note",
            "mail m was not delivered (it is down); retrying",
        ),
        (mail.MailDied(mail_id="m", reason="it is down", at_ms=1), "error", "mail m is a dead letter: it is down"),
    ],
)
def test_the_user_is_told_of_each_mail_and_of_each_that_does_not_arrive(event: mail.Event, kind: str, text: str):
    assert news(event, NAMES) == (kind, text)


def test_what_only_the_journal_needs_is_not_told():
    assert news(mail.BridgeRestarted(at_ms=1), NAMES)[1] == ""
