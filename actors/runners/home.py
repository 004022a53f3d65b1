"""The courier of the run's process, made of the run's start: which tree, which refs, whose sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from actors.adapters import session_files
from actors.edges import run_dir, tree
from actors.messages import Message, ProgressKind
from actors.runners.courier import HomeCourier
from actors.runners.session_courier import HomeSessions, environments
from actors.starts import StartRun


def courier(
    start: StartRun, *, tell: Callable[[str, Message], None], say: Callable[[ProgressKind, str], None]
) -> HomeCourier:
    """Brings trees and sessions home and away. `tell` sends a message to the agent's actor in that role."""

    def own(role: str, session_id: str) -> Iterator[Path]:
        return _own_sessions(start, role, session_id)

    return HomeCourier(
        start.cwd,
        start.directory / tree.FOLDER,
        salvage=f"refs/loop/{start.run_id}/salvage",
        tell=tell,
        say=say,
        sessions=HomeSessions(
            start.directory,
            {role: agent.lower() for role, agent in start.agents.items()},
            own=own,
            tell=tell,
        ),
    )


def _own_sessions(start: StartRun, role: str, session_id: str) -> Iterator[Path]:
    """Files of the session that the agent has at home: only of the one that the run knows."""
    known = run_dir.session_ids(run_dir.read_manifest(start.directory) or {})
    for each, agent in start.agents.items():
        if each == role and session_id == known.get(role):
            for environment in environments(start.environment, start.programs.get(each)):
                if path := session_files.found(agent.lower(), environment, session_id):
                    yield path
