"""A question to the user. Pure data."""

from __future__ import annotations

from typing import ClassVar

from actors.machines.run.jobs.base import Command, Event, Facts, Job


class AskQuestion(Command, frozen=True, kw_only=True):
    """Ask the user. Answer: `QuestionAnswered` (or `VerdictSubmitted`, `StopRequested`)."""

    question: str


class QuestionAnswered(Event, frozen=True, kw_only=True):
    """The user answered the open question; blank means stop."""

    stored_as: ClassVar[str] = "FollowUpGiven"

    text: str


class QuestionJob(Job, frozen=True, kw_only=True):
    """A question to the user; its id never leaves the machine, since a run has at most one."""

    asks: ClassVar[type[Command]] = AskQuestion
    answer: ClassVar[type[Event]] = QuestionAnswered
    named_by: ClassVar[str] = ""
    withdrawable: ClassVar[bool] = True
    idle: ClassVar[bool] = False
    quiet: ClassVar[bool] = False

    question: str

    def command(self, _run: Facts, _now_ms: int) -> AskQuestion:
        """Ask it."""
        return AskQuestion(question=self.question)

    def words(self, _run: Facts) -> str:
        """The answer."""
        return "the user's answer"
