"""A job on another host: home's tree comes before it, and goes home after it.

A tree that cannot come is tried again a few times. After that nothing of this actor can be done there: its end is
permanent, in one line that says what is wrong and what to do. What has not gone home goes with the next journey.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from actors.errors import LoopError, PermanentError
from actors.machines import run
from actors.machines.durations import span
from actors.runners.base import Runner

RETRY_S = (1.0, 5.0, 15.0)


class Courier(Protocol):
    """What it needs of one."""

    def enter(self) -> None:
        """Makes this tree home's. Raises `LoopError` or OSError; else `leave` has to follow."""

    def leave(self) -> None:
        """Takes home what has changed. Raises `LoopError` or OSError."""


class WithTree:
    """A runner with its journeys. `say`: a line for the user. `unusable`: the end of the actor, which cannot work."""

    def __init__(
        self,
        runner: Runner,
        courier: Courier,
        *,
        say: Callable[[str], None],
        unusable: Callable[[PermanentError], None],
        retry_s: Sequence[float] = RETRY_S,
    ) -> None:
        self._runner = runner
        self._courier = courier
        self._say = say
        self._unusable = unusable
        self._retry_s = retry_s
        self._cancelled = threading.Event()

    def run(self) -> run.Event | None:
        """See `Runner.run`."""
        if not self._enter():
            return None
        try:
            return self._runner.run()
        finally:
            self._leave()

    def cancel(self) -> None:
        """See `Runner.cancel`."""
        self._cancelled.set()
        self._runner.cancel()

    def _enter(self) -> bool:
        for pause_s in (*self._retry_s, None):
            try:
                self._courier.enter()
            except (LoopError, OSError) as error:
                if pause_s is None:
                    self._unusable(PermanentError(_words(error)))
                    return False
                self._say(f"{_words(error)}; tried again in {span(round(pause_s * 1_000))}")
                if self._cancelled.wait(pause_s):
                    return False
            else:
                return True
        return False

    def _leave(self) -> None:
        try:
            self._courier.leave()
        except (LoopError, OSError) as error:
            self._say(f"what was done there has not come home: {_words(error)}")


def _words(error: LoopError | OSError) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
