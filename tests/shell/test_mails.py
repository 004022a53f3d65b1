"""What the user types about mail, and the lines that come back."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from actors.edges import run_dir
from actors.edges.journal import Journal
from actors.errors import OperationalError, UserError
from actors.machines import mail
from actors.messages import MailMoment, MailRecord, Record
from shell import mails, run_files
from supervisor.control.protocol import ChangeMail, MailReport, ShowMail

NOW = 1_000_000
MAIL = MailRecord(
    mail_id="1a2b3c4d-0000",
    sender="codex",
    recipient="claude",
    status="dead",
    text="please review\nthe last commit",
    sent_at_ms=NOW - 65_000,
    changed_at_ms=NOW - 5_000,
    attempts=10,
    reason="no agent",
    moments=[MailMoment(at_ms=NOW - 65_000, what="queued"), MailMoment(at_ms=NOW - 5_000, what="dead: no agent")],
)
LIST, SHOW = ShowMail(), ShowMail(mail_id="1a2b")


@pytest.mark.parametrize("typed", ["", "list", " LIST "])
def test_mail_alone_is_a_list(typed: str) -> None:
    assert mails.parse(typed) == LIST


def test_one_mail_is_shown() -> None:
    assert mails.parse("show 1a2b") == SHOW


@pytest.mark.parametrize(
    ("typed", "action", "text"),
    [
        ("hold 1a2b", "hold", ""),
        ("release  1a2b ", "release", ""),
        ("edit 1a2b another  text ", "edit", "another  text"),
        ("requeue 1a2b", "requeue", ""),
        ("drop 1a2b", "drop", ""),
        ("drop 1a2b out of date", "drop", "out of date"),
    ],
)
def test_an_order_names_a_mail_and_has_an_id_of_its_own(typed: str, action: str, text: str) -> None:
    order, again = mails.parse(typed), mails.parse(typed)
    assert isinstance(order, ChangeMail)
    assert isinstance(again, ChangeMail)
    assert (order.action, order.mail_id, order.text) == (action, "1a2b", text)
    assert order.change_id != again.change_id


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("hodl 1a2b", r"mail has no 'hodl' \(did you mean hold\?\)"),
        ("xyz", "mail has no 'xyz': mail list"),
        ("list 1a2b", "mail list takes no further words, but got '1a2b'"),
        ("hold", "mail hold needs the ID of a mail"),
        ("hold 1a2b and more", "mail hold takes one ID, but got 'and more' as well"),
        ("edit 1a2b ", "mail edit needs the new text"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(typed: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        mails.parse(typed)
    assert mails.USAGE in str(error.value)


def test_a_list_has_a_line_for_each_mail() -> None:
    report = MailReport(mails=[MAIL], left_out=3)
    assert mails.lines(LIST, report, now_ms=NOW) == [
        "1a2b3c4d  dead  codex -> claude  5 s ago  please review the last commit  (no agent)",
        "(3 older finished mails are not shown)",
    ]
    assert mails.lines(LIST, MailReport(mails=[]), now_ms=NOW) == ["no mail yet"]


def test_one_mail_is_shown_in_full() -> None:
    assert mails.lines(SHOW, MailReport(mails=[MAIL]), now_ms=NOW) == [
        "mail 1a2b3c4d-0000  codex -> claude  dead, 10 attempts",
        "  1 m 5 s ago  queued",
        "  5 s ago      dead: no agent",
        "  | please review",
        "  | the last commit",
    ]


def test_an_order_is_answered_with_how_the_mail_stands_then() -> None:
    assert mails.lines(mails.parse("requeue 1a2b"), MailReport(mails=[MAIL]), now_ms=NOW) == [
        "mail 1a2b3c4d (codex -> claude) is dead: please review the last commit  (no agent)"
    ]


def test_mail_whose_events_do_not_fit_together_is_damaged_in_one_line(tmp_path: Path) -> None:
    run_dir.write_manifest(tmp_path, {"state": "stopped"})
    journal = Journal(tmp_path / "journal.sqlite", generation=1)
    event = mail.CallRepeated(at_ms=1, mail_id="never sent", sender="worker")
    body = msgspec.json.encode(event).decode()
    journal.append("mail", 1, 0, [Record(event_id="e", at_ms=1, kind="CallRepeated", body=body)])
    journal.close()
    found = run_files.look_at(tmp_path)
    assert found is not None
    with pytest.raises(OperationalError, match="is damaged: its mail: "):
        mails.from_files(found, ShowMail())


def test_the_mail_of_a_run_of_an_older_version_is_read_from_its_files(tmp_path: Path) -> None:
    recorded = Path(__file__).parents[1] / "recordings" / "runs" / "finished"
    shutil.copytree(recorded, tmp_path / "project" / "1")
    [found] = run_files.all_runs(tmp_path / "project")
    report = mails.from_files(found, ShowMail())
    assert [each.status for each in report.mails] == ["handled"]
    assert report.mails[0].sender == "embedded-reviewer"
