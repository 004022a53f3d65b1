"""A turn of an agent. Pure data."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from actors.machines import continuations
from actors.machines.prompt_templates import OF_A_CONTINUATION
from actors.machines.run.jobs.base import Command, Event, Facts, Job, Where
from actors.messages import Cause, Purpose, TurnOutcome
from actors.settings import Role, RunSettings, display_names


class StartTurn(Command, frozen=True, kw_only=True):
    """Run this turn in the session of `role`. Answer: `TurnSettled`. The same id never runs twice."""

    turn_id: str
    role: Role
    purpose: Purpose
    prompt: str
    model: str = ""  # "" = the agent's own default
    continues: str = ""  # the attempt before: when the session has its prompt, `reminder` is sent instead of `prompt`
    reminder: str = ""
    typed: bool = (
        False  # the answer of a review, in the form of `review_answer.SCHEMA` where the agent can be bound to it
    )
    within_ms: int = 0  # how long it may take; 0: as long as any turn
    texts: Mapping[str, str] = msgspec.field(default_factory=dict)  # the user's prompts that continue it, by name

    @property
    def where(self) -> Where:
        """In that session."""
        return self.role


class InterruptTurn(Command, frozen=True, kw_only=True):
    """Interrupt this turn, which is issued. Its `TurnSettled` is still awaited, with any status."""

    turn_id: str
    role: Role
    reason: str

    @property
    def where(self) -> Where:
        """Where the turn runs."""
        return self.role


class TurnSettled(Event, frozen=True, kw_only=True):
    """The turn has ended and will not continue; also when its agent could not be started (status failed)."""

    turn_id: str
    outcome: TurnOutcome
    at_ms: int = 0  # Unix ms; 0 in older journals, whose waits then begin again with each fold


class TurnJob(Job, frozen=True, kw_only=True):
    """A turn. `prompt` is the first attempt's; `resumes` is why a further one continues it ("" = it does not)."""

    asks: ClassVar[type[Command]] = StartTurn
    answer: ClassVar[type[Event]] = TurnSettled
    named_by: ClassVar[str] = "turn_id"
    withdrawable: ClassVar[bool] = False
    idle: ClassVar[bool] = False
    quiet: ClassVar[bool] = False

    role: Role
    purpose: Purpose
    prompt: str
    model: str
    resumes: str = ""
    cut: str = ""  # why it was interrupted; "" = it was not
    limits: int = 0  # how many times in a row a limit has ended it
    tries: int = 0  # how many times in a row it was resumed because the provider did not answer
    typed: bool = False  # as in `StartTurn`
    broke: bool = False  # the last attempt failed, or was interrupted, without a known cause
    refused: Cause = ""  # why the agent could not work at the last attempt
    waiting_since_ms: int | None = None  # the first of a row of such ends, Unix ms
    asked_at_ms: int | None = None  # when this attempt was to begin, Unix ms
    asked_again: bool = False  # for its verdict alone; `said` is its earlier text
    said: str = ""
    continues: str = ""  # id of the attempt before this one, in the same session

    def command(self, run: Facts, _now_ms: int) -> StartTurn:
        """The first attempt's prompt, or a continuation of it."""
        continued = bool(self.continues and self.resumes)
        texts = {name: text for name, text in run.run.prompts.items() if name in OF_A_CONTINUATION}
        full, short = texts.get("continuation", ""), texts.get("reminder", "")
        return StartTurn(
            turn_id=self.id,
            role=self.role,
            purpose=self.purpose,
            prompt=continuations.continuation(self.prompt, why=self.resumes, template=full)
            if self.resumes
            else self.prompt,
            model=self.model,
            continues=self.continues,
            typed=self.typed,
            reminder=continuations.reminder(self.prompt, why=self.resumes, template=short) if continued else "",
            texts=texts,
            within_ms=run.run.review_patience_ms if self.purpose == "review" else 0,
        )

    def words(self, run: Facts) -> str:
        """The agent's name, and what it gives where that is not its phase's."""
        label = agent_label(run.run, self.role)
        return f"{label}'s diagnosis" if self.purpose == "diagnosis" else label

    def identity(self, run_uid: str, key: str) -> str:
        """A UUID, since it reaches an agent."""
        return str(uuid.uuid5(_namespace(run_uid), key))

    def interrupted(self, why: str) -> TurnJob:
        """The job, marked as interrupted; its meaning is decided when it has settled."""
        return self if self.cut else replace(self, cut=why)

    def interruption(self) -> InterruptTurn | None:
        """The interruption, until the turn has settled."""
        return InterruptTurn(turn_id=self.id, role=self.role, reason=self.cut) if self.cut else None


def agent_label(settings: RunSettings, role: Role) -> str:
    """The name of this session for the user and in notes."""
    return display_names(settings.worker, settings.reviewer)[role]


def _namespace(run_uid: str) -> uuid.UUID:
    """The UUID that the run was given; one made of its text where a damaged journal holds another."""
    try:
        return uuid.UUID(run_uid)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, run_uid)
