"""What a supervisor knows of its tree: the state of each child, whether it hangs, what the user sees of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from actors.messages import Heartbeat
from supervisor import policy
from supervisor.control.protocol import ActorReport, Liveness
from supervisor.spec import ChildSpec, Intensity, SupervisorSpec
from supervisor.tree_protocol import RunResult

# Heartbeats come once a second from a thread that a busy handler does not stop. Ten missing ones: the process is
# stopped (SIGSTOP) or starved, and others wait for it in vain. From a host they come over its link, which may be silent
# as long as its lease runs: that is no silence of the actor.
SILENCE_S = 10.0
# A handler takes milliseconds; one that takes this long is worth a word. A turn runs beside the mailbox.
BUSY_MS = 1_000

Phase = Literal["down", "starting", "ready", "stopping"]


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one child now. `…_ms` is of the monotonic clock, `…_at_ms` Unix time for the user."""

    spec: ChildSpec
    phase: Phase = "down"
    since_ms: int = 0  # of the phase
    incarnation: int = 0
    pid: int = 0
    ready_at_ms: int = 0
    heartbeat: Heartbeat | None = None
    heard_ms: int = 0
    heard_at_ms: int = 0
    silence_s: float = SILENCE_S  # a longer silence is a hang
    cannot_start: str = ""  # its own word for a start failure that is permanent
    stuck: str = ""  # why it is being killed as a hang
    why_down: str = ""
    restart_due: bool = False  # it waits for its back-off
    restart_wanted: bool = False  # as soon as it is down
    place: str = ""  # where it runs, or will: a host's name; "" = home
    moves_to: str | None = None  # the place where it is started next
    moves_now: bool = False  # its turn is cut
    moves_why: str = ""  # where no user asked for it
    came_from: str | None = None  # until its first incarnation at this place has ended: the place before
    held: bool = False  # stopped by hand: only a user starts it
    given_up: bool = False  # it ended too often
    restarts: int = 0
    was_ready: bool = False


TreePhase = Literal["running", "suspending", "suspended", "ending", "ended"]


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """One supervisor's children now. `children` in start order."""

    spec: SupervisorSpec
    stop_levels: tuple[tuple[str, ...], ...]  # each level is stopped in parallel, after the previous one is down
    driver: str  # the child that leads the run
    children: Mapping[str, Child]
    phase: TreePhase = "running"
    history: policy.History = ()
    question: str = ""  # to the user, while suspending or suspended
    answered: bool = False  # the children are started again as soon as all are down
    asked_to_end: bool = False  # the driver was asked; there is no second time
    result: RunResult | None = None  # known from `ending` on


def plant(
    spec: SupervisorSpec,
    stop_levels: tuple[tuple[str, ...], ...],
    driver: str,
    places: Mapping[str, str] = MappingProxyType({}),
) -> Tree:
    """The tree before `TreeBegun`. Each child of `spec` is in one level; a level may name children that `spec` does not
    have. `places`: of the children that are not at home.
    """
    return Tree(
        spec=spec,
        stop_levels=stop_levels,
        driver=driver,
        children={child.id: Child(spec=child, place=places.get(child.id, "")) for child in spec.children},
    )


def hang(child: Child, now_ms: int) -> str:
    """Why a child that is ready counts as hanging; "" when it does not. `now_ms`: monotonic.

    Being alive is not enough: a handler without progress, or a silent process, is a hang.
    """
    beat = child.heartbeat
    if beat is not None and beat.handler_age_ms > child.spec.stuck_after_s * 1000:
        return f"stuck in {beat.handling} for {beat.handler_age_ms / 1000:.0f} s"
    if now_ms - child.heard_ms > child.silence_s * 1000:
        return f"no sign of life for {child.silence_s:g} s"
    return ""


def report(child: Child, *, restarts_now: int, intensity: Intensity, tree_down: str) -> ActorReport:
    """The state of the child, for the user. `restarts_now`: of all children, within the intensity's period.
    `tree_down`: why no child is started at the moment; "" when children are started.
    """
    beat = child.heartbeat if child.phase != "down" else None
    slow = beat is not None and beat.handler_age_ms >= BUSY_MS
    again = f"{restarts_now} of {intensity.max_restarts} in {intensity.period_s:g} s: {child.why_down}"
    state, why = _liveness(child, again, tree_down)
    return ActorReport(
        name=child.spec.id,
        state="busy" if slow and state == "running" else state,
        why=why,
        incarnation=child.incarnation,
        pid=child.pid if child.phase != "down" else 0,
        since_ms=child.ready_at_ms if child.phase == "ready" else 0,
        heard_at_ms=child.heard_at_ms,
        silence_s=child.silence_s,
        restarts=child.restarts,
        mailbox=beat.mailbox if beat else 0,
        handled=beat.handled if beat else 0,
        doing=beat.handling if beat and slow else "",
        doing_since_ms=child.heard_at_ms - beat.handler_age_ms if beat and slow else 0,
    )


def reports(tree: Tree, now_ms: int) -> list[ActorReport]:
    """The state of all children, for the user. `now_ms`: monotonic."""
    intensity = tree.spec.intensity
    return [
        report(
            child,
            restarts_now=policy.restarts_within(tree.history, intensity.period_s, now_ms),
            intensity=intensity,
            tree_down="the run is over" if tree.result else "until it is tried again" if tree.question else "",
        )
        for child in tree.children.values()
    ]


def _liveness(child: Child, again: str, tree_down: str) -> tuple[Liveness, str]:
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
            return "starting", "waits for the actors before it"
        case "down" if child.held:
            return "stopped", "by hand"
        case "down" if child.restart_due:
            return "restarting", again
        case "down" if child.given_up:
            return "dead", f"{child.why_down}; not restarted again"
        case "down" if tree_down:
            return "stopped", tree_down
        case _:
            return "dead", child.why_down
