"""Turns that end through no fault of the work: at a limit, in an outage, with an agent that cannot work. Pure.

Such an end is not an outcome of the phase: it uses no iteration, and counts neither as failure nor as verdict. The same
turn resumes in the same session, after a wait:

- at a limit, until the provider's reported end; or as `limits` says;
- without a provider (`cause` transient), after a back-off from seconds to minutes, for hours;
- with an agent that cannot work (`PERMANENT`), one retry: the fault may be transient after all.

A review that ended without a verdict and without a known cause is retried once in the same way. One that took too long
is first asked for its verdict alone (`review`); a second time it counts as one of an agent that cannot work.

A silent agent is not waited for: its session has tried the turn again (actors/session/silence). Neither is one whose
session gave the turn up: new sessions are full as well (machines/turn), or nothing can change (`AgentUnusableError`).
For the others, the wait is given up when one turn has used `max_wait_ms`, or after two refusals in a row for the same
cause, unless the settings (`on_unavailable`) say to wait on. A reviewer is then left out, if they say so. Else the run
is *stuck*: other running jobs finish, and the user is asked to resume it. If the user cannot be asked, the run fails
with the cause as its last line. A resumed run continues with the same turn.

Time comes in with the event (`TurnSettled.at_ms`), so every fold computes the same end of a wait.
"""

from __future__ import annotations

from msgspec.structs import replace

from actors.machines import backoff
from actors.machines.durations import span
from actors.machines.run import joblist, limits, review, steps
from actors.machines.run.jobs.turn import TurnJob, TurnSettled, agent_label
from actors.machines.run.jobs.wait import CooldownEnded, WaitJob
from actors.machines.run.state import Hold, RunState, trouble
from actors.messages import Cause, TurnOutcome

# An attempt of this length with output had its provider: a later failure is a new outage.
HEALTHY_MS = 10 * 60_000

# None of these ends by itself. A full context is one of them only when a new session did not help (actors/session).
PERMANENT: frozenset[Cause] = frozenset({"billing", "login", "unavailable", "context", "silent"})

_AWAY = "your provider could not be reached for a while"
_BROKE = "your review ended without a verdict"
_LIMIT = "the usage limit of your provider was reached, and is over now"


def concerns(outcome: TurnOutcome) -> bool:
    """Whether the turn ended this way. A turn that took too long is an outcome of the phase."""
    return outcome.status == "limited" or (outcome.status == "failed" and outcome.cause not in {"", "overdue"})


def reviewer_failed(state: RunState, job: TurnJob, outcome: TurnOutcome) -> bool:
    """Whether a review ended without a verdict and without a known cause, or took too long a second time. In older
    journals that cost an iteration.
    """
    asked_first = outcome.cause == "overdue" and not job.asked_again
    ended = outcome.status in ("failed", "interrupted") and not asked_first
    return bool(state.run.on_unavailable) and job.purpose == "review" and ended


def settled(state: RunState, job: TurnJob, event: TurnSettled) -> RunState:
    """Waits, then resumes the turn; or gives up. Only for outcomes that it `concerns`."""
    outcome = event.outcome
    same_again = job.refused == outcome.cause and outcome.cause in PERMANENT
    refused_twice = outcome.gave_up or outcome.cause in ("silent", "overdue") or same_again
    broke_twice = job.broke and outcome.status != "limited" and not outcome.cause
    if (refused_twice or broke_twice) and state.run.on_unavailable != "wait":
        return _give_up(state, job, outcome, trouble(state, job, outcome))
    if why := limits.why_stopped(state, event):
        return _give_up(state, job, outcome, f"{trouble(state, job, outcome)}; {why}")
    if (taken_over := limits.swapped(state, job, event)) is not None:
        return taken_over
    job = _new_row_if_healthy(job, event)
    wait = _limit(state, job, event) if outcome.status == "limited" else _back_off(state, job, event)
    assert wait.then is not None, "every wait here is for a turn"
    since_ms, max_ms, until_ms = wait.then.waiting_since_ms, state.run.max_wait_ms, wait.not_before_ms
    if max_ms is not None and since_ms is not None and until_ms is not None and until_ms - since_ms > max_ms:
        waited = (
            f"it was waited for {span(event.at_ms - since_ms)}" if event.at_ms > since_ms else "it is not waited for"
        )
        why = f"{limits.reset_told(event)}{waited} (--max-wait {span(max_ms)})"
        return _give_up(state, job, outcome, f"{trouble(state, job, outcome)}; {why}")
    return joblist.add(steps.say(state, _told(state, job, event, wait)), wait)


def over(state: RunState, event: CooldownEnded) -> RunState:
    """The wait is over: resumes its turn."""
    state, wait = joblist.take(state, event.wait_id, WaitJob)
    assert wait.then is not None, "a cool-down ends only in phase COOLDOWN"
    return joblist.add(limits.forget(state, wait.then.role), replace(wait.then, cut=""))


