"""Users' changes of mail as events, and the rules for them. Pure.

*Held* mail steps aside: the mail behind it continues, and the recipient cannot fetch it. Released, it returns to its
old place, before waiting mail that was queued later. *Requeued* mail goes to the end, and its attempts restart at 0.
*Dropped* mail has ended; a dropped dead letter is hidden.

Mail can only be held, edited or dropped until it is in flight: from then on the owner of the recipient's session may
have handed it to the agent irrevocably. Seen mail is not requeued: the agent has it, and would do the work twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from actors.errors import UserError
from actors.machines.mail.events import Event, MailDropped, MailEdited, MailHeld, MailReleased, MailRequeued
from actors.machines.mail.history import Status, Story
from actors.machines.mail.state import State

Action = Literal["hold", "release", "edit", "requeue", "drop"]

# action -> its participle, and the statuses that allow it
ALLOWED: Mapping[Action, tuple[str, tuple[Status, ...]]] = MappingProxyType(
    {
        "hold": ("held", ("queued",)),
        "release": ("released", ("held",)),
        "edit": ("edited", ("queued", "held")),
        "requeue": ("requeued", ("dead", "suppressed", "dropped", "held")),
        "drop": ("dropped", ("queued", "held", "dead")),
    }
)

NO_REASON = "no reason given"
SHORT = 8  # characters of an id that are shown where a whole one is too long


def short(mail_id: str) -> str:
    """The id as users read and type it."""
    return mail_id[:SHORT]


def find_id(wanted: str, mail_ids: Iterable[str]) -> str:
    """The only id with the typed prefix. Raises `UserError` when there is none, or several."""
    typed = wanted.strip().casefold()
    if not typed:
        raise UserError("no mail id was given: see mail list")
    found = [mail_id for mail_id in mail_ids if mail_id.startswith(typed)]
    if not found:
        raise UserError(f"no mail has the id {wanted.strip()!r}: see mail list")
    if len(found) > 1 and typed not in found:
        raise UserError(f"{len(found)} mails have an id that begins with {wanted.strip()!r}: type more of it")
    return typed if typed in found else found[0]


def change(state: State, story: Story, action: Action, *, change_id: str, text: str, now_ms: int) -> list[Event]:
    """The event of a user's change; none when the same change was made before.

    `story`: the mail as of this state. `text`: the new text of an edit, the reason of a drop. Raises a `UserError` that
    names the mail and its status when the status does not allow the change.
    """
    if change_id in state.changes:
        return []
    done, statuses = ALLOWED[action]
    if story.status not in statuses:
        may = f"only mail that is {' or '.join(statuses)} can be {done}"
        raise UserError(f"mail {short(story.mail_id)} is {story.status}: {may}")
    mail_id = story.mail_id
    match action:
        case "hold":
            return [MailHeld(mail_id=mail_id, change_id=change_id, at_ms=now_ms)]
        case "release":
            return [MailReleased(mail_id=mail_id, change_id=change_id, at_ms=now_ms)]
        case "edit":
            if not text.strip():
                raise UserError(f"mail {short(mail_id)} needs a text: give the new one, or drop the mail")
            return [MailEdited(mail_id=mail_id, change_id=change_id, text=text, at_ms=now_ms)]
        case "requeue":
            return [_requeued(story, change_id, now_ms)]
        case "drop":
            return [_dropped(story, change_id, text.strip() or NO_REASON, now_ms)]


def _dropped(story: Story, change_id: str, reason: str, now_ms: int) -> MailDropped:
    assert story.status in ("queued", "held", "dead")
    return MailDropped(
        mail_id=story.mail_id,
        change_id=change_id,
        target=story.target,
        was=story.status,
        reason=reason,
        at_ms=now_ms,
    )


def _requeued(story: Story, change_id: str, now_ms: int) -> MailRequeued:
    if story.was_seen:
        raise UserError(f"mail {short(story.mail_id)} was seen by its recipient before: send a new message instead")
    assert story.status in ("held", "dead", "suppressed", "dropped")
    return MailRequeued(
        mail_id=story.mail_id,
        change_id=change_id,
        sender=story.sender,
        target=story.target,
        text=story.text,
        was=story.status,
        repeat=story.repeat,
        edited=story.edited,
        at_ms=now_ms,
    )
