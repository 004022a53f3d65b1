"""What has happened to a run: the events of the journal's stream "run". Pure data."""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.messages import TurnOutcome
from actors.settings import RunSettings


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events of the stream "run"; journalled under the name of the struct."""


class RunStarted(Event, frozen=True, kw_only=True):
    """First event of every run. `generation` counts the roots that have opened it; the machine does not look at it."""

    settings: RunSettings
    generation: int = 0


class TurnSettled(Event, frozen=True, kw_only=True):
    """The turn has ended, and it will not go on; also when its agent could not be started at all (status failed)."""

    turn_id: str
    outcome: TurnOutcome
    at_ms: int = 0  # Unix ms; 0 in older journals, whose waits then begin again with each fold


class PlanRead(Event, frozen=True, kw_only=True):
    """PLAN.md was looked for. `text` is None when it cannot be read; `error` says why.

    `digest` is that of its content, "" when there is none. Before the planning it is all that was asked for.
    """

    read_id: str
    text: str | None
    error: str = ""
    digest: str = ""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one check command ended. `output_tail` is the end of what it printed, both streams.

    `error`: what became of it, when that is not its own exit status; `exit_code` is not 0 then.
    """

    command: str
    exit_code: int
    output_tail: str = ""
    error: str = ""


class ChecksEnded(Event, frozen=True, kw_only=True):
    """All check commands have ended, or the first that failed made the rest pointless. Not for checks broken off."""

    checks_id: str
    results: tuple[CheckResult, ...]


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the run's directory: the same id, the same content of everything that git does not ignore.

    `id` is "" when that cannot be known, and `reason` says why. `worktrees`: the others, as "<path> <commit>".
    """

    id: str = ""
    commit: str = ""  # "" = there is none
    branch: str = ""  # "" = on none
    worktrees: tuple[str, ...] = ()
    reason: str = ""


class TreeTaken(Event, frozen=True, kw_only=True):
    """The tree was looked at. `changed`: files that differ from the tree that the command names; the first of many.

    `uncommitted`: files of the tree that its commit has not.
    """

    take_id: str
    tree: Tree
    changed: tuple[str, ...] = ()
    uncommitted: tuple[str, ...] = ()


# What a pull request cannot be without, or what is not known of it; "" = nothing.
Lack = Literal["", "repository", "remote", "gh", "login", "pull-request", "answer"]


class PullRequest(msgspec.Struct, frozen=True, kw_only=True):
    """As `gh` knows it. `state` is OPEN, CLOSED or MERGED."""

    url: str
    state: str
    is_draft: bool
    branch: str


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a look for the pull request has found. `lacks`: what is missing; `reason`: the same as a line for people."""

    found: PullRequest | None = None
    lacks: Lack = ""
    reason: str = ""


class PullRequestLookedFor(Event, frozen=True, kw_only=True):
    """There was a look for the pull request, or for whether there can be one."""

    look_id: str
    sight: Sight


class CooldownEnded(Event, frozen=True, kw_only=True):
    """The time of a `StartCooldown` is over."""

    wait_id: str


class FollowUpGiven(Event, frozen=True, kw_only=True):
    """A person answered the open question; blank means stop."""

    text: str


class PauseRequested(Event, frozen=True, kw_only=True):
    """A person wants a pause: at the end of what runs now, or (`now`) by interrupting it."""

    now: bool = False


class ResumeRequested(Event, frozen=True, kw_only=True):
    """A person wants a paused run to go on."""


class StopRequested(Event, frozen=True, kw_only=True):
    """The run shall end, as soon as what runs is interrupted. It can be resumed later."""

    reason: str = ""


class RunResumed(Event, frozen=True, kw_only=True):
    """A new root has opened the run: it goes on where it was, out of a stop, a failure or a pause.

    A blank `task` in `settings`, or the one that the run has, keeps the task and the place, and of the settings only
    what is said anew (`given`, or another value than the default) is taken over. Another task comes with all settings
    of its own (`run_uid` stays): planning if `needs_plan`, a new count of iterations. A run that was out of iterations
    gets a new count if a person cannot be asked, or more of them if `max_iterations` is higher now.
    To reopen a paused run without letting it go on, do not send this: the fold alone keeps the pause.
    """

    settings: RunSettings | None = None
    generation: int = 0


class HumanVerdictGiven(Event, frozen=True, kw_only=True):
    """A person decides in place of the reviewers. `notes` matter when not approved."""

    approved: bool
    notes: str = ""


class ReviewRequested(Event, frozen=True, kw_only=True):
    """A person wants what there is to be reviewed, also if the agent does not say that it is done."""


class MailReachedWorker(Event, frozen=True, kw_only=True):
    """The primary agent has seen a bridge message from its peer: notes sent that way are not repeated."""

    sender: str
    text: str = ""


EVENTS: tuple[type[Event], ...] = (
    RunStarted,
    TurnSettled,
    PlanRead,
    ChecksEnded,
    TreeTaken,
    PullRequestLookedFor,
    CooldownEnded,
    FollowUpGiven,
    PauseRequested,
    ResumeRequested,
    StopRequested,
    RunResumed,
    HumanVerdictGiven,
    ReviewRequested,
    MailReachedWorker,
)
