"""Probes for the pull request of the run's branch (edges/pull_request)."""

from __future__ import annotations

from msgspec.structs import replace

from actors.edges import publish
from actors.edges.pull_request import PullRequestProbe
from actors.machines import run
from actors.machines.run.jobs.pull_request import PullRequestStatus
from actors.runners.base import Place


class PullRequestRunner:
    """For `ProbePullRequest`. An interrupted probe returns no result."""

    def __init__(self, command: run.ProbePullRequest, place: Place) -> None:
        self._command = command
        self._place = place
        self._look = PullRequestProbe(place.cwd, place.environment, since=place.created_at, begun_on=command.begun_on)

    def run(self) -> run.PullRequestProbed:
        """Returns what git and `gh` report."""
        status = self._look.ahead() if self._command.ahead else self._look.now()
        return run.PullRequestProbed(look_id=self._command.look_id, status=status)

    def cancel(self) -> None:
        """Ends the running `gh`."""
        self._look.cancel()


class PublishingRunner(PullRequestRunner):
    """For `ProbePullRequest` of a worker that is away: its branch has come home, and is published from here.

    The worker there is asked only to commit: the user's logins are here. After its turn the branch is pushed, and the
    pull request opened if there is none. A repeated probe finds what the one before has done.
    """

    def run(self) -> run.PullRequestProbed:
        """Returns what git and `gh` report, once the branch is published."""
        if self._command.ahead:
            status = self._look.ahead()
            if status.lacks in ("", "gh"):
                status = replace(status, lacks="away")
        else:
            status = self._published()
        return run.PullRequestProbed(look_id=self._command.look_id, status=status)

    def _published(self) -> PullRequestStatus:
        """An open pull request also gets the commits that have been made since."""
        status = self._look.now()
        if status.lacks not in ("", "gh", "pull-request"):
            return status
        why = publish.push(self._place.cwd, self._place.environment)
        if not why and status.lacks == "pull-request":
            why = publish.open_draft(self._place.cwd, self._place.environment)
        if why:
            self._place.tell("error", f"not published from home: {why}")
            return status if status.found else replace(status, reason=f"{status.reason}; {why}")
        return self._look.now()
