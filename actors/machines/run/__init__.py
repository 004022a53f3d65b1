"""One run of the loop: plan, plan review, iterations, done, checks, review, pull request. Pure.

    decide(state, event, now_ms) -> (state, commands)     outstanding(state, now_ms) -> commands

How the driver (actors/worker.py) uses it:

1. It calls `decide` *before* it journals the event: `decide` is pure, and an illegal event raises `IllegalEventError`
   and must not get into the journal. Then it journals the event, then it carries the commands out.
2. After a crash it folds the journalled events with `fold` and carries out `outstanding`: the same commands with the
   same ids. When a new root has opened the run, it journals `RunResumed` first; the commands of that one event are
   contained in `outstanding`.
3. Each command that awaits an answer carries an id, and its answer names it. An answer may come twice, or late, after
   its question was withdrawn: it is ignored. An answer to something that was never asked is illegal.

The state does not depend on `now_ms`: only the commands do (`StartCooldown.ms`). So a fold gives the same state
whenever it is done. After a crash a cool-down begins again; a wait for a provider ends when the journal says.

What waits for an answer is a *job* of the state. A job is issued (its command is out) or held (paused, stopped,
failed: its command goes out when the run goes on). `table.TRANSITIONS` says which event moves which phase where; a
hold (pause or stop) is a second, small machine beside it: transitions go on as ever, their jobs are merely held.

Inside: events, commands and state are data; jobs are what awaits an answer; steps put the run into a phase; answers,
review, waits and people say what an event means; table ties them together.
"""

from actors.machines.run.answers import MAX_FAILURES_IN_A_ROW
from actors.machines.run.commands import (
    Announce,
    AskFollowUp,
    BreakOffChecks,
    BreakOffTurn,
    Command,
    EndRun,
    LookForPullRequest,
    ReadPlan,
    RunChecks,
    StartCooldown,
    StartTurn,
    TakeTree,
)
from actors.machines.run.events import (
    EVENTS,
    CheckResult,
    ChecksEnded,
    CooldownEnded,
    Event,
    FollowUpGiven,
    HumanVerdictGiven,
    Lack,
    MailReachedWorker,
    PauseRequested,
    PlanRead,
    PullRequest,
    PullRequestLookedFor,
    ResumeRequested,
    ReviewRequested,
    RunResumed,
    RunStarted,
    Sight,
    StopRequested,
    Tree,
    TreeTaken,
    TurnSettled,
)
from actors.machines.run.machine import (
    decide,
    fold,
    initial,
    outstanding,
)
from actors.machines.run.state import (
    FINAL_PHASES,
    LIVE_PHASES,
    PLANNING_PHASES,
    Hold,
    Phase,
    RunState,
    agent_label,
    describe,
    place,
    trouble,
    waits_for_tree_alone,
)
from actors.machines.run.table import (
    TRANSITIONS,
    Rule,
)

__all__ = [
    "EVENTS",
    "FINAL_PHASES",
    "LIVE_PHASES",
    "MAX_FAILURES_IN_A_ROW",
    "PLANNING_PHASES",
    "TRANSITIONS",
    "Announce",
    "AskFollowUp",
    "BreakOffChecks",
    "BreakOffTurn",
    "CheckResult",
    "ChecksEnded",
    "Command",
    "CooldownEnded",
    "EndRun",
    "Event",
    "FollowUpGiven",
    "Hold",
    "HumanVerdictGiven",
    "Lack",
    "LookForPullRequest",
    "MailReachedWorker",
    "PauseRequested",
    "Phase",
    "PlanRead",
    "PullRequest",
    "PullRequestLookedFor",
    "ReadPlan",
    "ResumeRequested",
    "ReviewRequested",
    "Rule",
    "RunChecks",
    "RunResumed",
    "RunStarted",
    "RunState",
    "Sight",
    "StartCooldown",
    "StartTurn",
    "StopRequested",
    "TakeTree",
    "Tree",
    "TreeTaken",
    "TurnSettled",
    "agent_label",
    "decide",
    "describe",
    "fold",
    "initial",
    "outstanding",
    "place",
    "trouble",
    "waits_for_tree_alone",
]
