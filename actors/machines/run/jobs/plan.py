"""Reading PLAN.md. Pure data."""

from __future__ import annotations

from typing import ClassVar

from actors.machines.run.jobs.base import Command, Event, Facts, Job, Where


class ReadPlan(Command, frozen=True, kw_only=True):
    """Read PLAN.md in the run's directory. Answer: `PlanRead`. `ahead`: before it is written, for its digest alone."""

    read_id: str
    ahead: bool = False

    @property
    def where(self) -> Where:
        """In the working tree of the agent that writes it."""
        return "worker"


class PlanRead(Event, frozen=True, kw_only=True):
    """The result of reading PLAN.md. `text` is None when it cannot be read; `error` is the reason.

    `digest`: of its content, "" when there is none. Before the planning only the digest is filled in.
    """

    read_id: str
    text: str | None
    error: str = ""
    digest: str = ""


class PlanJob(Job, frozen=True, kw_only=True):
    """Reading PLAN.md; `ahead`: what there is before it is written."""

    asks: ClassVar[type[Command]] = ReadPlan
    answer: ClassVar[type[Event]] = PlanRead
    named_by: ClassVar[str] = "read_id"
    withdrawable: ClassVar[bool] = True
    idle: ClassVar[bool] = False
    quiet: ClassVar[bool] = False

    ahead: bool = False

    def command(self, _run: Facts, _now_ms: int) -> ReadPlan:
        """Read it."""
        return ReadPlan(read_id=self.id, ahead=self.ahead)

    def words(self, _run: Facts) -> str:
        """The file."""
        return "PLAN.md"
