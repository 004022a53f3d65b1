"""What a supervisor knows of its children, and what follows from it: is one stuck, how does one stand. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actors.messages import Heartbeat
from supervisor.console_wire import ActorReport, Liveness
from supervisor.spec import ChildSpec, Intensity

# Heartbeats come once a second from a thread that a busy handler does not stop. Ten missing ones: the process is
# stopped (SIGSTOP) or starved, and nothing that it owes to others will come.
SILENCE_S = 10.0
# A handler takes milliseconds; one that takes this long is worth a word. A turn runs beside the mailbox.
BUSY_MS = 1_000

Phase = Literal["down", "starting", "ready", "stopping"]


@dataclass
class Child:
    """What is known of one child now."""

    spec: ChildSpec
    phase: Phase = "down"
    incarnation: int = 0
    pid: int = 0
    since: float = 0.0  # monotonic, of the phase
    since_ms: int = 0  # Unix time, of being ready
    heartbeat: Heartbeat | None = None
    heard_at: float = 0.0
    heard_at_ms: int = 0
    cannot_start: str = ""  # its own word for a start failure that is permanent
    stuck: str = ""  # why it is being killed as a hang
    why_down: str = ""
    restart_due: bool = False  # it waits for its back-off
    restart_wanted: bool = False  # by a person, once it is down
    restarts: int = 0
    was_ready: bool = False
    given_up: bool = False  # it ended once too often, and people are asked


def hang(child: Child, now: float) -> str:
    """Why a child that is ready counts as hanging; "" when it does not. `now`: of time.monotonic().

    Alive is not enough: a handler that makes no progress, or a process that says nothing, is a hang.
    """
    beat = child.heartbeat
    if beat is not None and beat.handler_age_ms > child.spec.stuck_after_s * 1000:
        return f"stuck in {beat.handling} for {beat.handler_age_ms / 1000:.0f} s"
    if now - child.heard_at > SILENCE_S:
        return f"no sign of life for {SILENCE_S:g} s"
    return ""


def report(child: Child, *, restarts_now: int, intensity: Intensity, held: bool, standstill: str) -> ActorReport:
    """How the child stands, for people. `restarts_now`: of all children, within the intensity's period. `standstill`:
    why none of them is started at the moment; "" when that is not so.
    """
    beat = child.heartbeat if child.phase != "down" else None
    slow = beat is not None and beat.handler_age_ms >= BUSY_MS
    again = f"{restarts_now} of {intensity.max_restarts} in {intensity.period_s:g} s: {child.why_down}"
    state, why = _liveness(child, again, held=held, standstill=standstill)
    return ActorReport(
        name=child.spec.id,
        state="busy" if slow and state == "running" else state,
        why=why,
        incarnation=child.incarnation,
        pid=child.pid if child.phase != "down" else 0,
        since_ms=child.since_ms if child.phase == "ready" else 0,
        heard_at_ms=child.heard_at_ms,
        restarts=child.restarts,
        mailbox=beat.mailbox if beat else 0,
        handled=beat.handled if beat else 0,
        doing=beat.handling if beat and slow else "",
        doing_since_ms=child.heard_at_ms - beat.handler_age_ms if beat and slow else 0,
    )


def _liveness(child: Child, again: str, *, held: bool, standstill: str) -> tuple[Liveness, str]:
    if child.stuck and child.phase != "down":
        return "stuck", child.stuck
    match child.phase:
        case "ready":
            return "running", ""
        case "starting":
            return ("restarting", again) if child.incarnation > 1 else ("starting", "")
        case "stopping":
            return ("restarting" if child.restart_wanted else "stopping"), ""
        case "down" if child.incarnation == 0:
            return "starting", "those before it come first"
        case "down" if held:
            return "stopped", "by hand"
        case "down" if child.restart_due:
            return "restarting", again
        case "down" if child.given_up:
            return "dead", f"{child.why_down}; not restarted any more"
        case "down" if standstill:
            return "stopped", standstill
        case _:
            return "dead", child.why_down
