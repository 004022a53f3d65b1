"""Probes for the pull request of the run's branch (edges/pull_request)."""

from __future__ import annotations

from actors.edges.pull_request import PullRequestProbe
from actors.machines import run
from actors.runners.base import Place


class PullRequestRunner:
    """For `ProbePullRequest`. An interrupted probe returns no result."""

    def __init__(self, command: run.ProbePullRequest, place: Place) -> None:
        self._command = command
        self._look = PullRequestProbe(place.cwd, place.environment, since=place.created_at)

    def run(self) -> run.PullRequestProbed:
        """Returns what git and `gh` report."""
        status = self._look.ahead() if self._command.ahead else self._look.now()
        return run.PullRequestProbed(look_id=self._command.look_id, status=status)

    def cancel(self) -> None:
        """Ends the running `gh`."""
        self._look.cancel()
