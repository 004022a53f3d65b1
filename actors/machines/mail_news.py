"""What the user is told of the mail between the agents. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from actors.machines.mail import (
    DeliveryFailed,
    Event,
    MailDied,
    MailDropped,
    MailEdited,
    MailHeld,
    MailQueued,
    MailReleased,
    MailRequeued,
    MailSuppressed,
)
from actors.messages import ProgressKind
from actors.settings import Role


def news(event: Event, names: Mapping[Role, str]) -> tuple[ProgressKind, str]:
    """What the user is told of the event: the kind of the line, and its text; "" = nothing."""
    match event:
        case MailQueued():
            return "mail", f"{names[event.sender]} -> {names[event.target]}: {event.text}"
        case MailSuppressed():
            sender, target = names[event.sender], names[event.target]
            return "note", f"{sender} only sent {target}'s own message back: not delivered"
        case DeliveryFailed():
            return "note", f"mail {event.mail_id} was not delivered ({event.reason}); retrying"
        case MailDied():
            return "error", f"mail {event.mail_id} is a dead letter: {event.reason}"
        case MailHeld():
            return "note", f"mail {event.mail_id} is held by the user"
        case MailReleased():
            return "note", f"mail {event.mail_id} was released by the user"
        case MailEdited():
            return "note", f"mail {event.mail_id} was edited by the user: {event.text}"
        case MailRequeued():
            return "note", f"mail {event.mail_id} was queued again by the user: it was {event.was}"
        case MailDropped():
            return "note", f"mail {event.mail_id} was dropped by the user: {event.reason}"
        case _:
            return "note", ""  # for the journal only
