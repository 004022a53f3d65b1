"""The contract of every job that touches the world: its place, how to run it, and how to interrupt it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.edges import tree
from actors.machines import run
from actors.messages import CheckStatus, ProgressKind
from actors.starts import StartAgent, StartRun

CHECKS = "checks"  # folder in the run's directory: what checks have printed


@dataclass(frozen=True, kw_only=True)
class Place:
    """A working tree, and the facts of its run. `tell(kind, text)` sends users a line, `report` what a job is at; both
    from any thread.
    """

    cwd: Path
    run_id: str  # as users know the run
    environment: dict[str, str]
    store: Path  # the run's own folder: git objects for comparing trees
    outputs: Path  # the run's own folder: what checks print
    created_at: str  # of the run, as the manifest has it
    tell: Callable[[ProgressKind, str], None]
    report: Callable[[CheckStatus], None]


def place_of(
    start: StartRun | StartAgent,
    *,
    tell: Callable[[ProgressKind, str], None],
    report: Callable[[CheckStatus], None],
) -> Place:
    """The working tree of an actor that was started so."""
    return Place(
        cwd=start.cwd,
        run_id=start.run_id,
        environment=start.environment,
        store=start.directory / tree.FOLDER,
        outputs=start.directory / CHECKS,
        created_at=start.created_at,
        tell=tell,
        report=report,
    )


class Runner(Protocol):
    """One job. `run` once, in a thread of its own; `cancel` any number of times, from any thread."""

    def run(self) -> run.Event | None:
        """Does the job and returns the event that answers the command; None when it was interrupted."""

    def cancel(self) -> None:
        """Ends `run` soon, with everything that it started. A very short job may ignore it."""
