"""What a run wants done. Pure data; carried out by the worker actor."""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.messages import Purpose
from actors.settings import Role


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all commands. `outstanding` gives all of them again but `Announce` and `BreakOffChecks`: a crash of the
    driver ends the checks anyway.
    """


class StartTurn(Command, frozen=True, kw_only=True):
    """Run this turn in the session of `role`. Answer: `TurnSettled`. The same id never runs twice."""

    turn_id: str
    role: Role
    purpose: Purpose
    prompt: str
    model: str = ""  # "" = the agent's own default
    continues: str = ""  # the attempt before: when the session has its prompt, `reminder` is sent instead of `prompt`
    reminder: str = ""


class BreakOffTurn(Command, frozen=True, kw_only=True):
    """Interrupt this turn, which is issued. Its `TurnSettled` is still awaited, whatever its status will be."""

    turn_id: str
    role: Role
    reason: str


class ReadPlan(Command, frozen=True, kw_only=True):
    """Read PLAN.md in the run's directory. Answer: `PlanRead`. `ahead`: before it is written, for its digest alone."""

    read_id: str
    ahead: bool = False


class RunChecks(Command, frozen=True, kw_only=True):
    """Run these shell commands in order. Answer: `ChecksEnded`. `timeout_s`: of each; 0 = the usual one."""

    checks_id: str
    iteration: int
    commands: tuple[str, ...]
    timeout_s: int = 0


class BreakOffChecks(Command, frozen=True, kw_only=True):
    """End these checks; nobody waits for their result any more."""

    checks_id: str


class TakeTree(Command, frozen=True, kw_only=True):
    """Look at what is in the run's directory. Answer: `TreeTaken`, with what has changed since the tree `since`.

    `apart`: files that do not count.
    """

    take_id: str
    since: str = ""
    apart: tuple[str, ...] = ()


class LookForPullRequest(Command, frozen=True, kw_only=True):
    """Is there a pull request for the branch that the run is on? Answer: `PullRequestLookedFor`.

    `ahead`: before the agent is asked for one; only whether there can be one.
    """

    look_id: str
    ahead: bool


class StartCooldown(Command, frozen=True, kw_only=True):
    """Wait `ms` from now, until `until_ms` (Unix ms). Answer: `CooldownEnded`.

    Several may run at once: two reviewers can both have reached a limit. One that is over for nothing does no harm.
    """

    wait_id: str
    iteration: int
    ms: int
    until_ms: int
    reason: Literal["cooldown", "limit", "provider"]


class AskFollowUp(Command, frozen=True, kw_only=True):
    """Ask a person. Answer: `FollowUpGiven` (or `HumanVerdictGiven`, `StopRequested`)."""

    question: str


class EndRun(Command, frozen=True, kw_only=True):
    """The run is over: say so, with `detail`, and end."""

    state: Literal["completed", "failed", "stopped"]
    detail: str


class Announce(Command, frozen=True, kw_only=True):
    """Tell the people who follow the run. `resume_hint`: also how this run is resumed by hand."""

    text: str
    error: bool = False
    resume_hint: bool = False
