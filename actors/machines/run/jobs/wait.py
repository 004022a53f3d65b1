"""Waiting for a time: a cool-down between two iterations, or the end of a limit or outage of a provider. Pure data."""

from __future__ import annotations

from typing import ClassVar, Literal

from actors.machines import backoff
from actors.machines.run.jobs.base import Command, Event, Facts, Job
from actors.machines.run.jobs.turn import TurnJob

Reason = Literal["cooldown", "limit", "provider"]


class StartCooldown(Command, frozen=True, kw_only=True):
    """Wait `ms` from now, until `until_ms` (Unix ms). Answer: `CooldownEnded`.

    Several may run concurrently: two reviewers can both have reached a limit. A needless one is harmless.
    """

    wait_id: str
    iteration: int
    ms: int
    until_ms: int
    reason: Reason


class CooldownEnded(Event, frozen=True, kw_only=True):
    """The time of a `StartCooldown` is over."""

    wait_id: str


class WaitJob(Job, frozen=True, kw_only=True):
    """A cool-down, or (`then`) a wait for the provider, after which that turn is resumed."""

    asks: ClassVar[type[Command]] = StartCooldown
    answer: ClassVar[type[Event]] = CooldownEnded
    named_by: ClassVar[str] = "wait_id"
    withdrawable: ClassVar[bool] = True
    idle: ClassVar[bool] = True
    quiet: ClassVar[bool] = False

    at_least_ms: int
    not_before_ms: int | None = None
    then: TurnJob | None = None
    what: str = ""  # the reason of the wait, for the user

    def command(self, run: Facts, now_ms: int) -> StartCooldown:
        """A cool-down restarts after a crash; a wait with an end time keeps it. No wait for a provider is longer than
        the settings allow, also after the clock was set back.
        """
        ms = max(self.at_least_ms, (self.not_before_ms or now_ms) - now_ms)
        most_ms = run.run.max_wait_ms
        if self.then is not None and most_ms is not None:
            ms = min(ms, most_ms + backoff.LIMIT_MARGIN_MS)
        return StartCooldown(
            wait_id=self.id, iteration=run.iteration, ms=ms, until_ms=now_ms + ms, reason=self._reason()
        )

    def words(self, _run: Facts) -> str:
        """What ends with it."""
        return "the end of the cool-down" if self.then is None else self.what

    def _reason(self) -> Reason:
        if self.then is None:
            return "cooldown"
        return "provider" if self.then.tries else "limit"
