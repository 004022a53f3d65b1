"""Interprets the answers to a run's commands: settled turns, the plan, the checks, ended waits. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from actors.machines import prompts
from actors.machines.prompts import Note
from actors.machines.run import budgets, joblist, ledger, progress, proof, review, steps, trees, waits
from actors.machines.run.events import RunStarted
from actors.machines.run.jobs.checks import CheckResult, ChecksEnded, ChecksJob
from actors.machines.run.jobs.plan import PlanJob, PlanRead
from actors.machines.run.jobs.pull_request import PullRequestJob, PullRequestProbed, PullRequestStatus
from actors.machines.run.jobs.turn import TurnJob, TurnSettled, agent_label
from actors.machines.run.jobs.wait import CooldownEnded, WaitJob
from actors.machines.run.state import Hold, Phase, RunState, trouble
from actors.machines.verdict import says_done
from actors.messages import TurnOutcome

MOST_LAST_WORDS = 200  # characters of what a check printed last, for the user

AfterTurn: TypeAlias = Callable[[RunState, TurnJob, TurnOutcome], RunState]


def when_settled(then: AfterTurn) -> Callable[[RunState, TurnSettled], RunState]:
    """The handler of `TurnSettled` in a phase: a turn that we interrupted, or a limit ended, is not an outcome of the
    phase.
    """

    def handler(state: RunState, event: TurnSettled) -> RunState:
        state, job = joblist.take(state, event.turn_id, TurnJob)
        # An interrupted agent may report any status but finished.
        if job.cut and event.outcome.status != "finished":
            if state.overruled is not None:
                return review.overrule_when_free(state)
            return joblist.again(state, job, resumes=job.cut)
        if event.outcome.cause == "budget":
            return budget_met(state, job, event.outcome)
        if waits.concerns(event.outcome) or waits.reviewer_failed(state, job, event.outcome):
            return waits.settled(state, job, event)
        return then(state, job, event.outcome)

    handler.__name__ = f"when_settled_{then.__name__}"
    return handler


def budget_met(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    """The agent has used up the money that was handed to it: the user is asked, also where our own count is lower."""
    hold = Hold(kind="ask", by=budgets.NAME, why=trouble(state, job, outcome), ask=budgets.ASK)
    return joblist.again(steps.ask(state, hold), job, resumes=budgets.CUT)


def left_behind(state: RunState, event: TurnSettled) -> RunState:
    """Ignores how the turn of the old task ended."""
    state, _ = joblist.take(state, event.turn_id, TurnJob)
    return steps.begin_when_free(state)


def started(state: RunState, event: RunStarted) -> RunState:
    """The first step of a run."""
    return steps.begin(replace(state, settings=event.settings))


def plan_settled(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    """Without a plan the run cannot continue: a failed turn is an error."""
    if outcome.status != "finished":
        return steps.fail(joblist.again(state, job), trouble(state, job, outcome))
    kept = state.plan_asks > 0 and says_done(outcome.text, prompts.KEEP_PLAN)
    return steps.read_plan(replace(state, plan_kept=kept), Phase.READING_PLAN)


def plan_review_settled(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    """The reviewer may have changed PLAN.md, so it is read again."""
    if outcome.status != "finished":
        return steps.fail(joblist.again(state, job), trouble(state, job, outcome))
    return steps.read_plan(state, Phase.READING_REVIEWED_PLAN)


def plan_read(state: RunState, event: PlanRead) -> RunState:
    """PLAN.md becomes the task, once it is reviewed. A PLAN.md that this planning has not written does not count.

    Without a plan the primary agent is asked once more, with the reason; a second failure is an error.
    """
    state, job = joblist.take(state, event.read_id, PlanJob)
    if job.ahead:
        return steps.plan(replace(state, plan_before=event.digest))
    if why := _no_plan(state, event):
        if state.run.asks_again and state.plan_asks == 0:
            state = steps.say(state, f"there is no plan: {why}; it is asked for once more")
            return steps.plan(replace(state, plan_asks=1), refused=why)
        return steps.fail(steps.plan(replace(state, plan_asks=0)), f"planning left no plan: {why}")
    reviewer = state.run.plan_reviewer
    if state.is_swapped and reviewer is not None and state.phase is Phase.READING_PLAN:
        state, reviewer = steps.say(state, "the plan is not reviewed: its author has no peer at the moment"), None
    if state.phase is Phase.READING_PLAN and reviewer is not None:
        state = replace(state, phase=Phase.PLAN_REVIEW)
        prompt = prompts.plan_review(state.run.task, template=state.run.prompts.get("plan_review", ""))
        return steps.turn(state, "plan-review", reviewer, "plan-review", prompt)
    planned = state.run.asks_again
    return steps.start_iteration(replace(state, task=(event.text or "").strip(), planned=planned))


def _no_plan(state: RunState, event: PlanRead) -> str:
    """Why the file is not a plan of this task; "" when it is one."""
    if event.text is None or not event.text.strip():
        return event.error or ("PLAN.md is empty" if event.text is not None else "there is no PLAN.md")
    was_there = event.digest and event.digest == state.plan_before and state.phase is Phase.READING_PLAN
    if was_there and not state.plan_kept:
        return "PLAN.md was there before, and the planning did not change it"
    return ""


def work_settled(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    """Done or not done? Only a finished turn can say so."""
    if job.purpose == "diagnosis":
        return _diagnosed(state, job, outcome)
    if outcome.status != "finished":
        return _work_failed(state, job, outcome)
    # The agent had these notes; later ones are still to be sent.
    state = ledger.take_work(replace(state, failures=0, notes=state.notes[state.notes_sent :]), outcome.text)
    if not (state.review_wanted or says_done(outcome.text, state.run.done_signal)):
        return steps.iteration_over(state)
    if state.notes:
        state = steps.say(state, "no review yet: there are notes that the agent has not seen, and they come first")
        return steps.iteration_over(state)
    return review.after_checks(state)


def _diagnosed(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    """The iteration that was due follows, with the diagnosis."""
    label = agent_label(state.run, job.role)
    text = outcome.text.strip() if outcome.status == "finished" else ""
    told = f"{label}'s diagnosis: {text}" if text else f"no diagnosis: {trouble(state, job, outcome)}"
    return steps.start_iteration(progress.diagnosed(steps.say(state, told, error=not text), outcome))


def _work_failed(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    """Keeps notes for the next iteration. A user's interruption is not a failure, but it uses up the iteration."""
    state = replace(state, failures=state.failures + (outcome.status == "failed"))
    what = trouble(state, job, outcome)
    if outcome.cause == "overdue":
        text = f"{outcome.error}. Look at what is there, and go in smaller steps: a turn may not take longer."
        state = steps.add_note(state, Note(kind="overdue", source="loop", text=text))
    return steps.iteration_over(steps.say(state, what, error=True, resume_hint=True), what)


