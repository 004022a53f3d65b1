"""Looks for the pull request of the branch that the run is on (edges/pull_request)."""

from __future__ import annotations

from actors.edges.pull_request import PullRequestProbe
from actors.machines import run
from actors.runners.base import Place


class PullRequestRunner:
    """For `ProbePullRequest`. What a look that was broken off has seen is void, and is not told."""

    def __init__(self, command: run.ProbePullRequest, place: Place) -> None:
        self._command = command
        self._look = PullRequestProbe(place.cwd, place.environment, since=place.created_at)

    def run(self) -> run.PullRequestProbed:
        """What git and `gh` say."""
        sight = self._look.ahead() if self._command.ahead else self._look.now()
        return run.PullRequestProbed(look_id=self._command.look_id, sight=sight)

    def break_off(self) -> None:
        """Ends the `gh` that is asked."""
        self._look.break_off()
