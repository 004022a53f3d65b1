"""`followup`: answers the question at the end."""

from __future__ import annotations

from shell.commands.asking import done
from shell.commands.base import Command, Prompt, needed


def _type_followup(prompt: Prompt, rest: str) -> str:
    """Answers the question at the end of the iterations: what is to be done next. A blank answer stops the run."""
    from supervisor.control.protocol import AnswerQuestion

    return done(prompt, AnswerQuestion(text=needed(rest, FOLLOWUP.usage)))


FOLLOWUP = Command(name="followup", arguments="TEXT", typed=_type_followup)