def cooldown_over(state: RunState, event: CooldownEnded) -> RunState:
    """The next iteration."""
    state, _ = joblist.take(state, event.wait_id, WaitJob)
    return steps.start_iteration(state)


def checks_ended(state: RunState, event: ChecksEnded) -> RunState:
    """All passed: starts the review. Otherwise the next iteration works on their output."""
    state, _ = joblist.take(state, event.checks_id, ChecksJob)
    state = proof.checked(state, event)
    state = progress.checked(state, event.results)
    if [result.command for result in event.results if result.exit_code == 0] == list(state.run.checks):
        return steps.take_tree(state, "checked") if state.run.binds_to_tree else review.start(state)
    failed = [result for result in event.results if result.exit_code != 0]
    ends = [f"`{each.command}` {each.error or f'exited with {each.exit_code}'}" for each in failed]
    texts = [f"{end}:\n{each.output_tail.strip()}{_whole(each)}" for end, each in zip(ends, failed, strict=True)]
    text = "\n\n".join(texts) or "not all of the check commands were run"
    state = steps.say(state, f"checks failed: {', '.join(map(_how, failed)) or text}", error=True)
    return steps.next_iteration(steps.add_note(state, Note(kind="checks", source="checks", text=text)))


def _how(result: CheckResult) -> str:
    """For the user: how the check ended, the last line that it printed, and where all of it is."""
    last = next((row.strip() for row in reversed(result.output_tail.splitlines()) if row.strip()), "")
    how = result.error or f"exited with {result.exit_code}"
    said = f", its last words: {last[:MOST_LAST_WORDS]}" if last else ""
    return f"{result.command} {how}{said}{f' ({result.output})' if result.output else ''}"


def _whole(result: CheckResult) -> str:
    return f"\n(all of its output: {result.output})" if result.output else ""


def pull_request_settled(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    """The approved work is `completed` either way: the user can open a pull request by hand.

    The agent's report does not count: even a failed turn may have opened a pull request.
    """
    if state.run.binds_to_tree:
        what = "" if outcome.status == "finished" else trouble(state, job, outcome)
        if what:
            state = steps.say(state, what, error=True, resume_hint=True)
        return steps.take_tree(state, "published", what)
    if state.run.looks_for_pull_request:
        if outcome.status != "finished":
            state = steps.say(state, trouble(state, job, outcome), error=True, resume_hint=True)
        return steps.look_for_pull_request(state)
    if outcome.status == "finished":
        return steps.complete(state, steps.approved(state))
    what = trouble(state, job, outcome)
    state = steps.say(state, what, error=True, resume_hint=True)
    return steps.complete(state, f"{steps.approved(state)}, but there may be no pull request; {what}")


def pull_request_looked_for(state: RunState, event: PullRequestProbed) -> RunState:
    """Before the agent's turn: decides the prompt. After it: reports the result, and ends the run either way."""
    state, job = joblist.take(state, event.look_id, PullRequestJob)
    status = event.status
    if job.ahead and status.lacks != "repository":
        if status.lacks and status.reason:
            state = steps.say(state, f"there will be no pull request: {status.reason}")
        return steps.ask_for_pull_request(state, status.lacks)
    return steps.complete(
        replace(state, pull_request=status.found), f"{steps.approved(state)}, {_seen(status)}{trees.shown(state)}"
    )


def _seen(status: PullRequestStatus) -> str:
    found = status.found
    if found is None:
        what = "but whether there is a pull request is not known" if status.lacks == "answer" else "no pull request"
        return f"{what}: {status.reason}"
    if found.state != "OPEN":
        return f"but the pull request of {found.branch} is {found.state.lower()}: {found.url}"
    return f"draft pull request {found.url}" if found.is_draft else f"pull request {found.url}, which is not a draft"
