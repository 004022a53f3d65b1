"""A look for the pull request: whether there can be one, or whether there is one. Pure data."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from actors.machines.run.jobs.base import Command, Event, Facts, Job, Where

# The missing prerequisite of a pull request, or what is unknown; "" = nothing. "away": the worker's host has nothing of
# the user's logins, so the worker only commits, and the run publishes from home.
Missing = Literal["", "repository", "remote", "gh", "login", "pull-request", "answer", "away"]


class ProbePullRequest(Command, frozen=True, kw_only=True):
    """Is there a pull request for the branch that the run is on? Answer: `PullRequestProbed`.

    `ahead`: before the agent is asked for one; only whether there can be one. `begun_on`: the commit before the first
    iteration; "" = it is not known, or not asked for.
    """

    look_id: str
    ahead: bool
    begun_on: str = ""

    @property
    def where(self) -> Where:
        """In the working tree whose branch it is."""
        return "worker"


class PullRequest(msgspec.Struct, frozen=True, kw_only=True):
    """As `gh` knows it. `state` is OPEN, CLOSED or MERGED."""

    url: str
    state: str
    is_draft: bool
    branch: str


class PullRequestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a probe. `lacks`: what is missing; `reason`: the same as a line for the user."""

    found: PullRequest | None = None
    lacks: Missing = ""
    reason: str = ""


class PullRequestProbed(Event, frozen=True, kw_only=True):
    """The result of a probe for the pull request, or for whether there can be one."""

    stored_as: ClassVar[str] = "PullRequestLookedFor"

    look_id: str
    status: PullRequestStatus = msgspec.field(name="sight")  # its name in journals


class PullRequestJob(Job, frozen=True, kw_only=True):
    """A probe for the pull request. `ahead`: whether there can be one; else whether there is one."""

    asks: ClassVar[type[Command]] = ProbePullRequest
    answer: ClassVar[type[Event]] = PullRequestProbed
    named_by: ClassVar[str] = "look_id"
    withdrawable: ClassVar[bool] = True
    idle: ClassVar[bool] = False
    quiet: ClassVar[bool] = False

    ahead: bool

    def command(self, run: Facts, _now_ms: int) -> ProbePullRequest:
        """The probe."""
        commit, _branch = ("", "") if self.ahead or run.begun_on is None else run.begun_on
        return ProbePullRequest(look_id=self.id, ahead=self.ahead, begun_on=commit)

    def words(self, _run: Facts) -> str:
        """What is looked at."""
        return "git" if self.ahead else "the pull request"
