"""One run of the loop: plan, plan review, iterations, done, checks, review, pull request. Pure.

    decide(state, event, now_ms) -> (state, commands)     outstanding(state, now_ms) -> commands

How the driver (actors/run.py) uses it:

1. It calls `decide` *before* it journals the event: `decide` is pure, and an illegal event raises `IllegalEventError`
   and must not get into the journal. Then it journals the event, then it carries the commands out.
2. After a crash it folds the journalled events with `fold` and carries out `outstanding`: the same commands with the
   same ids. When a new root has opened the run, it journals `RunResumed` first; the commands of that one event are
   contained in `outstanding`.
3. Each command that awaits an answer carries an id, and its answer names it. An answer that comes twice, or after its
   question was withdrawn, is ignored. An answer to a question that was never asked is illegal.

The state does not depend on `now_ms`: only the commands do (`StartCooldown.ms`). So a fold gives the same state at any
time. After a crash a cool-down restarts; a wait for a provider ends at the journalled time.

What waits for an answer is a *job* of the state. A job is issued (its command is out) or held (paused, stopped, failed:
its command goes out when the run resumes). `jobs` has a file for each kind. `table.TRANSITIONS` lists which event moves
which phase where. A hold is a second, small machine beside it: transitions continue as usual, only their jobs are held.
The user holds a run, or a rule that finds that it cannot continue by itself: `gates`.

Inside: events, commands, state and each kind of job are data. joblist has the operations on jobs. steps put the run
into a phase, if the gates allow it. answers, review, trees, waits and user_requests interpret events. table ties them
together.
"""

from actors.machines.run.budgets import is_used_up, left_usd, next_tick_ms, usage_seen
from actors.machines.run.budgets import matters as usage_matters
from actors.machines.run.commands import EndRun, GrantTurn, Notice
from actors.machines.run.events import (
    EVENTS,
    AgentPlaced,
    ContactChanged,
    FindingWaived,
    MailReachedWorker,
    PauseRequested,
    ResumeRequested,
    ReviewRequested,
    RunResumed,
    RunStarted,
    StopRequested,
    TimePassed,
    TurnWanted,
    UsageGrew,
    UsageSeen,
    VerdictSubmitted,
)
from actors.machines.run.gates import MAX_FAILURES_IN_A_ROW
from actors.machines.run.grants import are_needed as grants_are_needed
from actors.machines.run.grants import of as grants_of
from actors.machines.run.jobs import job_id
from actors.machines.run.jobs.base import Command, Event
from actors.machines.run.jobs.checks import CheckResult, ChecksEnded, InterruptChecks, RunChecks
from actors.machines.run.jobs.hook import HookEnded, HookFacts, InterruptHook, RunHook
from actors.machines.run.jobs.plan import PlanRead, ReadPlan
from actors.machines.run.jobs.pull_request import (
    Missing,
    ProbePullRequest,
    PullRequest,
    PullRequestProbed,
    PullRequestStatus,
)
from actors.machines.run.jobs.question import AskQuestion, QuestionAnswered
from actors.machines.run.jobs.tree import Keep, TakeTree, Tree, TreeTaken, Whereabouts
from actors.machines.run.jobs.turn import InterruptTurn, StartTurn, TurnSettled, agent_label
from actors.machines.run.jobs.wait import CooldownEnded, StartCooldown
from actors.machines.run.machine import decide, fold, initial, outstanding
from actors.machines.run.state import (
    FINAL_PHASES,
    LIVE_PHASES,
    PLANNING_PHASES,
    Hold,
    Phase,
    RunState,
    describe,
    place,
    trouble,
    waits_for_tree_alone,
)
from actors.machines.run.table import TRANSITIONS, Rule

__all__ = [
    "EVENTS",
    "FINAL_PHASES",
    "LIVE_PHASES",
    "MAX_FAILURES_IN_A_ROW",
    "PLANNING_PHASES",
    "TRANSITIONS",
    "AgentPlaced",
    "AskQuestion",
    "CheckResult",
    "ChecksEnded",
    "Command",
    "ContactChanged",
    "CooldownEnded",
    "EndRun",
    "Event",
    "FindingWaived",
    "GrantTurn",
    "Hold",
    "HookEnded",
    "HookFacts",
    "InterruptChecks",
    "InterruptHook",
    "InterruptTurn",
    "Keep",
    "MailReachedWorker",
    "Missing",
    "Notice",
    "PauseRequested",
    "Phase",
    "PlanRead",
    "ProbePullRequest",
    "PullRequest",
    "PullRequestProbed",
    "PullRequestStatus",
    "QuestionAnswered",
    "ReadPlan",
    "ResumeRequested",
    "ReviewRequested",
    "Rule",
    "RunChecks",
    "RunHook",
    "RunResumed",
    "RunStarted",
    "RunState",
    "StartCooldown",
    "StartTurn",
    "StopRequested",
    "TakeTree",
    "TimePassed",
    "Tree",
    "TreeTaken",
    "TurnSettled",
    "TurnWanted",
    "UsageGrew",
    "UsageSeen",
    "VerdictSubmitted",
    "Whereabouts",
    "agent_label",
    "decide",
    "describe",
    "fold",
    "grants_are_needed",
    "grants_of",
    "initial",
    "is_used_up",
    "job_id",
    "left_usd",
    "next_tick_ms",
    "outstanding",
    "place",
    "trouble",
    "usage_matters",
    "usage_seen",
    "waits_for_tree_alone",
]
