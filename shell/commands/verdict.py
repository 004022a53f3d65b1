"""`approve` and `reject`: a verdict in place of the reviewers'."""

from __future__ import annotations

from shell.commands.asking import done
from shell.commands.base import Command, Prompt, needed


def _type_approve(prompt: Prompt, _rest: str) -> str:
    """Approves the work in place of the reviewers: on to the pull request."""
    from supervisor.control.protocol import SubmitVerdict

    return done(prompt, SubmitVerdict(approved=True))


def _type_reject(prompt: Prompt, rest: str) -> str:
    """Turns the work down in place of the reviewers; the notes go into the next iteration."""
    from supervisor.control.protocol import SubmitVerdict

    return done(prompt, SubmitVerdict(approved=False, notes=needed(rest, REJECT.usage)))


APPROVE = Command(name="approve", typed=_type_approve)
REJECT = Command(name="reject", arguments="NOTES", typed=_type_reject)
