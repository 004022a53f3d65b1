"""The mail between the agents, as the user sees and changes it: typed requests, and lines of answers. Pure but for
`from_files`, which reads the journal of a run that is not running.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, cast, get_args

import msgspec

from actors import values
from actors.errors import OperationalError, UserError, described
from actors.machines import mail, mail_view
from actors.machines.stored import by_stored_name
from actors.messages import MailRecord, Record
from actors.settings import Role, display_names
from shell import tables
from shell.commands.grammar import MAIL_USAGE
from shell.run_files import RunFiles, check_whole, resume_hint
from supervisor.control.protocol import ChangeMail, MailReport, ShowMail

CHANGES: tuple[mail.Action, ...] = get_args(mail.Action)
ACTIONS = ("list", "show", *CHANGES)
USAGE = f"mail {MAIL_USAGE}"
TEXT_SHOWN = 60  # characters of a text in a list

STREAM = "mail"


def parse(typed: str) -> ShowMail | ChangeMail:
    """The request of the words after `mail`; no words mean `list`. Raises `UserError` in one line."""
    action, _, rest = typed.strip().partition(" ")
    mail_id, _, text = rest.strip().partition(" ")
    action = action.lower() or "list"
    if action not in ACTIONS:
        raise UserError(f"mail has no {action!r}{values.meant(action, ACTIONS)}: {USAGE}")
    if action == "list":
        if rest:
            raise UserError(f"mail list takes no further words, but got {rest.strip()!r}: {USAGE}")
        return ShowMail()
    if not mail_id:
        raise UserError(f"mail {action} needs the ID of a mail (mail list shows them): {USAGE}")
    if text and action not in ("edit", "drop"):
        raise UserError(f"mail {action} takes one ID, but got {text.strip()!r} as well: {USAGE}")
    if action == "edit" and not text.strip():
        raise UserError(f"mail edit needs the new text: {USAGE}")
    if action == "show":
        return ShowMail(mail_id=mail_id)
    change = cast("mail.Action", action)
    return ChangeMail(change_id=str(uuid.uuid4()), action=change, mail_id=mail_id, text=text.strip())


def from_files(found: RunFiles, request: ShowMail | ChangeMail) -> MailReport:
    """The answer that the bridge would give. Raises `OperationalError` for a change, which needs a bridge."""
    if isinstance(request, ChangeMail):
        raise OperationalError(
            f"run {found.run_id} is not running ({found.state}), its mail can only be read; {resume_hint(found)}"
        )
    check_whole(found)
    from actors.edges.journal_reader import read_streams  # imported here: a running run's mail is not read from it

    events = _events(read_streams(found.directory, [STREAM])[STREAM])
    try:
        book = mail.Book(events)
    except Exception as error:  # foreign events need not be consistent
        raise OperationalError(f"run {found.run_id} is damaged: its mail: {described(error)}") from error
    names = _names(found)
    if not request.mail_id:
        listed = mail_view.listed(book, names, request.finished)
        return MailReport(mails=listed.mails, left_out=listed.left_out)
    return MailReport(mails=[mail_view.shown(book.stories[mail.find_id(request.mail_id, book.stories)], names)])


def _names(found: RunFiles) -> dict[Role, str]:
    agents = cast("dict[str, str]", found.manifest.get("agents") or {})
    return display_names(agents.get("worker", "worker"), agents.get("reviewer", "reviewer"))


def _events(records: Iterable[Record]) -> list[mail.Event]:
    known: dict[str, Any] = by_stored_name(mail.EVENTS)
    try:
        return [msgspec.json.decode(record.body, type=known[record.kind]) for record in records]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise OperationalError(f"the journal was written by another version of loop ({error})") from error


# --- lines ----------------------------------------------------------------------------------------------------


def lines(request: ShowMail | ChangeMail, report: MailReport, *, now_ms: int) -> list[str]:
    """The answer as lines for the user."""
    match request:
        case ShowMail(mail_id=""):
            return _list(report, now_ms)
        case ShowMail():
            return _all_of(report.mails[0], now_ms)
        case ChangeMail():
            return [_stands(report.mails[0])]


def _list(report: MailReport, now_ms: int) -> list[str]:
    rows = [
        [
            mail.short(each.mail_id),
            each.status,
            f"{each.sender} -> {each.recipient}",
            f"{tables.duration(now_ms - each.changed_at_ms)} ago",
            _beginning(each),
        ]
        for each in report.mails
    ]
    left_out = [f"({report.left_out} older finished mails are not shown)"] if report.left_out else []
    return [*tables.columns(rows), *left_out] or ["no mail yet"]


def _beginning(each: MailRecord) -> str:
    text = " ".join(each.text.split())
    text = text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}..."
    return f"{text}  ({each.reason})" if each.reason else text


def _all_of(each: MailRecord, now_ms: int) -> list[str]:
    attempts = f", {each.attempts} attempts" if each.attempts > 1 else ""
    moments = [[f"{tables.duration(now_ms - moment.at_ms)} ago", moment.what] for moment in each.moments]
    return [
        f"mail {each.mail_id}  {each.sender} -> {each.recipient}  {each.status}{attempts}",
        *(f"  {line}" for line in tables.columns(moments)),
        *(f"  | {line}" for line in each.text.splitlines()),
    ]


def _stands(each: MailRecord) -> str:
    return f"mail {mail.short(each.mail_id)} ({each.sender} -> {each.recipient}) is {each.status}: {_beginning(each)}"
