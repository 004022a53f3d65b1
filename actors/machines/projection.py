"""Projects a run's events to manifest.json and transcript.jsonl. Pure; used by the persistence actor.

Other tools and the original `loop` read the two files, so words and shapes are the original's. Only the details, which
are for the user, are ours. Lines for messages between agents are not made here.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from actors.hosts import HOME
from actors.machines import run
from actors.machines.run import Phase, RunState, TurnSettled
from actors.machines.run.steps import uncounted_verdicts
from actors.machines.verdict import says_done
from actors.messages import RunState as ManifestState

Line = dict[str, object]

_STATES: Mapping[Phase, ManifestState] = {
    Phase.NEW: "submitted",
    Phase.AWAITING_TASK: "input-required",
    Phase.REVIEWING: "reviewing",
    Phase.FOLLOW_UP: "input-required",
    Phase.COMPLETED: "completed",
    Phase.FAILED: "failed",
    Phase.STOPPED: "stopped",
}


def manifest_state(state: RunState) -> ManifestState:
    """The manifest's `state`. A paused run waits for the user, hence "input-required"; so does a gate that asks."""
    return "input-required" if state.paused or state.asking else _STATES.get(state.phase, "working")


def project(before: RunState, event: run.Event, after: RunState, at: str) -> list[Line]:
    """The transcript lines for one event, oldest first. `at` is its time, ISO-8601. An ignored event has none."""
    if before == replace(after, at_ms=before.at_ms) or isinstance(event, run.UsageGrew):
        return []
    return [
        {"at": at, **line}
        for line in (
            *_placed(event),
            *_claim_of_done(before, event),
            *_reviews(before, event, after),
            *_end_of_iterations(before, after),
            *_status(before, event, after),
            *_result(after),
        )
    ]


def _placed(event: run.Event) -> list[Line]:
    if not isinstance(event, run.AgentPlaced):
        return []
    line: Line = {"kind": "place", "actor": event.role, "host": event.host or HOME}
    return [{**line, "detail": event.why} if event.why else line]


def _claim_of_done(before: RunState, event: run.Event) -> list[Line]:
    if before.phase is not Phase.WORKING or not isinstance(event, TurnSettled) or event.outcome.status != "finished":
        return []
    signal = before.run.done_signal
    if not says_done(event.outcome.text, signal):
        return []
    return [{"kind": "result", "result": "done-signal-detected", "detail": signal}]


def _reviews(before: RunState, event: run.Event, after: RunState) -> list[Line]:
    lines: list[Line] = []
    left_out = uncounted_verdicts(after)
    for each in after.verdicts:
        if each not in before.verdicts and each not in left_out:
            name = run.agent_label(after.run, each.role)
            lines.append(_review(name, approved=each.verdict.approves, reason=each.verdict.reason))
    if isinstance(event, run.VerdictSubmitted):
        lines.append(_review("human", approved=event.approved, reason=event.notes.strip()))
    return lines


def _review(reviewer: str, *, approved: bool, reason: str) -> Line:
    line: Line = {"kind": "review", "reviewer": reviewer, "status": "pass" if approved else "fail"}
    return {**line, "reason": reason} if reason else line


def _end_of_iterations(before: RunState, after: RunState) -> list[Line]:
    """The line for the end of the iterations: once, when it happens, not for a resumed run that is already there."""
    if before.phase in {Phase.FOLLOW_UP, *run.FINAL_PHASES} or _reached(after) is not Phase.FOLLOW_UP:
        return []
    detail = f"{after.iteration} of {after.run.max_iterations}"
    return [{"kind": "result", "result": "max-iterations-reached", "detail": detail}]


def _reached(state: RunState) -> Phase:
    """The phase, also where a stop or failure covers it."""
    return state.goes_on_in or state.phase


def _status(before: RunState, event: run.Event, after: RunState) -> list[Line]:
    """A line for every change that matters in the run's history."""
    detail = _trouble(before, event, after)
    if detail is None:
        if (manifest_state(before), run.place(before)) == (manifest_state(after), run.place(after)):
            return []
        detail = _what_now(before, event, after)
    return [{"kind": "status", "state": manifest_state(after), "detail": detail}]


def _trouble(before: RunState, event: run.Event, after: RunState) -> str | None:
    """The line for a turn that did not finish, while the run continues."""
    if not isinstance(event, TurnSettled) or event.outcome.status == "finished" or after.phase in run.FINAL_PHASES:
        return None
    job = next(job for job in before.open_turns if job.id == event.turn_id)
    return None if job.cut else run.trouble(before, job, event.outcome)  # one that was cut ended as ordered


def _what_now(before: RunState, event: run.Event, after: RunState) -> str:
    if after.phase in run.FINAL_PHASES:
        return after.detail
    if after.paused:
        return f"paused in {run.place(after)}"
    if after.asking:
        return after.stuck
    if isinstance(event, run.QuestionAnswered):
        return "follow-up received"
    turned_down = before.phase in {Phase.CHECKING, Phase.REVIEWING} and after.phase in {Phase.COOLDOWN, Phase.WORKING}
    if turned_down and not isinstance(event, run.RunResumed):
        return "checks failed" if isinstance(event, run.ChecksEnded) else "changes asked for"
    return run.place(after)


def _result(after: RunState) -> list[Line]:
    if after.phase not in {Phase.FAILED, Phase.STOPPED}:
        return []
    return [{"kind": "result", "result": after.phase.value, "detail": after.detail}]
