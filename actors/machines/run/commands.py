"""What a run wants done beside its jobs, whose commands are in `jobs`. Pure data; carried out by the driver."""

from __future__ import annotations

from typing import Literal

from actors.machines.run.jobs.base import Command


class EndRun(Command, frozen=True, kw_only=True):
    """The run is over: say so, with `detail`, and end."""

    state: Literal["completed", "failed", "stopped"]
    detail: str


class Notice(Command, frozen=True, kw_only=True):
    """Tell the people who follow the run; never repeated. `resume_hint`: also how this run is resumed by hand."""

    text: str
    error: bool = False
    resume_hint: bool = False
