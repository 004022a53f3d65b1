"""`loop serve` on standard output: one line per event, of all runs.

Its own thread writes, so that a slow reader never slows a run.
"""

from __future__ import annotations

import os
import sys

from actors.edges import environments
from actors.messages import Progress
from shell import backlog, output, render
from shell.backlog import ThreadedWriter
from supervisor.serve import serve


def serve_here(max_runs: int, *, as_json: bool) -> int:
    """Serves the home of the environment until a signal. Returns an exit status; a stop by signal is no failure."""
    environments.check_open_files(environments.FILES_OF_A_ROOT)
    environment, home = environments.handed_on(), environments.home()
    lines = _Lines(as_json=as_json)
    try:
        serve(home, environment, max_runs, lines, on_terminal=sys.stdin.isatty())
    finally:
        lines.close()
    return os.EX_OK


class _Lines:
    """Implements `supervisor.serve.ServeConsole`."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._writer: ThreadedWriter[tuple[str, Progress]] = ThreadedWriter(
            self._write, lambda shown: len(shown[1].text), "output"
        )

    def show(self, run: str, progress: Progress) -> None:
        """Never blocks."""
        if progress.kind not in ("raw", "usage"):
            self._writer.put((run, progress))

    def close(self, timeout_s: float = 0.5) -> None:
        """Writes the rest, within `timeout_s`: a Procfile manager does not wait long."""
        self._writer.close(timeout_s)

    def _write(self, shown: tuple[str, Progress], missed: int) -> None:
        run, progress = shown
        if missed:
            self._print("", backlog.missed(missed, progress.at_ms))
        self._print(run, progress)

    def _print(self, run: str, progress: Progress) -> None:
        if self._as_json:
            output.say_json_text(render.json_record(progress, run))
        else:
            output.say(render.record(progress, run or "serve", zone=None))
