"""What a supervisor keeps alive, and how. Pure: checked structs, no behaviour.

The words and their meaning are OTP's (`supervisor(3)`), with back-off added, which OTP does not have. Every default is
beside its key, with its unit in the key's name. A wrong value raises `UserError`, which names the value.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import msgspec

from actors.errors import UserError

# permanent: always started again. transient: only after an abnormal end. temporary: never.
Restart = Literal["permanent", "transient", "temporary"]

# Who is restarted with a child that ended. one_for_one: none. rest_for_one: those started after it. one_for_all:
# everybody.
Strategy = Literal["one_for_one", "rest_for_one", "one_for_all"]


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"{what} is {value!r}: choose one of {', '.join(choices)}")


def _check_number(
    what: str, value: float, *, above: float | None = None, least: float | None = None, most: float | None = None
) -> None:
    if not math.isfinite(value):
        raise UserError(f"{what} is {value!r}: give a finite number")
    if above is not None and value <= above:
        raise UserError(f"{what} is {value!r}: it must be above {above}")
    if least is not None and value < least:
        raise UserError(f"{what} is {value!r}: it must be at least {least}")
    if most is not None and value > most:
        raise UserError(f"{what} is {value!r}: it must be at most {most}")


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One child: what is started, when it is started again, how it is stopped."""

    id: str  # unique below one supervisor
    entry: str  # "module:function", called in the child's process as actors.actor_process.main is
    restart: Restart = "permanent"
    significant: bool = False  # ends for good → the supervisor shuts down (OTP: auto_shutdown any_significant)
    imports: tuple[str, ...] = ()  # modules that it needs, and shares with the next children
    listens: bool = False  # a loopback TCP listening socket that outlives the child's restarts
    ready_within_s: float = 30.0  # started, but not ready by then: the start has failed
    stuck_after_s: float = 60.0  # one message handled for longer than this without progress: hang
    shutdown_s: float = 2.0  # asked to stop; killed when it has not ended by then (a Procfile manager gives all 5 s)

    def __post_init__(self) -> None:
        if not self.id:
            raise UserError("a child needs an id: got ''")
        where = f"child {self.id!r}"
        module, _, function = self.entry.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), function)):
            raise UserError(f"{where}: entry {self.entry!r} is not of the form 'package.module:function'")
        _check_choice(f"{where}: restart", self.restart, get_args(Restart))
        if self.significant and self.restart == "permanent":
            raise UserError(
                f"{where}: a permanent child never ends for good, so it cannot be significant: "
                "make it transient or temporary"
            )
        for key in ("ready_within_s", "stuck_after_s"):
            _check_number(f"{where}: {key}", getattr(self, key), above=0)
        _check_number(f"{where}: shutdown_s", self.shutdown_s, least=0)


class Intensity(msgspec.Struct, frozen=True, kw_only=True):
    """More than `max_restarts` restarts in `period_s`, all children together: the supervisor gives up.

    Ten a minute lets the launcher die twice with five children, and still ends one that dies at every start: with
    the default back-off that takes about half a minute.
    """

    max_restarts: int = 10
    period_s: float = 60.0

    def __post_init__(self) -> None:
        _check_number("max_restarts", self.max_restarts, least=0)
        _check_number("period_s", self.period_s, above=0)


class BackOff(msgspec.Struct, frozen=True, kw_only=True):
    """How long a restart waits: 0 s for the first of a series, then `first_s`, growing by `factor` up to `max_s`.

    `jitter` is the share of the wait that chance may take off, so that children that died together do not come
    back together. A child that was ready for `healthy_after_s` begins a new series. Keep `max_s` below
    `period_s / max_restarts`, else a child that dies at every start is never given up.
    """

    first_s: float = 0.5
    factor: float = 2.0
    max_s: float = 5.0
    jitter: float = 0.2
    healthy_after_s: float = 10.0

    def __post_init__(self) -> None:
        _check_number("first_s", self.first_s, least=0)
        _check_number("factor", self.factor, least=1, most=10)
        _check_number("max_s", self.max_s, least=self.first_s)
        _check_number("jitter", self.jitter, least=0, most=1)
        _check_number("healthy_after_s", self.healthy_after_s, least=0)


class SupervisorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One supervisor: its children in start order (they are stopped in the reverse order) and the rules for all."""

    children: tuple[ChildSpec, ...]
    strategy: Strategy = "one_for_one"
    intensity: Intensity = Intensity()
    back_off: BackOff = BackOff()

    def __post_init__(self) -> None:
        _check_choice("strategy", self.strategy, get_args(Strategy))
        ids = [child.id for child in self.children]
        for child_id in ids:
            if ids.count(child_id) > 1:
                raise UserError(f"two children have the id {child_id!r}: give each its own")

    def child(self, child_id: str) -> ChildSpec:
        """The child with this id. Raises `UserError` when there is none."""
        for child in self.children:
            if child.id == child_id:
                return child
        raise UserError(f"no child {child_id!r}: there are {', '.join(child.id for child in self.children) or 'none'}")
