"""Hooks: commands of the user before and after a turn, checks, a review round, and the end. Pure.

A hook is a job. It is journalled when it has ended, and then never runs again. One that a kill, a pause or a stop
breaks off runs again from its start: at least once.

- Before a turn or checks: their job is out only when the hook has ended. Each attempt of a turn has its hook.
- After a turn or checks: their answer waits for the hook, and is then handled as if it came now. A turn that waits for
  its provider is not over, and a turn that we interrupted has no hook.
- Before and after a review round, and before and after the approved work is published: steps of their own.

Exit status 2 holds the run, with the hook's words as the cause. The hook runs again when the run is resumed. Any other
fault is a warning, and the run continues.
"""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from actors.machines.run import joblist, review, steps, waits
from actors.machines.run.jobs.base import Event, Job
from actors.machines.run.jobs.checks import ChecksEnded, ChecksJob
from actors.machines.run.jobs.hook import HookEnded, HookFacts, HookJob
from actors.machines.run.jobs.turn import TurnJob, TurnSettled, agent_label
from actors.machines.run.state import Hold, Phase, RunState

STOPS = 2  # the exit status that holds the run
RULE = "hook"  # the name of the rule, `Hold.by`
_MOST_LINES = 3
_MOST_WORDS = 500


def look(before: RunState, after: RunState) -> RunState:
    """The state in which no turn and no checks start whose hook has not ended."""
    if after.settings is None or not after.run.hooks:
        return after
    out = {job.id for job in before.jobs if job.issued}
    for job in after.jobs:
        moment = _moment_before(job)
        if not (moment in after.run.hooks and job.issued and job.id not in out):
            continue
        label = f"{moment} {job.id}"
        if label not in after.past:
            rest = tuple(other for other in after.jobs if other is not job)
            hook = HookJob(label=label, moment=moment, facts=_facts_of(after, job), then=job)
            after = joblist.add(replace(after, jobs=rest), hook)
    return after


def _moment_before(job: Job) -> str:
    if isinstance(job, TurnJob):
        return "" if job.cut else "before_turn"
    return "before_check" if isinstance(job, ChecksJob) else ""


def waits_for(state: RunState, event: Event) -> RunState | None:
    """The state in which this answer waits for its hook; None: there is none."""
    if state.settings is None or not state.run.hooks or state.phase is Phase.CLEARING:
        return None
    match event:
        case TurnSettled() if "after_turn" in state.run.hooks:
            state, turn = joblist.take(state, event.turn_id, TurnJob)
            if turn.cut or waits.concerns(event.outcome):
                return None
            facts = replace(_facts_of(state, turn), outcome=event.outcome.status, error=event.outcome.error)
            return _behind(state, "after_turn", turn, event, facts)
        case ChecksEnded() if "after_check" in state.run.hooks:
            state, checks = joblist.take(state, event.checks_id, ChecksJob)
            passed = len(event.results) == len(state.run.checks) and not any(each.exit_code for each in event.results)
            facts = HookFacts(outcome="passed" if passed else "failed", checks=event.results)
            return _behind(state, "after_check", checks, event, facts)
        case _:
            return None


def _behind(state: RunState, moment: str, job: Job, event: Event, facts: HookFacts) -> RunState:
    hook = HookJob(label=f"{moment} {job.id}", moment=moment, facts=facts, waiting=event, answered=job)
    return joblist.add(state, hook)


def _facts_of(state: RunState, job: Job) -> HookFacts:
    if not isinstance(job, TurnJob):
        return HookFacts()
    return HookFacts(
        role=job.role,
        agent=agent_label(state.run, job.role),
        purpose=job.purpose,
        model=job.model,
        turn=job.id,
        prompt_sha256=hashlib.sha256(job.prompt.encode("utf-8", "surrogatepass")).hexdigest(),
    )


def ended(state: RunState, event: HookEnded) -> RunState:
    """What follows the hook; or the run is held, with its words."""
    state, job = joblist.take(state, event.hook_id, HookJob)
    if event.exit_code == STOPS and not event.error:
        why = f"the hook {job.moment} stops the run: {_last_words(event) or 'exit status 2'}"
        return joblist.add(steps.hold_back(state, Hold(kind="pause", by=RULE, why=why)), job)
    if event.exit_code:
        what = event.error or f"exit status {event.exit_code}"
        words = _last_words(event)
        state = steps.say(state, f"hook {job.moment}: {what}{words and f': {words}'}", error=True)
    if job.then is not None:
        return replace(state, jobs=(*state.jobs, replace(job.then, issued=state.hold is None)))
    if job.waiting is not None and job.answered is not None:
        return replace(state, jobs=(*state.jobs, job.answered), answer=job.waiting)
    match job.moment:
        case "before_review":
            return review.ask_reviewers(state)
        case "after_review":
            return review.round_ended(state)
        case "before_done":
            return steps.publish_now(state)
        case _:
            return steps.completed(state, job.detail)


def _last_words(event: HookEnded) -> str:
    lines = [" ".join(line.split()) for line in event.words.splitlines() if line.strip()]
    return "; ".join(lines[-_MOST_LINES:])[-_MOST_WORDS:]
