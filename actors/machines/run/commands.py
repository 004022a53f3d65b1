"""A run's commands besides those of its jobs, which are in `jobs`. Pure data; carried out by the driver."""

from __future__ import annotations

from actors.machines.run.jobs.base import Command, Where
from actors.run_states import FinalState
from actors.settings import Role


class EndRun(Command, frozen=True, kw_only=True):
    """The run is over: report it with `detail`, and end."""

    state: FinalState
    detail: str
    resume: str = ""  # the options with which it resumes, where a resume without them stops again


class GrantTurn(Command, frozen=True, kw_only=True):
    """The turn may begin in this session."""

    turn_id: str
    role: Role

    @property
    def where(self) -> Where:
        """To that session."""
        return self.role


class Notice(Command, frozen=True, kw_only=True):
    """Tell the users who follow the run; never repeated. `resume_hint`: adds the command that resumes the run."""

    text: str
    error: bool = False
    resume_hint: bool = False
