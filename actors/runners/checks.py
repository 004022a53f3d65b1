"""Runs the checks of a run (edges/checks)."""

from __future__ import annotations

from actors.clock import wall_ms
from actors.edges.checks import TIMEOUT_S, CheckProgress, CheckRun
from actors.machines import run
from actors.messages import CheckStatus
from actors.runners.base import Place

TOLD_S = 60.0  # how often the user is told that a check still runs; a console sees it all the time


class ChecksRunner:
    """For `RunChecks`. Reports which check runs, for how long, and its last line."""

    def __init__(self, command: run.RunChecks, place: Place) -> None:
        self._id = command.checks_id
        self._place = place
        self._of = len(command.commands)
        self._since_ms = 0
        self._told_s = 0.0
        self._checks = CheckRun(
            *(command.commands, place.cwd, place.environment),
            timeout_s=command.timeout_s or TIMEOUT_S,
            output=place.outputs,
            name=command.checks_id,
        )

    def run(self) -> run.ChecksEnded | None:
        """Returns the results so far when all passed or one failed."""
        try:
            results = self._checks.run(self._show)
        finally:
            self._place.report(CheckStatus())
        return None if results is None else run.ChecksEnded(checks_id=self._id, results=tuple(results), at_ms=wall_ms())

    def cancel(self) -> None:
        """Ends the check that runs."""
        self._checks.cancel()

    def _show(self, progress: CheckProgress) -> None:
        if not progress.seconds:
            self._since_ms, self._told_s = wall_ms(), 0.0
            self._place.tell("check", progress.command)
        elif progress.seconds - self._told_s >= TOLD_S:
            self._told_s = progress.seconds
            line = f": {progress.line}" if progress.line else ""
            self._place.tell("note", f"{progress.command} still runs after {progress.seconds:.0f} s{line}")
        self._place.report(
            CheckStatus(
                command=progress.command,
                number=progress.number,
                of=self._of,
                since_ms=self._since_ms,
                line=progress.line,
            )
        )
