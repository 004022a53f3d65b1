"""The table of a run: phase -> event -> handler and the phases that it can lead to. Pure data.

scripts/draw_machines.py draws the diagram in docs/architecture.md from it. The table lacks the transitions that no
event names (machine.py). Once nothing runs, a stop leads from every live phase to STOPPED. A run that cannot continue
by itself, and has no user to ask, goes to FAILED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from actors.machines.run import answers, budgets, grants, hooks, ledger, review, spending, trees, user_requests, waits
from actors.machines.run.events import (
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
from actors.machines.run.jobs.base import Event
from actors.machines.run.jobs.checks import ChecksEnded
from actors.machines.run.jobs.hook import HookEnded
from actors.machines.run.jobs.plan import PlanRead
from actors.machines.run.jobs.pull_request import PullRequestProbed
from actors.machines.run.jobs.question import QuestionAnswered
from actors.machines.run.jobs.tree import TreeTaken
from actors.machines.run.jobs.turn import TurnSettled
from actors.machines.run.jobs.wait import CooldownEnded
from actors.machines.run.state import LIVE_PHASES, Phase, RunState


class Rule(NamedTuple):
    """The event's handler, and every phase that it can lead to."""

    handler: Callable[..., RunState]
    to: frozenset[Phase]


def _rule(handler: Callable[..., RunState], *to: Phase) -> Rule:
    return Rule(handler, frozenset(to))


_P = Phase
_AFTER_AN_ITERATION = (_P.COOLDOWN, _P.WORKING, _P.FOLLOW_UP, _P.STOPPED)  # WORKING: no cool-down is wanted
_AFTER_HOOKS: Mapping[Phase, tuple[Phase, ...]] = {
    _P.REVIEWING: (_P.PULL_REQUEST, *_AFTER_AN_ITERATION),
    _P.PULL_REQUEST: (_P.COMPLETED, _P.AWAITING_TASK),
}
_WHERE_IT_WAS = sorted(LIVE_PHASES - {_P.CLEARING}, key=lambda phase: phase.value)
_FIRST_STEPS = (_P.PLANNING, _P.WORKING, _P.AWAITING_TASK)  # of a task, if there is one


def _final(phase: Phase, *to: Phase) -> dict[type[Event], Rule]:
    """The events of a finished run: a message's turn may end after it."""
    return {RunResumed: _rule(user_requests.resumed, *to), **_spending(phase)}


def _spending(phase: Phase) -> dict[type[Event], Rule]:
    return {
        UsageGrew: _rule(spending.usage_grew, phase),
        UsageSeen: _rule(budgets.usage_seen, phase),
        TurnWanted: _rule(grants.wanted, phase),
        TimePassed: _rule(spending.time_passed, phase),
    }


def _live(phase: Phase, rows: dict[type[Event], Rule]) -> dict[type[Event], Rule]:
    """The phase's own rows, and the rows of all live phases."""
    return {
        **rows,
        PauseRequested: _rule(user_requests.pause, phase),
        ResumeRequested: _rule(user_requests.resume, phase),
        StopRequested: _rule(user_requests.stop, phase),
        RunResumed: _rule(user_requests.resumed, phase, _P.CLEARING, *_AFTER_AN_ITERATION, *_FIRST_STEPS),
        MailReachedWorker: _rule(user_requests.mail_reached_worker, phase),
        ContactChanged: _rule(user_requests.contact_changed, phase),
        AgentPlaced: _rule(user_requests.agent_placed, phase),
        HookEnded: _rule(hooks.ended, phase, *_AFTER_HOOKS.get(phase, ())),
        FindingWaived: _rule(ledger.waive, phase),
        **_spending(phase),
    }