def _limit(state: RunState, job: TurnJob, event: TurnSettled) -> WaitJob:
    """Waits for the reported end; backs off from a provider that keeps naming a time in the past."""
    resets_at_ms = event.outcome.resets_at_ms
    if state.run.trusts_resets and event.at_ms and resets_at_ms is not None and resets_at_ms > event.at_ms:
        return _limit_wait(state, job, backoff.limit_end_ms(resets_at_ms, event.at_ms, job.limits), 0)
    if resets_at_ms is None:
        at_least_ms = backoff.limit_ms(job.limits)
    else:
        at_least_ms = backoff.limit_ms(job.limits - 1) if job.limits else backoff.LIMIT_MARGIN_MS
    not_before_ms = None if resets_at_ms is None else resets_at_ms + backoff.LIMIT_MARGIN_MS
    if event.at_ms:
        not_before_ms, at_least_ms = max(not_before_ms or 0, event.at_ms + at_least_ms), 0
    return _limit_wait(state, job, not_before_ms, at_least_ms)


def _limit_wait(state: RunState, job: TurnJob, not_before_ms: int | None, at_least_ms: int) -> WaitJob:
    return WaitJob(
        label=f"{job.label}-limit",
        at_least_ms=at_least_ms,
        not_before_ms=not_before_ms,
        then=replace(
            _continued(job, not_before_ms), limits=job.limits + 1, tries=0, refused="", broke=False, resumes=_LIMIT
        ),
        what=f"the end of {agent_label(state.run, job.role)}'s limit",
    )


def _back_off(state: RunState, job: TurnJob, event: TurnSettled) -> WaitJob:
    outcome, label = event.outcome, agent_label(state.run, job.role)
    ms = backoff.retry_ms(state.run.retry_ms, job.tries, job.id)
    not_before_ms = event.at_ms + ms if event.at_ms else None
    refused: Cause = outcome.cause if outcome.cause in PERMANENT else ""
    broke = reviewer_failed(state, job, outcome) and not outcome.cause
    why = "no verdict" if broke or outcome.cause == "overdue" else "cannot work" if refused else "provider unavailable"
    # An agent that could not even be started has not seen the prompt.
    resumes = job.resumes if outcome.cause == "unavailable" else _BROKE if broke else _AWAY
    then = replace(_continued(job, not_before_ms), tries=job.tries + 1, refused=refused, broke=broke, resumes=resumes)
    if broke:  # the provider may have refused the form of the answer
        then = replace(then, typed=False)
    return WaitJob(
        label=f"{job.label}-retry",
        at_least_ms=0 if event.at_ms else ms,
        not_before_ms=not_before_ms,
        then=then,
        what=f"{label}: {why} ({_short(outcome.error)}): retry {job.tries + 1}",
    )


def _continued(job: TurnJob, asked_at_ms: int | None) -> TurnJob:
    return replace(job, continues=job.id, cut="", asked_at_ms=asked_at_ms)


def _new_row_if_healthy(job: TurnJob, event: TurnSettled) -> TurnJob:
    """Resets the row after a healthy attempt. `waiting_since_ms`: the first end of the row; `asked_at_ms`: the last
    resume.
    """
    brought = bool(event.outcome.text) or event.outcome.usage.output_tokens > 0
    if brought and job.asked_at_ms is not None and event.at_ms - job.asked_at_ms >= HEALTHY_MS:
        job = replace(job, tries=0, limits=0, waiting_since_ms=None)
    if job.waiting_since_ms is None and event.at_ms:
        job = replace(job, waiting_since_ms=event.at_ms)
    return job


def _told(state: RunState, job: TurnJob, event: TurnSettled, wait: WaitJob) -> str:
    what = trouble(state, job, event.outcome)
    if event.outcome.status == "limited" or wait.then is None:
        return what
    ms = wait.at_least_ms or (wait.not_before_ms or 0) - event.at_ms
    return f"{what}; retry {wait.then.tries} in {span(ms)}"


def _give_up(state: RunState, job: TurnJob, outcome: TurnOutcome, why: str) -> RunState:
    """Gives up waiting: the user is asked, unless the settings say what else is to be done about a reviewer."""
    policy = state.run.on_unavailable
    if policy in ("skip", "other") and job.purpose == "review":
        return review.leave_out(state, job, why, "limited" if outcome.status == "limited" else "unavailable")
    hold = Hold(kind="fail" if policy == "fail" else "pause", by="provider", why=why)
    state = steps.hold_back(state, hold)
    fresh = replace(_continued(job, None), tries=0, limits=0, refused="", broke=False, waiting_since_ms=None)
    return joblist.add(state, replace(fresh, resumes=job.resumes or _AWAY))


def _short(error: str) -> str:
    line = " ".join(error.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
