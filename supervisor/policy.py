"""Decides about a child that ended: restart, leave, give up, shut down. Pure: time, chance and history come in.

The rules are OTP's: the restart type says whether, the strategy which siblings, the intensity how often at most. Two
things are added: back-off with jitter, and exit classes for ends that a process cannot report itself (hang, lost,
start-failed). A third comes from s6: an actor that reports that it can never start is not restarted (permanent).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec

from actors.errors import EXIT_PERMANENT
from supervisor.spec import BackOff, ChildSpec, SupervisorSpec

# normal: exit code 0 on its own. shutdown: it was asked to stop. crash: another code, or a signal. hang: alive without
# progress, and killed for it. lost: gone without a status (its launcher or host died). start-failed: it never became
# ready. permanent: no further start can succeed (errors.PermanentError).
ExitClass = Literal["normal", "shutdown", "crash", "hang", "lost", "start-failed", "permanent"]

EXPECTED: frozenset[ExitClass] = frozenset({"normal", "shutdown"})  # a transient child is not restarted after these


class ChildExit(msgspec.Struct, frozen=True, kw_only=True):
    """A child has ended, with all its processes. `healthy_s`: how long it was ready; 0 when it never was."""

    child: str
    exit_class: ExitClass
    detail: str = ""  # for the user: "exit code 70", "signal SIGKILL", "not ready within 30 s"
    healthy_s: float = 0.0


class PastRestart(msgspec.Struct, frozen=True, kw_only=True):
    """A decided restart: when it is carried out, and its number in the series of its child (from 1)."""

    child: str
    due_ms: int
    number: int


History = tuple[PastRestart, ...]  # oldest first; starts as (), is replaced by what `decide` returns


class RestartChildren(msgspec.Struct, frozen=True, kw_only=True):
    """Stop those in `stop` in this order, wait for `after_s`, then start those in `start` in this order.

    Replaces earlier restarts of the same children that are still waiting.
    """

    stop: tuple[str, ...]
    start: tuple[str, ...]
    after_s: float
    why: str


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """The child stays down; the others continue."""

    why: str


class GiveUp(msgspec.Struct, frozen=True, kw_only=True):
    """The intensity is exceeded, or a restart cannot help (`permanent`). Stop those in `stop` in this order, restart
    nothing, and tell the user why.

    `ask`: a user can decide whether to try again, and the supervisor waits for that. Otherwise its work is done. A new
    try starts with an empty history.
    """

    stop: tuple[str, ...]
    why: str
    ask: bool
    permanent: bool = False


class ShutDown(msgspec.Struct, frozen=True, kw_only=True):
    """A significant child has ended for good, so the supervisor's work is done: stop those in `stop` in this order."""

    stop: tuple[str, ...]
    why: str


Decision = RestartChildren | Leave | GiveUp | ShutDown


def classify(*, code: int | None, signal: int | None, ready: bool, asked_to_stop: bool, stuck: bool) -> ExitClass:
    """The class of an end. A child that was asked to stop counts as `shutdown`, also when it exceeded its grace period
    and was killed.

    Exit code 0 is normal also before the child was ready: its `Ready` may have been lost on the way.
    """
    if asked_to_stop:
        return "shutdown"
    if code is None and signal is None:  # also where it was silent before: that was its host's end
        return "lost"
    if stuck:
        return "hang"
    if code == 0:
        return "normal"
    if code == EXIT_PERMANENT:  # said on purpose, also by an actor that found it out after it was ready
        return "permanent"
    return "crash" if ready else "start-failed"


