"""What every job that touches the world has in common: where it runs, how it is run, and how it is broken off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.machines import run
from actors.messages import ProgressKind


@dataclass(frozen=True, kw_only=True)
class Place:
    """A working tree, and what is known of the run there. `tell(kind, text)` is a line for users; any thread."""

    cwd: Path
    environment: dict[str, str]
    store: Path  # folder of the run's own: what git makes to compare trees
    created_at: str  # of the run, as the manifest has it
    tell: Callable[[ProgressKind, str], None]


class Runner(Protocol):
    """One job. `run` once, in a thread of its own; `break_off` any number of times, from any thread."""

    def run(self) -> run.Event | None:
        """Does it, and gives the event that answers the command; None when it was broken off."""

    def break_off(self) -> None:
        """Ends `run` soon, with everything that it started. A job that is over in a moment may ignore it."""
