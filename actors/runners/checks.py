"""Runs the checks of a run (edges/checks)."""

from __future__ import annotations

from actors.edges.checks import TIMEOUT_S, CheckProgress, CheckRun
from actors.machines import run
from actors.runners.base import Place


class ChecksRunner:
    """For `RunChecks`. Reports long checks periodically."""

    def __init__(self, command: run.RunChecks, place: Place) -> None:
        self._id = command.checks_id
        self._tell = place.tell
        self._checks = CheckRun(
            command.commands, place.cwd, place.environment, timeout_s=command.timeout_s or TIMEOUT_S
        )

    def run(self) -> run.ChecksEnded | None:
        """Returns the results so far when all passed or one failed."""
        results = self._checks.run(self._show)
        return None if results is None else run.ChecksEnded(checks_id=self._id, results=tuple(results))

    def cancel(self) -> None:
        """Ends the check that runs."""
        self._checks.cancel()

    def _show(self, progress: CheckProgress) -> None:
        if progress.seconds:
            line = f": {progress.line}" if progress.line else ""
            self._tell("note", f"{progress.command} still runs after {progress.seconds:.0f} s{line}")
        else:
            self._tell("check", progress.command)
