"""What one run was asked to do. Pure; made by the command line, journalled with the first event, never changed."""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["worker", "reviewer"]  # the two session owners; agent names are data, never compared as literals


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that the run machine needs to know. Texts are final: files have been read, defaults filled in.

    Roles, not names: `reviewers` says which session owners review when the worker says that it is done.
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
    check_timeout_s: int = 0  # of each check; 0 = the usual one
    done_signal: str = "<promise>DONE</promise>"
    max_iterations: int = 20
    cooldown_ms: int = 30_000
    worker_model: str = ""  # "" = the agent's own default
    worker_review_model: str = ""  # "" = worker_model
    reviewer_model: str = ""  # "" = the agent's own default
    interactive: bool = False  # a human can be asked for a follow-up
    open_ended: bool = False  # after a task that is completed a person may give the next; begun without, `task` is ""
    raw_output: bool = False  # --format raw
    max_wait_ms: int | None = None  # how long one turn may wait for its provider; None: as long as it takes
    retry_ms: int = 5_000  # the first wait for a provider that does not answer; it doubles
    given: tuple[str, ...] = ()  # the names of those above that were typed, also with the value that is their default
    asks_again: bool = False  # for a plan that was not written, and for a verdict that breaks the form; once
    binds_to_tree: bool = False  # checks and verdicts count for the tree that they saw; false in older journals
    looks_for_pull_request: bool = False  # false in older journals, which must still come to what they came to then


def display_names(worker: str, reviewer: str) -> dict[Role, str]:
    """What people, and the agents themselves, call the two: their names, told apart when they are the same."""
    same = worker.casefold() == reviewer.casefold()
    return {"worker": worker, "reviewer": f"{reviewer}-reviewer" if same else reviewer}
