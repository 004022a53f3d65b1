"""The root's part of a run's manifest: what it says at the start, and where the run's own actors can say nothing.

Lives in the root process. The persistence actor writes the rest, while it runs.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from actors.clock import wall_ms
from actors.edges import run_dir
from actors.run_states import FINAL_STATES
from supervisor.run_tree import RunSpec
from supervisor.tree_protocol import RunResult

# Keys of the manifest, SHA-256 of a repository's `.loop.toml`: the content that the run may use, and the content in its
# working tree.
ALLOWED = "allowedConfiguration"
SEEN = "seenConfiguration"


def write_end(directory: Path, result: RunResult) -> None:
    """Writes the end into the manifest, for a run whose own actor could not. Call it while the lock is held and the
    actors are gone.
    """
    manifest = run_dir.read_manifest(directory) or {}
    if result.state in FINAL_STATES and manifest.get("state") not in FINAL_STATES:
        write_state(directory, result.state)


def write_state(directory: Path, state: str) -> None:
    """Writes the state into the manifest of a run that is locked and has no actors."""
    with suppress(OSError):  # a full disk: the caller reports it, and a resume writes it again
        run_dir.set_state(directory, state, wall_ms())


def first_manifest(spec: RunSpec) -> dict[str, object]:
    """The root's part of the manifest; the persistence actor adds state, times and session ids."""
    known = run_dir.read_manifest(spec.directory) or {}
    return {
        "claudeSessionId": known.get("claudeSessionId", ""),
        "codexThreadId": known.get("codexThreadId", ""),
        "createdAt": known.get("createdAt") or run_dir.iso(wall_ms()),
        "cwd": str(spec.cwd),
        "mode": "paired" if spec.paired else "single",
        "pid": os.getpid(),
        "repoId": spec.repo_id,
        "runId": spec.run_id,
        "worktree": spec.worktree,
        "repository": str(spec.repository or spec.cwd),
        SEEN: spec.tree_sha256,
        **({ALLOWED: spec.allowed_sha256} if spec.allowed_sha256 else {}),
        **({"tmuxSession": spec.tmux_session} if spec.tmux_session else {}),
        **({"workspace": True} if spec.workspace else {}),
        **({"places": spec.place_names} if spec.places or "places" in known else {}),
        "agents": spec.agents,
    }
