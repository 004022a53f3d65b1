"""The console of one run on standard output, without a prompt: a line per event.

Its own thread writes, so that a terminal that stopped scrolling (Ctrl-S), or a slow pipe, never slows the run.
"""

from __future__ import annotations

import queue
import sys
import threading
from contextlib import suppress

from actors.edges import environments
from actors.messages import Progress
from shell import backlog, output, render
from shell.backlog import Backlog


class TerminalConsole:
    """Implements `supervisor.root.Console`. `raw`: the agents' own JSON events and nothing else. `as_json`: each record
    as one JSON object.
    """

    interrupted = False  # only a signal can, and the root knows that

    def __init__(self, run_id: str, *, raw: bool, as_json: bool) -> None:
        self._run_id = run_id
        self._raw = raw
        self._as_json = as_json
        self._colour = sys.stdout.isatty() and not environments.own("NO_COLOR")
        self._queue: Backlog[Progress | None] = Backlog(lambda shown: len(shown.text) if shown else 0)
        self._missed = 0
        self._thread = threading.Thread(target=self._write, name="terminal", daemon=True)
        self._thread.start()

    def opened(self, endpoint: str) -> None:
        """It is told everything without asking."""

    def show(self, progress: Progress) -> None:
        """Never blocks."""
        try:
            self._queue.put_nowait(progress)
        except queue.Full:
            self._missed += 1

    def close(self, timeout_s: float = 2.0) -> None:
        """Writes what is left."""
        with suppress(queue.Full):  # nobody reads: there is no use in waiting for it
            self._queue.put(None, timeout=timeout_s)
            self._thread.join(timeout_s)

    def _write(self) -> None:
        while (progress := self._queue.get()) is not None:
            missed, self._missed = self._missed, 0
            try:
                if missed and not self._raw:
                    self._print(backlog.missed(missed, progress.at_ms))
                if (progress.kind == "raw") is not self._raw or progress.kind == "usage":
                    continue
                self._print(progress)
            except OSError:
                return  # the reader is gone; the run goes on without it

    def _print(self, progress: Progress) -> None:
        if self._as_json:
            output.say_json_text(render.json_record(progress, self._run_id))
        elif self._raw:
            output.say_raw(progress.text)
        else:
            output.say_painted("\n".join(render.lines(progress, zone=None, colour=self._colour)))
