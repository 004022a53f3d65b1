"""Decides when an agent counts as silent, and what follows. Pure: the time comes in, in seconds of one clock.

The rules, for the running turn of a session:

- Every event of the agent is a sign of life, a piece of an answer or of a tool's output included.
- No event for `silence_ms`: the turn is interrupted and tried again in the same session, then in a new session. After
  the third silence in a row it fails, and the run asks the user.
- A tool or background task that runs without output is not silence. The user is told of it once. After `tool_ms` it
  counts as silent, too.
- A turn that only waits for background tasks is over when these have used up the time of a tool: they are ended. The
  agent is asked about them once.
- A question to the user stops the clock. So does the time in which this process itself was stopped.

The count of silences is in the turn ledger. A restart begins a new interval, and keeps the count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec.structs import replace

from actors.machines import turn
from actors.machines.durations import span
from actors.messages import Patience, TurnOutcome

# A timer that is this late shows that this process was stopped: what the agent said meanwhile is not read yet.
LATE_S = 5.0
# An attempt that was alive for this long was healthy: a later silence is a new one.
HEALTHY_S = 600.0
# How long background tasks keep a turn open without any event, in a run without limits of its own: as Claude Code does.
BACKGROUND_MS = 600_000
# The share of its time that a turn gets at least when it is resumed: loop itself may have been away meanwhile.
LEAST_SHARE = 4


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the running turn."""

    heard_s: float  # the last event of the agent
    until_s: float | None = None  # when the turn has used up its time; None: it has no limit
    told_s: float | None = None  # when the user was last told of a tool without output
    running: Mapping[str, str] = {}  # tools and tasks that run: id -> words
    background_s: float | None = None  # since when only background tasks keep the turn open; None: the agent works
    asked: bool = False  # the agent was asked about its background tasks
    asks: bool = False  # the agent waits for the user's answer


class Again(msgspec.Struct, frozen=True):
    """Nothing is wrong: look again at this time. None: only after the next event."""

    at_s: float | None


class NoOutput(msgspec.Struct, frozen=True):
    """A tool or task runs without output: tell the user, once."""

    what: str


class Silent(msgspec.Struct, frozen=True):
    """The agent is silent. `why`: one line for the user."""

    why: str


class Overdue(msgspec.Struct, frozen=True):
    """The turn has used up its time."""


Finding = Again | NoOutput | Silent | Overdue


def judge(watch: Watch, patience: Patience, now_s: float) -> Finding:
    """What is wrong with the running turn at this time."""
    ends = [] if watch.until_s is None else [watch.until_s]
    if watch.until_s is not None and now_s >= watch.until_s:
        return Overdue()
    if watch.asks:
        return Again(min(ends, default=None))
    waits = watch.background_s is not None
    since_s = watch.heard_s if watch.background_s is None else watch.background_s
    is_busy = bool(watch.running) or waits
    limit_ms = patience.tool_ms if is_busy else patience.silence_ms
    if waits and not limit_ms:
        limit_ms = BACKGROUND_MS
    if limit_ms:
        end_s = since_s + limit_ms / 1_000
        if now_s >= end_s:
            return Silent(_why(watch, limit_ms))
        ends.append(end_s)
    elif is_busy:  # whether the turn waits for background tasks alone is known only when somebody looks
        ends.append(max(watch.heard_s, now_s) + BACKGROUND_MS / 1_000)
    is_told = watch.asked if waits else watch.told_s is not None and watch.told_s >= watch.heard_s
    if is_busy and patience.silence_ms and not is_told:
        tell_s = since_s + patience.silence_ms / 1_000
        if now_s >= tell_s:
            return NoOutput(_what(watch) or "a background task")
        ends.append(tell_s)
    return Again(min(ends, default=None))


def woken(watch: Watch, due_s: float, now_s: float) -> Watch:
    """The watch when its timer comes at `now_s` instead of `due_s`: much later, and this process was stopped."""
    late_s = now_s - due_s
    if late_s < LATE_S:
        return watch
    until_s = None if watch.until_s is None else watch.until_s + late_s
    background_s = None if watch.background_s is None else watch.background_s + late_s
    return replace(watch, heard_s=now_s, until_s=until_s, background_s=background_s)


def time_left_ms(limit_ms: int, began_ms: int, now_ms: int) -> int:
    """How long this attempt of a turn may take; 0: without a limit. `began_ms`: its first one; 0: this is the first."""
    if not limit_ms or not began_ms:
        return limit_ms
    return max(limit_ms - max(now_ms - began_ms, 0), limit_ms // LEAST_SHARE)


def shortest(*limits_ms: int) -> int:
    """The shortest of these limits; 0: there is none."""
    return min((each for each in limits_ms if each), default=0)


def count(before: int, lived_s: float) -> int:
    """Silences in a row, with this one. `lived_s`: from the beginning of the attempt to its last event."""
    return 1 if lived_s >= HEALTHY_S else before + 1


Remedy = Literal["same session", "new session", "give up"]


def remedy(silences: int) -> Remedy:
    """What follows the silence with this number."""
    return "same session" if silences == 1 else "new session" if silences == 2 else "give up"


def told(finding: Silent | Overdue, entry: turn.Entry, limit_ms: int) -> str:
    """What the user is told when the turn is interrupted."""
    if isinstance(finding, Overdue):
        return f"the {entry.purpose} turn takes longer than {span(limit_ms)}: it is interrupted"
    return f"{finding.why}: the {entry.purpose} turn is interrupted"


def no_output(finding: NoOutput, patience: Patience) -> str:
    """What the user is told about a tool or task that runs without output."""
    until = f"; after {span(patience.tool_ms)} it counts as silent (--tool-timeout)" if patience.tool_ms else ""
    return f"without any output for {span(patience.silence_ms)}: {finding.what}{until}"


def given_up(why: Silent, outcome: TurnOutcome) -> TurnOutcome:
    """How a turn ends whose agent stayed silent. `outcome`: what was left of it."""
    error = f"the agent is silent: {why.why}, again when it was interrupted and in a new session"
    return replace(outcome, status="failed", error=error, cause="silent")


def ended_it(outcome: TurnOutcome | None) -> bool:
    """Whether our interruption ended the turn, and not the agent itself at that moment. None: the agent was lost."""
    return outcome is None or outcome.status == "interrupted" or (outcome.status == "failed" and not outcome.cause)


def overdue(entry: turn.Entry, limit_ms: int, outcome: TurnOutcome) -> TurnOutcome:
    """How a turn ends that has used up its time."""
    error = f"the {entry.purpose} turn took longer than {span(limit_ms)}, and was interrupted"
    return replace(outcome, status="failed", error=error, cause="overdue")


def _why(watch: Watch, limit_ms: int) -> str:
    what = _what(watch)
    return f"nothing was heard from it for {span(limit_ms)}" + (f", while this ran: {what}" if what else "")


def _what(watch: Watch) -> str:
    return ", ".join(each for each in watch.running.values() if each)
