"""The console of one run on standard output, without a prompt: a line per event.

Its own thread writes, so that a terminal that stopped scrolling (Ctrl-S), or a slow pipe, never slows the run.
"""

from __future__ import annotations

import sys

from actors.edges import environments
from actors.messages import Progress
from shell import backlog, output, render
from shell.backlog import ThreadedWriter


class TerminalConsole:
    """Implements `supervisor.root.Console`. `raw`: the agents' own JSON events and nothing else. `as_json`: each record
    as one JSON object.
    """

    interrupted = False  # only a signal can, which the root handles

    def __init__(self, run_id: str, *, raw: bool, as_json: bool) -> None:
        self._run_id = run_id
        self._raw = raw
        self._as_json = as_json
        self._colour = sys.stdout.isatty() and not environments.own("NO_COLOR")
        self._writer: ThreadedWriter[Progress] = ThreadedWriter(self._write, lambda shown: len(shown.text), "terminal")

    def opened(self, endpoint: str) -> None:
        """No-op: `show` brings everything."""

    def show(self, progress: Progress) -> None:
        """Never blocks."""
        self._writer.put(progress)

    def close(self, timeout_s: float = 2.0) -> None:
        """Writes the rest."""
        self._writer.close(timeout_s)

    def _write(self, progress: Progress, missed: int) -> None:
        if missed and not self._raw:
            self._print(backlog.missed(missed, progress.at_ms))
        if (progress.kind == "raw") is self._raw and progress.kind != "usage":
            self._print(progress)

    def _print(self, progress: Progress) -> None:
        if self._as_json:
            output.say_json_text(render.json_record(progress, self._run_id))
        elif self._raw:
            output.say_raw(progress.text)
        else:
            output.say_painted("\n".join(render.lines(progress, zone=None, colour=self._colour)))
