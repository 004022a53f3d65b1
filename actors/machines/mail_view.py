"""Mail as the user sees it: stories as messages. Pure; the same for a live run and a finished one."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from actors.machines.mail import Book, Story
from actors.messages import MailList, MailMoment, MailRecord
from actors.settings import Role

TEXT_IN_LIST = 200  # characters: a line of any terminal


def listed(book: Book, names: Mapping[Role, str], finished: int) -> MailList:
    """See `Book.newest`."""
    stories, left_out = book.newest(finished)
    mails = [replace(shown(story, names), text=story.text[:TEXT_IN_LIST], moments=[]) for story in stories]
    return MailList(mails=mails, left_out=left_out)


def shown(story: Story, names: Mapping[Role, str]) -> MailRecord:
    """One mail in full."""
    return MailRecord(
        mail_id=story.mail_id,
        sender=names[story.sender],
        recipient=names[story.target],
        status=story.status,
        text=story.text,
        sent_at_ms=story.moments[0].at_ms,
        changed_at_ms=story.moments[-1].at_ms,
        attempts=story.attempts,
        reason=story.reason,
        moments=[MailMoment(at_ms=moment.at_ms, what=moment.what) for moment in story.moments],
    )
