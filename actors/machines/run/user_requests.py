"""Users' requests to a run: follow-ups, verdicts, pause, stop, resume; and the replies to unfitting ones. Pure.

Users do not know the machine's phases, so no request of a user is illegal once the run has started.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from actors.errors import IllegalEventError
from actors.machines.run import gates, joblist, progress, review, steps
from actors.machines.run.events import (
    AgentPlaced,
    ContactChanged,
    FindingWaived,
    MailReachedWorker,
    PauseRequested,
    ResumeRequested,
    ReviewRequested,
    RunResumed,
    StopRequested,
    VerdictSubmitted,
)
from actors.machines.run.jobs.base import Event
from actors.machines.run.jobs.question import QuestionAnswered
from actors.machines.run.state import FINAL_PHASES, Hold, Phase, RunState, count
from actors.settings import RunSettings

_SAID_BY_PEOPLE: Mapping[type[Event], str] = {
    QuestionAnswered: "this follow-up",
    PauseRequested: "a pause",
    ResumeRequested: "resuming",
    StopRequested: "a stop",
    VerdictSubmitted: "this verdict",
    ReviewRequested: "asking for a review",
    FindingWaived: "waiving a finding",
}


def follow_up(state: RunState, event: QuestionAnswered) -> RunState:
    """A blank follow-up stops the run; any other extends the task, and the iterations restart."""
    if not event.text.strip():
        return steps.end(state, Phase.STOPPED, "no follow-up was given", goes_on_in=Phase.FOLLOW_UP)
    state, _ = progress.answered(joblist.drop(state, *state.jobs), event.text)
    task = f"{state.task}\n\nFollow-up:\n{event.text.strip()}"
    return steps.start_iteration(replace(state, task=task, iteration=0, failures=0))


def task_given(state: RunState, event: QuestionAnswered) -> RunState:
    """The task is plain text, so it is planned first. A blank line is a mistake and is ignored."""
    task = event.text.strip()
    if not task:
        return steps.say(state, "there is no task yet: type what is to be done; stop ends the run")
    state = joblist.drop(state, *state.jobs)
    return steps.begin(replace(state, settings=replace(state.run, task=task, needs_plan=True)))


def stop_waiting(state: RunState, event: StopRequested) -> RunState:
    """Stopping after the last task counts as completed."""
    if state.tasks_done == 0:
        return stop(state, event)
    return steps.end(joblist.drop(state, *state.jobs), Phase.COMPLETED, f"{count(state.tasks_done)} completed")


def human_verdict_in_cooldown(state: RunState, event: VerdictSubmitted) -> RunState:
    """The last reviews asked for changes; the user may disagree, or add to them."""
    if event.approved:
        return steps.pull_request(joblist.drop(state, *state.jobs))
    return review.note_by_human(state, event)


def human_verdict_on_work(state: RunState, event: VerdictSubmitted) -> RunState:
    """Keeps notes for the next iteration. There is nothing to approve yet."""
    if event.approved:
        return unfitting(state, event)
    return review.note_by_human(state, event)


def human_verdict_as_follow_up(state: RunState, event: VerdictSubmitted) -> RunState:
    """The verdict answers the question too: the requested changes are the follow-up."""
    if event.approved:
        return steps.pull_request(joblist.drop(state, *state.jobs))
    if not event.notes.strip():
        return unfitting(state, event)
    return follow_up(state, QuestionAnswered(text=event.notes))


def review_of_work(state: RunState, _event: ReviewRequested) -> RunState:
    """Reviews at the end of the running turn."""
    return replace(state, review_wanted=True)


def review_while_waiting(state: RunState, _event: ReviewRequested) -> RunState:
    """Reviews immediately: no agent works."""
    return review.after_checks(joblist.drop(state, *state.jobs))


def mail_reached_worker(state: RunState, _event: MailReachedWorker) -> RunState:
    """Records that the peer's notes may have come by mail. A new review round resets it."""
    return replace(state, peer_wrote=True)


def contact_changed(state: RunState, event: ContactChanged) -> RunState:
    """The agent's later prompts mention the bridge, or do not."""
    others = tuple(role for role in state.absent if role != event.role)
    return replace(state, absent=others if event.comes else (*others, event.role))


def agent_placed(state: RunState, event: AgentPlaced) -> RunState:
    """Where the agent is, for the user and for the next root."""
    others = tuple(each for each in state.places if each[0] != event.role)
    places = tuple(sorted((*others, (event.role, event.host)))) if event.host else others
    return replace(state, places=places, relocations=state.relocations + event.moved)


def pause(state: RunState, event: PauseRequested) -> RunState:
    """Takes effect when what runs has ended; a wait is not work, so it is withdrawn immediately."""
    if state.stopping or state.paused or state.asking:
        return unfitting(state, event)
    state = replace(state, hold=state.hold or Hold(kind="pause"))
    return joblist.interrupt(state, "the run was paused") if event.now else joblist.withdraw_idle(state)


def stop(state: RunState, event: StopRequested) -> RunState:
    """Interrupts everything; takes effect when that has settled."""
    if state.stopping:
        return state
    detail = event.reason or "a stop was asked for"
    held = state.hold or Hold(kind="stop")
    state = replace(state, hold=replace(held, kind="stop", why=held.why or detail), detail=detail)
    return joblist.interrupt(state, f"the run was stopped: {detail}")