TRANSITIONS: Mapping[Phase, Mapping[type[Event], Rule]] = {
    _P.NEW: {RunStarted: _rule(answers.started, *_FIRST_STEPS)},
    _P.AWAITING_TASK: {
        **_live(_P.AWAITING_TASK, {QuestionAnswered: _rule(user_requests.task_given, _P.AWAITING_TASK, _P.PLANNING)}),
        StopRequested: _rule(user_requests.stop_waiting, _P.AWAITING_TASK, _P.COMPLETED),
    },
    _P.PLANNING: _live(
        _P.PLANNING,
        {
            PlanRead: _rule(answers.plan_read, _P.PLANNING),
            TurnSettled: _rule(answers.when_settled(answers.plan_settled), _P.READING_PLAN, _P.PLANNING, _P.FAILED),
            CooldownEnded: _rule(waits.over, _P.PLANNING),
            TreeTaken: _rule(trees.taken, _P.PLANNING),
        },
    ),
    _P.READING_PLAN: _live(
        _P.READING_PLAN,
        {PlanRead: _rule(answers.plan_read, _P.PLAN_REVIEW, _P.PLANNING, _P.WORKING, _P.FAILED)},
    ),
    _P.PLAN_REVIEW: _live(
        _P.PLAN_REVIEW,
        {
            TurnSettled: _rule(
                answers.when_settled(answers.plan_review_settled), _P.READING_REVIEWED_PLAN, _P.PLAN_REVIEW, _P.FAILED
            ),
            CooldownEnded: _rule(waits.over, _P.PLAN_REVIEW),
        },
    ),
    _P.READING_REVIEWED_PLAN: _live(
        _P.READING_REVIEWED_PLAN,
        {PlanRead: _rule(answers.plan_read, _P.PLANNING, _P.WORKING, _P.FAILED)},
    ),
    _P.COOLDOWN: _live(
        _P.COOLDOWN,
        {
            CooldownEnded: _rule(answers.cooldown_over, _P.WORKING, _P.FOLLOW_UP, _P.STOPPED),
            VerdictSubmitted: _rule(user_requests.human_verdict_in_cooldown, _P.PULL_REQUEST, _P.COOLDOWN),
            ReviewRequested: _rule(user_requests.review_while_waiting, _P.CHECKING, _P.REVIEWING, _P.PULL_REQUEST),
        },
    ),
    _P.WORKING: _live(
        _P.WORKING,
        {
            TurnSettled: _rule(
                answers.when_settled(answers.work_settled),
                _P.CHECKING,
                _P.REVIEWING,
                _P.PULL_REQUEST,
                _P.FAILED,
                *_AFTER_AN_ITERATION,
            ),
            TreeTaken: _rule(trees.taken, *_AFTER_AN_ITERATION),
            CooldownEnded: _rule(waits.over, _P.WORKING),
            VerdictSubmitted: _rule(user_requests.human_verdict_on_work, _P.WORKING),
            ReviewRequested: _rule(user_requests.review_of_work, _P.WORKING),
        },
    ),
    _P.CHECKING: _live(
        _P.CHECKING,
        {
            TreeTaken: _rule(trees.taken, _P.CHECKING, _P.REVIEWING, _P.PULL_REQUEST, *_AFTER_AN_ITERATION),
            ChecksEnded: _rule(answers.checks_ended, _P.CHECKING, _P.REVIEWING, _P.PULL_REQUEST, *_AFTER_AN_ITERATION),
            VerdictSubmitted: _rule(review.human_verdict_on_checks, _P.PULL_REQUEST, *_AFTER_AN_ITERATION),
        },
    ),
    _P.REVIEWING: _live(
        _P.REVIEWING,
        {
            TurnSettled: _rule(
                answers.when_settled(review.settled), _P.PULL_REQUEST, _P.REVIEWING, *_AFTER_AN_ITERATION
            ),
            TreeTaken: _rule(trees.taken, _P.PULL_REQUEST, _P.CHECKING, _P.REVIEWING, *_AFTER_AN_ITERATION),
            CooldownEnded: _rule(waits.over, _P.REVIEWING),
            VerdictSubmitted: _rule(
                review.human_verdict_on_review, _P.PULL_REQUEST, _P.REVIEWING, *_AFTER_AN_ITERATION
            ),
        },
    ),
    _P.FOLLOW_UP: _live(
        _P.FOLLOW_UP,
        {
            QuestionAnswered: _rule(user_requests.follow_up, _P.WORKING, _P.STOPPED),
            VerdictSubmitted: _rule(
                user_requests.human_verdict_as_follow_up, _P.PULL_REQUEST, _P.WORKING, _P.FOLLOW_UP
            ),
            ReviewRequested: _rule(user_requests.review_while_waiting, _P.CHECKING, _P.REVIEWING, _P.PULL_REQUEST),
        },
    ),
    _P.PULL_REQUEST: _live(
        _P.PULL_REQUEST,
        {
            TurnSettled: _rule(
                answers.when_settled(answers.pull_request_settled), _P.COMPLETED, _P.AWAITING_TASK, _P.PULL_REQUEST
            ),
            TreeTaken: _rule(
                trees.taken,
                *(_P.PULL_REQUEST, _P.COMPLETED, _P.AWAITING_TASK, _P.CHECKING, _P.REVIEWING, *_AFTER_AN_ITERATION),
            ),
            CooldownEnded: _rule(waits.over, _P.PULL_REQUEST),
            PullRequestProbed: _rule(answers.pull_request_looked_for, _P.COMPLETED, _P.AWAITING_TASK, _P.PULL_REQUEST),
        },
    ),
    _P.CLEARING: _live(
        _P.CLEARING,
        {TurnSettled: _rule(answers.left_behind, _P.CLEARING, *_FIRST_STEPS)},
    ),
    _P.COMPLETED: _final(_P.COMPLETED, _P.COMPLETED, *_FIRST_STEPS),
    _P.FAILED: _final(_P.FAILED, *_WHERE_IT_WAS),
    _P.STOPPED: _final(_P.STOPPED, _P.STOPPED, *_WHERE_IT_WAS),  # STOPPED: the gate holds it again
}
