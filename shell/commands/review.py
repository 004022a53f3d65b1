"""`review`: asks for a review."""

from __future__ import annotations

from shell.commands.asking import done
from shell.commands.base import Command, Prompt


def _type_review(prompt: Prompt, _rest: str) -> str:
    """Has the work reviewed when the turn is over, whether the agent says that it is done or not."""
    from supervisor.control.protocol import RequestReview

    return done(prompt, RequestReview())


REVIEW = Command(name="review", typed=_type_review)