def decide(
    supervisor: SupervisorSpec,
    end: ChildExit,
    history: History,
    *,
    alive: Collection[str],
    held: Collection[str],
    has_operator: bool,
    now_ms: int,
    jitter: float,
) -> tuple[Decision, History]:
    """Returns what to do about `end`, and the history for the next call. `jitter` is a random number in [0, 1).

    `alive`: the other children that run or are starting. `held`: children stopped by hand; they stay down until the
    user starts them. `has_operator`: a user can be asked. A child that ended as expected is started again by a
    sibling's rest_for_one or one_for_all, as in OTP; a temporary one is not.
    """
    child = supervisor.child(end.child)
    how = f"{child.id} ended: {end.exit_class}" + (f" ({end.detail})" if end.detail else "")
    if child.id in held:
        return Leave(why=f"{how}; stopped by hand: it stays down until it is started again"), history
    others_down = tuple(
        other.id for other in reversed(supervisor.children) if other.id in alive and other.id != child.id
    )
    if not _starts_again(child, end.exit_class):
        if child.significant:
            return ShutDown(stop=others_down, why=f"{how}; it is significant, so the others end too"), history
        return Leave(why=f"{how}; a {child.restart} child is not restarted after that"), history

    if end.exit_class == "permanent":
        why = f"{child.id} cannot start: {end.detail or 'its failure is permanent'}"
        return GiveUp(stop=others_down, why=why, ask=has_operator, permanent=True), history
    intensity = supervisor.intensity
    if restarts_within(history, intensity.period_s, now_ms) >= intensity.max_restarts:
        why = f"{how}; no more than {intensity.max_restarts} restarts in {intensity.period_s:g} s are allowed"
        return GiveUp(stop=others_down, why=why, ask=has_operator), history

    number = 1 if end.healthy_s >= supervisor.back_off.healthy_after_s else _last_number(history, child.id) + 1
    after_s = wait_s(supervisor.back_off, number, jitter)
    affected = {other.id for other in _affected(supervisor, child)} - set(held)
    decision = RestartChildren(
        stop=tuple(other for other in others_down if other in affected),
        start=tuple(c.id for c in supervisor.children if c.id in affected and c.restart != "temporary"),
        after_s=after_s,
        why=f"{how}; restart {number} in a row" + (f", after {after_s:.1f} s" if after_s else ""),
    )
    restart = PastRestart(child=child.id, due_ms=now_ms + round(after_s * 1000), number=number)
    return decision, _remember(history, restart, intensity.period_s, now_ms)


def restarts_within(history: History, period_s: float, now_ms: int) -> int:
    """The number of restarts in the `period_s` before `now_ms`, waiting ones included.

    Each restart counts at its due time. So decided and executed restarts both stay within the intensity, in every
    window of that length.
    """
    return sum(restart.due_ms > now_ms - period_s * 1000 for restart in history)


def wait_s(back_off: BackOff, number: int, jitter: float) -> float:
    """Seconds before restart `number` (from 1) of a series. The first restart is immediate: one crash costs no time."""
    if number <= 1:
        return 0.0
    exponent = min(number - 2, 60)  # beyond that any factor above 1.3 has long met max_s, and floats overflow later
    return min(back_off.max_s, back_off.first_s * back_off.factor**exponent) * (1 - back_off.jitter * jitter)


def _starts_again(child: ChildSpec, exit_class: ExitClass) -> bool:
    match child.restart:
        case "permanent":
            return True
        case "transient":
            return exit_class not in EXPECTED
        case "temporary":
            return False


def _affected(supervisor: SupervisorSpec, child: ChildSpec) -> tuple[ChildSpec, ...]:
    match supervisor.strategy:
        case "one_for_one":
            return (child,)
        case "rest_for_one":
            return supervisor.children[supervisor.children.index(child) :]
        case "one_for_all":
            return supervisor.children


def _last_number(history: History, child_id: str) -> int:
    return next((restart.number for restart in reversed(history) if restart.child == child_id), 0)


def _remember(history: History, restart: PastRestart, period_s: float, now_ms: int) -> History:
    """Appends a restart. Drops those that no later decision needs: outside the window, and not their child's last."""
    last = {past.child: past for past in history}
    last.pop(restart.child, None)
    kept = (past for past in history if past.due_ms > now_ms - period_s * 1000 or past is last.get(past.child))
    return (*kept, restart)
