"""What a surface is to the fuzzer, and the loop that feeds one. Runs in the main thread of a process of its own.

Input K of a surface follows from the seed, the surface and K alone, so each can be repeated alone. Inputs are fed in
batches; after a failure the batch is fed once more, one input at a time, to find the culprit.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz_surfaces.oracle import Failed, Hung, LogWatch, described, limited, resident_mb

ANSWER_S = 30.0  # for what must come; a busy machine needs a second for it
MOST_GROWTH_MB = 60.0
WARM_UP = 0.2  # of the inputs, before the first measurement of memory
WARM_UP_INPUTS = 10_000
KEPT = 3  # failing inputs of one kind


class Surface:
    """One place where foreign input enters. `open` once, then any number of `feed` and `settle`, then `close`."""

    name = ""
    batch = 1
    settle_each = 500  # inputs
    limit_s = 60.0  # of one batch

    def __init__(self, folder: Path, watch: LogWatch) -> None:
        self.folder = folder
        self.watch = watch

    def open(self) -> None:
        """Starts what is fed."""

    def make(self, rng: random.Random) -> Any:
        """One input, from chance alone."""
        raise NotImplementedError

    def feed(self, inputs: Sequence[Any]) -> None:
        """Feeds the inputs. Raises for everything that must not happen; a proper refusal may."""
        raise NotImplementedError

    def settle(self) -> None:
        """Does good work, and raises when that no longer works."""

    def reopen(self) -> None:
        """Restores the opened state after a failure. May do nothing where failures break nothing."""

    def pids(self) -> list[int]:
        """The processes whose memory is measured."""
        return [os.getpid()]

    def close(self) -> None:
        """Ends what `open` started."""


@dataclass
class Tally:
    """The result so far."""

    inputs: int = 0
    seconds: float = 0.0
    failures: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    warm_mb: float = 0.0
    growth_mb: float = 0.0
    log_lines: int = 0


# Number, the input as it can be read, kind, text.
OnFailure = Callable[[int, Any, str, str], None]


class Feeding:
    """Feeds one surface. `began` gets the number of the next input, `failed` each kept failure."""

    def __init__(self, surface: Surface, seed: int, *, began: Callable[[int], None], failed: OnFailure) -> None:
        self._surface = surface
        self._seed = seed
        self._began = began
        self._failed = failed
        self.tally = Tally()

    def input(self, number: int) -> Any:
        """Input `number` of this seed."""
        return self._surface.make(random.Random(f"{self._seed}/{self._surface.name}/{number}"))

    def run(self, numbers: range, seconds: float, show: Callable[[Tally], None]) -> Tally:
        """Feeds these inputs, or as many as the time allows."""
        surface, tally = self._surface, self.tally
        began = time.monotonic()
        warm_at = min(len(numbers) * WARM_UP, WARM_UP_INPUTS)
        unsettled = 0
        for start in range(0, len(numbers), surface.batch):
            if time.monotonic() - began > seconds:
                break
            batch = numbers[start : start + surface.batch]
            self._feed(batch)
            tally.inputs += len(batch)
            unsettled += len(batch)
            if unsettled >= surface.settle_each:
                unsettled = 0
                self._settle(batch[-1])
                if not tally.warm_mb and tally.inputs >= warm_at:
                    tally.warm_mb = resident_mb(surface.pids())
            tally.seconds = time.monotonic() - began
            tally.log_lines = surface.watch.lines
            show(tally)
        self._settle(numbers[max(0, tally.inputs - 1)])
        tally.growth_mb = resident_mb(surface.pids()) - tally.warm_mb if tally.warm_mb else 0.0
        if tally.growth_mb > MOST_GROWTH_MB:
            self._note(-1, None, "memory grows", f"{tally.growth_mb:.0f} MB more than after {warm_at:.0f} inputs")
        return tally

    def _feed(self, batch: range) -> None:
        inputs = [self.input(number) for number in batch]
        trouble = self._attempt(batch, inputs)
        if not trouble:
            return
        if len(batch) == 1:
            self._note_all(batch[0], inputs[0], trouble)
            return
        blamed = False
        for number, each in zip(batch, inputs, strict=True):
            again = self._attempt(range(number, number + 1), [each], settle=True)
            self._note_all(number, each, again)
            blamed = blamed or bool(again)
        if not blamed:
            self._note_all(batch[0], inputs, [(f"{kind} (as a batch)", text) for kind, text in trouble])

    def _attempt(self, batch: range, inputs: list[Any], *, settle: bool = False) -> list[tuple[str, str]]:
        self._began(batch[0])
        try:
            with limited(self._surface.limit_s):
                self._surface.feed(inputs)
                if settle:
                    self._surface.settle()
        except Hung as error:
            return [self._again(described(error, f"it took longer than {self._surface.limit_s:g} s"))]
        except Exception as error:
            return [self._again(described(error, "raised")), *self._surface.watch.take()]
        return self._surface.watch.take()

    def _settle(self, number: int) -> None:
        self._began(number)
        try:
            with limited(60):
                self._surface.settle()
        except (Hung, Exception) as error:
            self._note(number, None, *self._again(described(error, "it does not work any more afterwards")))
        self._note_all(number, None, self._surface.watch.take())

    def _again(self, trouble: tuple[str, str]) -> tuple[str, str]:
        with limited(120):
            self._surface.reopen()
        return trouble

    def _note_all(self, number: int, each: Any, trouble: list[tuple[str, str]]) -> None:
        for kind, text in dict(trouble).items():
            self._note(number, each, kind, text)

    def _note(self, number: int, each: Any, kind: str, text: str) -> None:
        self.tally.failures += 1
        count = self.tally.kinds[kind] = self.tally.kinds.get(kind, 0) + 1
        if count <= KEPT:
            self._failed(number, each, kind, text)


__all__ = ["Failed", "Feeding", "Surface", "Tally"]