def resume(state: RunState, event: ResumeRequested) -> RunState:
    """Also cancels a pause that is not in effect yet. A stop cannot be cancelled: agents are being interrupted."""
    if state.hold is None or state.stopping:
        return unfitting(state, event)
    return joblist.release(state)


def resumed(state: RunState, event: RunResumed) -> RunState:
    """See `RunResumed`."""
    known = {"", state.run.task.strip(), state.task.strip()}
    if event.settings is not None:
        new_task = event.settings.task.strip() not in known
        state = replace(state, settings=_successor(state.run, event.settings, new_task=new_task))
        if new_task:
            state = joblist.drop(state, *(job for job in state.jobs if job not in state.open_turns))
            return steps.begin_when_free(joblist.cut(replace(state, hold=None), "the run has a new task"))
    if state.phase is Phase.COMPLETED and state.run.open_ended:
        return steps.ask_for_task(state)
    if state.phase is Phase.COMPLETED:
        return steps.say(state, "the run is completed; give it a new task to continue")
    state = _question_answered(state)
    if state.phase in FINAL_PHASES:
        assert state.goes_on_in is not None, "only a completed run has nowhere to go on"
        state = replace(state, phase=state.goes_on_in, goes_on_in=None)
    if state.phase is Phase.FOLLOW_UP:
        return _more_iterations(state)
    return joblist.release(state)


def _question_answered(state: RunState) -> RunState:
    """A resume answers a gate's open question, unless the user can be asked again."""
    asked = state.hold.by if state.hold is not None and state.hold.ask else state.asked
    if asked and not state.run.interactive:
        state, _ = gates.answered(state, asked, "")
    return replace(state, asked="", resume="")


def _successor(old: RunSettings, new: RunSettings, *, new_task: bool) -> RunSettings:
    """The resumed run's settings. `run_uid` never changes: all ids derive from it. With the old task, settings that are
    not typed again keep their values.

    `given` names the typed settings, even those with default values. A name that this version does not know is passed
    over. Configuration files do not count, so a changed file changes no run that has begun. Checks of all sources add
    up. Whether the user can be asked is always the current value.
    """
    if new_task:
        max_wait_ms = old.max_wait_ms if new.max_wait_ms is None else new.max_wait_ms
        # A budget is for the whole run.
        limits = {name: getattr(old, name) for name in _BUDGETS if name not in new.given and getattr(old, name)}
        prices = old.prices | new.prices
        return replace(new, run_uid=old.run_uid, max_wait_ms=max_wait_ms, prices=prices, **limits)
    names = new.given if new.only_given else {*new.given, *_unlike_the_default(new)}
    taken = {*names} - {*_NEVER_TAKEN}
    typed = {name: getattr(new, name) for name in RunSettings.__struct_fields__ if name in taken}
    checks = tuple(dict.fromkeys((*old.checks, *new.checks)))
    return replace(old, **typed, checks=checks, interactive=new.interactive, prices=old.prices | new.prices)


_BUDGETS = ("max_cost_usd", "max_tokens", "max_time_ms")


_NEVER_TAKEN = ("run_uid", "task", "needs_plan", "worker", "reviewer", "paired", "checks", "interactive", "given")


def _unlike_the_default(new: RunSettings) -> set[str]:
    """The settings that count as typed in journals older than `given`. This list does not grow."""
    default = RunSettings(run_uid="", task="", needs_plan=False, worker="", reviewer="")
    return {name for name in _ONCE_COMPARED if getattr(new, name) != getattr(default, name)}


_ONCE_COMPARED = (
    *("proof", "check_timeout_s", "done_signal", "max_iterations", "cooldown_ms", "reviewers", "plan_reviewer"),
    *("worker_model", "worker_review_model", "reviewer_model", "binds_to_tree", "looks_for_pull_request"),
    *("asks_again", "max_wait_ms", "retry_ms", "open_ended"),
)


def _more_iterations(state: RunState) -> RunState:
    """Resuming a run that was out of iterations grants more, if the user cannot be asked."""
    if state.iteration >= state.run.max_iterations and state.run.interactive:
        return joblist.release(state) if state.jobs else steps.out_of_iterations(state)
    if state.iteration >= state.run.max_iterations:
        state = replace(progress.answered(state, "")[0], iteration=0, failures=0)
    state = replace(joblist.drop(state, *state.jobs), hold=None)
    return steps.start_iteration(state)


def unfitting(state: RunState, event: Event) -> RunState:
    """Users' requests and mail may come at any time: that is not a bug. Any other unfitting event is."""
    if state.phase is not Phase.NEW:
        if isinstance(event, MailReachedWorker | ContactChanged | AgentPlaced):
            return state
        if type(event) in _SAID_BY_PEOPLE:
            return steps.say(state, f"{_SAID_BY_PEOPLE[type(event)]} changes nothing: the run {_situation(state)}")
    raise IllegalEventError(
        f"{type(event).__name__} is not possible in phase {state.phase.value!r}; nothing was changed"
    )


def _situation(state: RunState) -> str:
    if state.stopping:
        return "is stopping"
    if state.paused:
        return "is paused"
    if state.phase in FINAL_PHASES:
        return f"is {state.phase.value} already"
    return f"waits for {state.waits_for}"
