"""What has happened to a run: the events of the journal's stream "run". Pure data.

Those that answer a job are in `jobs`, each in the file of its kind.
"""

from __future__ import annotations

from typing import ClassVar

from actors.machines.run.jobs import KINDS
from actors.machines.run.jobs.base import Event
from actors.messages import Purpose, Usage
from actors.settings import Role, RunSettings


class RunStarted(Event, frozen=True, kw_only=True):
    """First event of every run. `generation` counts the roots that have opened it; the machine does not look at it."""

    settings: RunSettings
    generation: int = 0


class PauseRequested(Event, frozen=True, kw_only=True):
    """A person wants a pause: at the end of what runs now, or (`now`) by interrupting it."""

    now: bool = False


class ResumeRequested(Event, frozen=True, kw_only=True):
    """A person wants a paused run to go on."""


class StopRequested(Event, frozen=True, kw_only=True):
    """The run shall end, as soon as what runs is interrupted. It can be resumed later."""

    reason: str = ""


class RunResumed(Event, frozen=True, kw_only=True):
    """A new root has opened the run: it resumes where it was, out of a stop, a failure or a pause.

    A blank `task` in `settings`, or the one that the run has, keeps the task and the place. Of the settings only those
    count that `given` names: what was typed, not what a file says; and checks add up. Without `only_given`, in older
    journals, a value that is not the default counts as well. Another task comes with all settings of its own
    (`run_uid` stays): planning if `needs_plan`, a new count of iterations. A run that was out of iterations gets a new
    count if a person cannot be asked, or more of them if `max_iterations` is higher now.
    To reopen a paused run without letting it go on, do not send this: the fold alone keeps the pause.
    """

    settings: RunSettings | None = None
    generation: int = 0


class VerdictSubmitted(Event, frozen=True, kw_only=True):
    """A person decides in place of the reviewers. `notes` matter when not approved."""

    stored_as: ClassVar[str] = "HumanVerdictGiven"

    approved: bool
    notes: str = ""


class ReviewRequested(Event, frozen=True, kw_only=True):
    """A person wants what there is to be reviewed, also if the agent does not say that it is done."""


class MailReachedWorker(Event, frozen=True, kw_only=True):
    """The primary agent has seen a bridge message from its peer: notes sent that way are not repeated."""

    sender: str
    text: str = ""


class ContactChanged(Event, frozen=True, kw_only=True):
    """An agent has worked and never come to the bridge, or has come after that: what it is told to do differs."""

    role: Role
    comes: bool


class UsageGrew(Event, frozen=True, kw_only=True):
    """A turn that the run does not wait for has settled: this is what it has used. The same turn counts once."""

    role: Role
    turn_id: str
    purpose: Purpose
    model: str  # "" = the agent's own default
    usage: Usage


EVENTS: tuple[type[Event], ...] = (
    RunStarted,
    *(kind.answer for kind in KINDS),
    PauseRequested,
    ResumeRequested,
    StopRequested,
    RunResumed,
    VerdictSubmitted,
    ReviewRequested,
    MailReachedWorker,
    ContactChanged,
    UsageGrew,
)
