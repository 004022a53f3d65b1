"""The contract of every job that touches the world: its place, how to run it, and how to interrupt it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.machines import run
from actors.messages import CheckStatus, ProgressKind

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


class Runner(Protocol):
    """One job. `run` once, in a thread of its own; `cancel` any number of times, from any thread."""

    def run(self) -> run.Event | None:
        """Does the job and returns the event that answers the command; None when it was interrupted."""

    def cancel(self) -> None:
        """Ends `run` soon, with everything that it started. A very short job may ignore it."""
