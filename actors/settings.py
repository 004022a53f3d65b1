"""What one run was asked to do. Pure; made by the command line, journalled with the first event, never changed.

`actors.setting_rows` lists the flag, key and variable of each value, and the defaults. A default here is the value of
older journals, which lack the field. A new field's default changes nothing; the command line sets it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.setting_rows.limits import COOLDOWN_MS, MAX_ITERATIONS, RETRY_MS
from actors.setting_rows.task import DONE_SIGNAL

Role = Literal["worker", "reviewer"]  # the two session owners; agent names are data, never compared as literals


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model costs, in USD per million tokens."""

    input: float
    output: float
    cached_input: float | None = None  # None: as `input`


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The run machine's settings. Texts are final: files have been read, defaults filled in.

    Roles, not names: `reviewers` lists the session owners that review when the worker reports that it is done.
    Single-agent mode is `paired=False`: the reviewer is then a second, fresh session of the same agent,
    and there is no bridge between the two.
    """

    run_uid: str  # a UUID; all turn ids are derived from it
    task: str  # the prompt as plain text, or the content of the .md file / PLAN.md
    needs_plan: bool  # plain text: PLAN.md is made first and becomes the task
    worker: str  # agent name, e.g. "codex"
    reviewer: str  # agent name, e.g. "claude"
    paired: bool = True
    reviewers: tuple[Role, ...] = ("worker", "reviewer")
    plan_reviewer: Role | None = "reviewer"  # None: the plan is not reviewed
    proof: str = ""
    checks: tuple[str, ...] = ()  # shell commands that we run ourselves after the done signal; exit 0 proves
    check_timeout_s: int = 0  # of each check; 0 = the default
    done_signal: str = DONE_SIGNAL
    max_iterations: int = MAX_ITERATIONS
    cooldown_ms: int = COOLDOWN_MS
    worker_model: str = ""  # "" = the agent's own default
    worker_review_model: str = ""  # "" = worker_model
    reviewer_model: str = ""  # "" = the agent's own default
    reviewer_work_model: str = ""  # when it takes the work over; "" = reviewer_model
    interactive: bool = False  # a human can be asked for a follow-up
    open_ended: bool = False  # after a completed task the user may give the next; started without one, `task` is ""
    max_wait_ms: int | None = None  # how long one turn may wait for its provider; None: no limit
    retry_ms: int = RETRY_MS  # the first wait for a provider that does not answer; later waits double
    at_limit: Literal["wait", "swap", "stop"] = "wait"  # what is done at a used-up window of the agent that works
    looks_at_limits: bool = False  # before a turn starts; false in older journals
    trusts_resets: bool = False  # of a second limit in a row, too; false in older journals: they wait a minute
    silence_ms: int = 0  # how long an agent may be silent in a turn; 0: without a limit
    tool_timeout_ms: int = 0  # the same while a tool runs
    turn_timeout_ms: int = 0  # how long a turn may take; 0: without a limit
    review_patience_ms: int = 0  # how long a review may take; 0: as long as any turn
    max_stalled: int = 0  # iterations in a row without progress, before the worker is asked why; 0: any number
    max_rounds: int = 0  # review rounds of a task; 0: any number
    max_cost_usd: float | None = None  # of the whole run, as the two that follow; None: no limit
    max_tokens: int | None = None
    max_time_ms: int | None = None  # in which the run works
    counts_at_start: bool = False  # an iteration that a resume has taken away does not start; false in older journals
    grants_turns: bool = False  # with a budget, each turn needs the run's word; false in older journals
    prices: dict[str, Price] = {}  # by model, or by agent for all its other models
    given: tuple[str, ...] = ()  # the fields that a resume takes: those that were typed, also with their default
    only_given: bool = False  # `given` names them all; false in older journals: there, a value that differs counts, too
    asks_again: bool = False  # for a plan that was not written, and for a verdict that breaks the form; once
    binds_to_tree: bool = False  # checks and verdicts count for the tree that they saw; false in older journals
    keeps_checkpoints: bool = False  # each iteration's tree is kept in the repository; needs `binds_to_tree`
    counts_verdicts: bool = False  # a review round without any verdict is none of `max_rounds`; false in older journals
    keeps_findings: bool = False  # what reviewers want changed has an id and a state; typed answers are asked for
    on_unavailable: str = ""  # a row of settings; "" in older journals: there, a review that failed costs an iteration
    hooks: dict[str, str] = {}  # shell commands of the user, by their moments
    hook_timeout_s: int = 0  # of each hook; 0 = the default
    prompts: dict[str, str] = {}  # the user's texts in place of built-in prompts, by name
    notify_command: str = ""  # a shell command that gets each notification; "" = none
    notify_webhook: str = ""  # an address that gets each notification; "" = none
    notify_desktop: bool = False  # the desktop shows each notification
    looks_for_pull_request: bool = False  # false in older journals, which must fold to the same state as then


def other(role: Role) -> Role:
    """The other one of the two."""
    return "reviewer" if role == "worker" else "worker"


def display_names(worker: str, reviewer: str) -> dict[Role, str]:
    """The two agents' names for users and agents; made distinct when they are equal."""
    same = worker.casefold() == reviewer.casefold()
    return {"worker": worker, "reviewer": f"{reviewer}-reviewer" if same else reviewer}
