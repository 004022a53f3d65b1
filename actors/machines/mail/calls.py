"""The agents' tool calls as events. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from actors.errors import UserError
from actors.machines import prompts
from actors.machines.mail.events import CallRepeated, Event, MailQueued, MailReceived, MailSuppressed
from actors.machines.mail.state import DOUBT_MS, Mail, State, normalise
from actors.settings import Role


def resolve_target(target: str, names: Mapping[Role, str]) -> Role:
    """The role that a sender addresses by agent name or role; ignores case and outer white space.

    Raises `UserError` that lists the names when it is empty or unknown.
    """
    wanted = target.strip().casefold()
    known = ", ".join(f"{name!r} (the {role})" for role, name in names.items())
    if not wanted:
        raise UserError(f"target is empty: name one of {known}")
    for role, name in names.items():
        if wanted == name.casefold():
            return role
    for role in names:
        if wanted == role:
            return role
    raise UserError(f"target {target!r} is unknown: name one of {known}")


def post(
    state: State, *, mail_id: str, sender: Role, target: Role, text: str, names: Mapping[Role, str], now_ms: int
) -> MailQueued | MailSuppressed | CallRepeated:
    """The event of a sender's call. `target` comes from `resolve_target`; `mail_id` is a new UUID string.

    Raises `UserError` for an empty message or one to oneself.
    """
    if not text.strip():
        raise UserError("message is empty: say what the other agent should know or do")
    if target == sender:
        raise UserError(f"target is the sender itself ({target}): name the other agent")
    bare = normalise(text)
    for sent in state.doubtful[sender]:
        if sent.target == target and sent.text == bare and now_ms - sent.at_ms <= DOUBT_MS:
            return CallRepeated(mail_id=sent.mail_id, sender=sender, at_ms=now_ms)
    box = state.boxes[sender]
    in_flight = "" if box.in_flight is None else box.in_flight.text
    if any(is_echo(text, delivered=last, speaker=names[target]) for last in (box.last_delivered, in_flight)):
        return MailSuppressed(mail_id=mail_id, sender=sender, target=target, text=text, at_ms=now_ms)
    return MailQueued(mail_id=mail_id, sender=sender, target=target, text=text, at_ms=now_ms)


def fetch(state: State, reader: Role, now_ms: int) -> tuple[list[Event], tuple[Mail, ...]]:
    """The mail that a recipient fetches itself: all that waits, oldest first.

    Excludes mail in flight: it is on its way into the session, and would be read twice.
    """
    waiting = state.boxes[reader].waiting
    if not waiting:
        return [], ()
    mail_ids = tuple(mail.mail_id for mail in waiting)
    return [MailReceived(reader=reader, mail_ids=mail_ids, at_ms=now_ms)], waiting


def is_echo(text: str, *, delivered: str, speaker: str) -> bool:
    """Whether `text` only repeats the text `delivered`, with or without parts of the frame it was delivered in.

    The frame is what `prompts.mail` puts around a message of `speaker`.
    """
    return any(
        _repeats(text, delivered, prompts.mail(speaker, "\0", answerable=answerable)) for answerable in (True, False)
    )


def _repeats(text: str, delivered: str, framed: str) -> bool:
    bare, core = normalise(text), normalise(delivered)
    before, after = (f" {normalise(part)} " for part in framed.split("\0"))
    header = normalise(framed.splitlines()[0]) + " "
    at = bare.find(core) if core else -1
    while 0 <= at < len(before):
        head, tail = bare[:at], bare[at + len(core) :]
        if (head == header or before.endswith(head)) and after.startswith(tail):
            return True
        at = bare.find(core, at + 1)
    return False
