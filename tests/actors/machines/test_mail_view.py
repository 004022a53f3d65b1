"""What the user is shown of mail."""

from __future__ import annotations

from actors.machines import mail, mail_view

NAMES = {"worker": "codex", "reviewer": "claude"}
NOW = 1_000_000


def journal(*ends):
    """One mail for each end: "" for one that is still open."""
    state, journal = mail.initial(), []
    for number, end in enumerate(ends, 1):
        mail_id = f"mail-{number}"
        sent = mail.MailQueued(
            mail_id=mail_id, sender="worker", target="reviewer", text=f"text {number}", at_ms=NOW + number
        )
        state, events, _ = mail.advance(state, [sent], sent.at_ms)
        journal += events
        facts = {
            "": [],
            "handled": mail.handled(state, mail_id, NOW + 100 - number),
            "dead": [mail.MailDied(mail_id=mail_id, reason="no agent", at_ms=NOW + 50)],
        }[end]
        if end == "dead":
            facts = [mail.DeliveryFailed(mail_id=mail_id, reason="no agent", at_ms=NOW + 50), *facts]
        for fact in facts:
            state = mail.apply(state, fact)
            journal.append(fact)
    return journal


def ids(listed):
    return [one.mail_id for one in listed.mails]


def test_the_list_has_all_open_mail_and_dead_letters_and_the_newest_of_what_is_over():
    book = mail.Book(journal("handled", "dead", "handled", "handled", ""))
    assert ids(mail_view.listed(book, NAMES, 20)) == ["mail-1", "mail-2", "mail-3", "mail-4", "mail-5"]
    short = mail_view.listed(book, NAMES, 1)
    assert (ids(short), short.left_out) == (["mail-2", "mail-4", "mail-5"], 2)
    book.add(mail.CallRepeated(mail_id="mail-1", sender="worker", at_ms=NOW + 200))
    assert ids(mail_view.listed(book, NAMES, 1)) == ["mail-1", "mail-2", "mail-5"]  # something happened to it last
    none = mail_view.listed(book, NAMES, 0)
    assert (ids(none), none.left_out) == (["mail-2", "mail-5"], 3)
    assert ids(mail_view.listed(book, NAMES, -1)) == ids(none)


def test_mail_that_is_requeued_is_open_again():
    book = mail.Book(journal("handled", "dead"))
    of_mail = {"mail_id": "mail-2", "target": "reviewer", "at_ms": NOW + 200}
    dropped = mail.MailDropped(**of_mail, change_id="1", was="dead", reason="")
    requeued = mail.MailRequeued(**of_mail, change_id="2", was="dropped", sender="worker", text="x")
    assert ids(mail_view.listed(book, NAMES, 0)) == ["mail-2"]
    book.add(dropped)
    assert ids(mail_view.listed(book, NAMES, 0)) == []
    book.add(requeued)
    assert ids(mail_view.listed(book, NAMES, 0)) == ["mail-2"]


def test_a_list_has_the_beginning_of_a_text_and_no_moments():
    event = mail.MailQueued(mail_id="mail-1", sender="reviewer", target="worker", text="x" * 1_000, at_ms=NOW)
    book = mail.Book([event])
    (one,) = mail_view.listed(book, NAMES, 20).mails
    assert (one.text, one.moments) == ("x" * mail_view.TEXT_IN_LIST, [])
    assert mail_view.shown(book.stories["mail-1"], NAMES).text == "x" * 1_000


def test_one_mail_is_shown_with_all_that_is_known_of_it():
    one = mail_view.shown(mail.Book(journal("dead")).stories["mail-1"], NAMES)
    assert (one.sender, one.recipient, one.status, one.text) == ("codex", "claude", "dead", "text 1")
    assert (one.sent_at_ms, one.changed_at_ms, one.attempts, one.reason) == (NOW + 1, NOW + 50, 1, "no agent")
    assert [moment.what for moment in one.moments] == [
        "queued",
        "attempt 1 to deliver it",
        "attempt failed: no agent",
        "dead: no agent",
    ]
