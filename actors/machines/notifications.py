"""What the user is notified of: derived from a run's state, at most once per change. Pure.

A notification is for a user who is not there. The run is over, waits for a person or a limit, or reached its budget.
What the user did at a prompt (a pause, a stop) is no news. `notable` says what the state has to tell; `next_of`
compares that with what the user knows already. Two equal keys in a row are one change. So a restart, which sees the
same state again, notifies of nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from actors.machines.run import budgets
from actors.machines.run.jobs.turn import TurnJob
from actors.machines.run.jobs.wait import WaitJob
from actors.machines.run.state import USER, Hold, Phase, RunState, count
from actors.messages import Notable, NotableEvent

MOST_DETAIL = 2_000  # characters
# The rules that have an event of their own, by their names (`Hold.by`).
_OF_RULES: Mapping[str, NotableEvent] = {budgets.NAME: "budget"}
_WORDS: Mapping[NotableEvent, str] = {
    "completed": "completed",
    "failed": "failed",
    "input-required": "needs you",
    "limited": "waits for a limit",
    "budget": "reached its budget",
}


class Notified(msgspec.Struct, frozen=True, kw_only=True):
    """What the user of a run knows already. Kept in a file of the run."""

    key: str = ""  # of the last change; "" = nothing is notable now
    number: int = 0  # of the last notification of this run
    at: str = ""  # when the last one was sent
    failure: str = ""  # why the last one did not arrive; "" = it did


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One notification, as programs get it. `id` never occurs twice."""

    id: str
    event: NotableEvent
    run: str
    directory: str  # where the run works
    detail: str
    at: str
    resume: str = ""  # the command that resumes the run

    @property
    def title(self) -> str:
        """One line for a desktop."""
        return f"loop {self.run} {_WORDS[self.event]}"

    def as_json(self) -> bytes:
        """The body of a webhook, and the standard input of a command."""
        return json.dumps(msgspec.to_builtins(self), ensure_ascii=False).encode("utf-8", "replace")

    def variables(self) -> dict[str, str]:
        """The variables of a command."""
        return {
            "LOOP_EVENT": self.event,
            "LOOP_RUN": self.run,
            "LOOP_DIRECTORY": self.directory,
            "LOOP_DETAIL": self.detail.replace("\0", ""),
        }


def notable(state: RunState) -> Notable | None:
    """What the user should know of this state; None: nothing."""
    match state.phase:
        case Phase.COMPLETED:
            return Notable(event="completed", detail=state.detail, key=f"completed:{state.tasks_done}")
        case Phase.AWAITING_TASK if state.tasks_done:
            detail = f"{count(state.tasks_done)} completed"
            return Notable(event="completed", detail=detail, key=f"completed:{state.tasks_done}")
        case Phase.FAILED:
            return Notable(event="failed", detail=state.detail, key="failed")
        case Phase.STOPPED if state.goes_on_in is Phase.FOLLOW_UP and not state.run.interactive:
            return Notable(event="input-required", detail=state.detail, key="out-of-iterations")
        case Phase.STOPPED if state.asked and not state.run.interactive:
            return _of_rule(state.asked, state.detail)
        case Phase.NEW | Phase.STOPPED | Phase.AWAITING_TASK:
            return None
        case Phase.FOLLOW_UP:
            return Notable(event="input-required", detail="out of iterations: what next?", key="out-of-iterations")
        case _:
            return _of_hold(state, state.hold) or _of_limit(state)


def next_of(known: Notified, now: Notable | None) -> tuple[Notified, Notable | None]:
    """What the user knows after this, and what to send; None: nothing is new."""
    key = "" if now is None else now.key
    if key == known.key:
        return known, None
    known = replace(known, key=key)
    return (known, None) if now is None else (replace(known, number=known.number + 1), now)


def notification(known: Notified, new: Notable, *, run: str, directory: str, at: str, resume: str) -> Notification:
    """The notification of this change."""
    detail = new.detail if len(new.detail) <= MOST_DETAIL else f"{new.detail[:MOST_DETAIL]}…"
    return Notification(
        id=f"{run}/{known.number}", event=new.event, run=run, directory=directory, detail=detail, at=at, resume=resume
    )


def _of_hold(state: RunState, hold: Hold | None) -> Notable | None:
    """Nothing for a hold of the user. A rule's hold counts once nothing runs, unless it has an event of its own."""
    if hold is None or hold.by == USER or hold.kind == "stop":
        return None
    if hold.by not in _OF_RULES and any(job.issued for job in state.jobs):
        return None
    return _of_rule(hold.by, hold.why)


def _of_rule(by: str, why: str) -> Notable:
    return Notable(event=_OF_RULES.get(by, "input-required"), detail=why, key=f"held:{by}")


def _of_limit(state: RunState) -> Notable | None:
    """A row of waits for one limit is one change, with the attempts between them."""
    for job in state.jobs:
        if isinstance(job, WaitJob) and job.then is not None and not job.then.tries:
            return _limited(job.then, job.what)
        if isinstance(job, TurnJob) and job.limits:
            return _limited(job, "a turn is tried again after a limit")
    return None


def _limited(turn: TurnJob, what: str) -> Notable:
    return Notable(
        event="limited", detail=f"waits for {what}", key=f"limited:{turn.label}:{turn.waiting_since_ms or 0}"
    )
