"""The events of the journal's stream "run". Pure data.

Those that answer a job are in `jobs`, each in the file of its kind.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from actors.machines.run.jobs import KINDS
from actors.machines.run.jobs.base import Event
from actors.messages import Purpose, Usage
from actors.settings import Role, RunSettings


class RunStarted(Event, frozen=True, kw_only=True):
    """First event of every run. `generation` counts the roots that have opened it; the machine ignores it."""

    settings: RunSettings
    generation: int = 0


class PauseRequested(Event, frozen=True, kw_only=True):
    """The user wants a pause: after what runs now, or (`now`) by interrupting it."""

    now: bool = False


class ResumeRequested(Event, frozen=True, kw_only=True):
    """The user resumes a paused run."""


class StopRequested(Event, frozen=True, kw_only=True):
    """The run ends once its running turns are interrupted. It can be resumed later."""

    reason: str = ""


class RunResumed(Event, frozen=True, kw_only=True):
    """A new root has opened the run: it resumes where it was, out of a stop, a failure or a pause.

    A blank or unchanged `task` in `settings` keeps the task and the place. Only the settings in `given` count: typed
    values, not those of a file; checks add up. Without `only_given`, in older journals, a value that differs from the
    default counts as well. Another task comes with all settings of its own (`run_uid` stays): planning if `needs_plan`,
    and a new count of iterations. A run that was out of iterations gets a new count if the user cannot be asked. It
    gets more iterations if `max_iterations` is higher now. To reopen a paused run without resuming it, do not send
    this: the fold alone keeps the pause.
    """

    settings: RunSettings | None = None
    generation: int = 0


class VerdictSubmitted(Event, frozen=True, kw_only=True):
    """The user decides in place of the reviewers. `notes` matter when not approved."""

    stored_as: ClassVar[str] = "HumanVerdictGiven"

    approved: bool
    notes: str = ""
    at_ms: int = 0  # 0 in older journals


class FindingWaived(Event, frozen=True, kw_only=True):
    """The user does not want what this finding asks for. It stays suppressed until that code changes."""

    finding_id: str
    reason: str = ""


class ReviewRequested(Event, frozen=True, kw_only=True):
    """The user wants a review of the current state, even if the agent does not report done."""


class MailReachedWorker(Event, frozen=True, kw_only=True):
    """The primary agent has seen a bridge message from its peer: notes sent that way are not repeated."""

    sender: str
    text: str = ""


class ContactChanged(Event, frozen=True, kw_only=True):
    """An agent has worked without contacting the bridge, or contacts it later: its prompts differ then."""

    role: Role
    comes: bool


class AgentPlaced(Event, frozen=True, kw_only=True):
    """An agent's actor runs on this host from now on. `moved`: it ran elsewhere before, under the same root."""

    role: Role
    host: str  # "" = home
    moved: bool = False
    why: str = ""  # it was moved, where nobody has asked for it


class UsageGrew(Event, frozen=True, kw_only=True):
    """The usage of a settled turn that the run does not wait for. The same turn counts once."""

    role: Role
    turn_id: str
    purpose: Purpose
    model: str  # "" = the agent's own default
    usage: Usage


class UsageSeen(Event, frozen=True, kw_only=True):
    """The usage so far of a turn that runs. Journalled only where it reaches a budget."""

    role: Role
    turn_id: str
    purpose: Purpose
    model: str  # "" = the agent's own default
    usage: Usage


class TurnWanted(Event, frozen=True, kw_only=True):
    """No turn runs in this session, and this one is to begin; "" = none is. Only with a budget.

    `after`: the run's turn that has settled there last.
    """

    role: Role
    turn_id: str
    purpose: Purpose | Literal[""]
    after: str


class TimePassed(Event, frozen=True, kw_only=True):
    """The run has worked for this long since the last one. Only in a run with a limit of time."""

    ms: int


EVENTS: tuple[type[Event], ...] = (
    RunStarted,
    *(kind.answer for kind in KINDS),
    PauseRequested,
    ResumeRequested,
    StopRequested,
    RunResumed,
    VerdictSubmitted,
    FindingWaived,
    ReviewRequested,
    MailReachedWorker,
    ContactChanged,
    AgentPlaced,
    UsageGrew,
    UsageSeen,
    TurnWanted,
    TimePassed,
)
