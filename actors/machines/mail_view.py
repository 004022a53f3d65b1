"""What people are shown of mail: stories as messages. Pure; the same for a run that is live and one that is over."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from actors.machines.mail import Status, Story
from actors.messages import MailList, MailMoment, MailRecord
from actors.settings import Role

# Dead letters are not among them: they wait for a person, who requeues or drops them.
FINISHED: tuple[Status, ...] = ("answered", "fetched", "suppressed", "dropped")
TEXT_IN_LIST = 200  # characters: a line of any terminal


def listed(stories: Mapping[str, Story], names: Mapping[Role, str], finished: int) -> MailList:
    """All mail that is not finished and the last `finished` of the rest, by the time when that ended."""
    over = [story for story in stories.values() if story.status in FINISHED]
    over.sort(key=lambda story: story.moments[-1].at_ms)
    left_out = {story.mail_id for story in over[: max(0, len(over) - max(0, finished))]}
    mails = [
        replace(shown(story, names), text=story.text[:TEXT_IN_LIST], moments=[])
        for story in stories.values()
        if story.mail_id not in left_out
    ]
    return MailList(mails=mails, left_out=len(left_out))


def shown(story: Story, names: Mapping[Role, str]) -> MailRecord:
    """All that is known of one mail."""
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
