"""Surfaces with a fault each, for the fuzzer to find: its input 7 is the one that does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from random import Random

from fuzz_surfaces.surface import Surface
from loguru import logger


class Sound(Surface):
    name = "Sound"
    batch = 5

    def make(self, rng: Random) -> float:
        return rng.random()

    def input_seven(self) -> float:
        return self.make(Random(f"1/{self.name}/7"))

    def feed(self, inputs: Sequence[float]) -> None:
        if self.input_seven() in inputs:
            self.fail()

    def fail(self) -> None:
        """Sound ones have no fault."""


class Raises(Sound):
    name = "Raises"

    def fail(self) -> None:
        raise KeyError("seven")


class Logs(Sound):
    name = "Logs"

    def fail(self) -> None:
        try:
            {}["seven"]
        except KeyError:
            logger.exception("a step failed")


class Thread(Sound):
    name = "Thread"

    def fail(self) -> None:
        thread = threading.Thread(target=lambda: {}["seven"])
        thread.start()
        thread.join()


class Hangs(Sound):
    name = "Hangs"
    limit_s = 3.0  # which its other inputs have, too

    def fail(self) -> None:
        threading.Event().wait()


class Dies(Sound):
    name = "Dies"

    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Breaks(Sound):
    name = "Breaks"
    broken = False

    def fail(self) -> None:
        self.broken = True

    def settle(self) -> None:
        if self.broken:
            raise ValueError("it is out of order")


class Leaves(Sound):
    name = "Leaves"

    def fail(self) -> None:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)


class Grows(Sound):
    name = "Grows"
    settle_each = 5

    def open(self) -> None:
        self.kept: list[bytes] = []

    def feed(self, inputs: Sequence[float]) -> None:
        self.kept += [bytes([1]) * 1_000_000 for _ in inputs]


class Endless(Sound):
    """Has something running, and never comes to an end."""

    name = "Endless"

    def open(self) -> None:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)

    def feed(self, inputs: Sequence[float]) -> None:
        pass
