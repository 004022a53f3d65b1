"""Reads the tree of the run (edges/tree)."""

from __future__ import annotations

from actors.edges import tree
from actors.machines import run
from actors.runners.base import Place


class TreeRunner:
    """For `TakeTree`. Read-only and short, so it is never interrupted."""

    def __init__(self, command: run.TakeTree, place: Place) -> None:
        self._command = command
        self._place = place

    def run(self) -> run.TreeTaken:
        """Returns the tree, and which files have changed or are not committed."""
        command, cwd, store = self._command, self._place.cwd, self._place.store
        taken = tree.take(cwd, store, apart=command.apart)
        return run.TreeTaken(
            take_id=command.take_id,
            tree=taken,
            changed=tree.changed(cwd, store, command.since, taken.id),
            uncommitted=tree.uncommitted(cwd, store, taken),
        )

    def break_off(self) -> None:
        """Does nothing: the job ends by itself."""
