"""The players of a chaos campaign: each plays one run in a process of its own, and ends with its campaign."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

from scripts.chaos_report import Report
from tests.lab.world import orderly_end

SPAWN = multiprocessing.get_context("spawn")
Play: TypeAlias = Callable[[], tuple[Report, Path]]


class Player:
    """One run, in a process of its own: it follows its run line by line, which must not delay other runs.

    It ends its world and then itself on request, and when the campaign is gone.
    """

    def __init__(self, seed: int, number: int, limit: int, play: Play) -> None:
        self.seed, self.number, self.limit = seed, number, limit
        self.report, sender = SPAWN.Pipe(duplex=False)
        self._process = SPAWN.Process(target=play_apart, args=(sender, play))
        self._process.start()
        sender.close()  # only the player holds it now, so its end is noticed

    def result(self) -> tuple[Report, Path | None]:
        """Waits for the player's report."""
        try:
            return self.report.recv()
        except EOFError:
            self._process.join()
            return Report(troubles=[f"its player ended with exit status {self._process.exitcode}"]), None
        finally:
            self.end()

    def end(self) -> None:
        """Ends the player with its world, if it still plays."""
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()


def play_apart(sender: Connection, play: Play) -> None:
    """The main function of a player."""
    with orderly_end():
        threading.Thread(target=end_with_campaign, daemon=True).start()
        sender.send(play())


def end_with_campaign() -> None:
    """Waits for the campaign's end, and then has the main thread end this player gracefully."""
    campaign = multiprocessing.parent_process()
    assert campaign is not None
    campaign.join()
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
