"""Reads the tree of the run (edges/tree), and keeps it (edges/checkpoints)."""

from __future__ import annotations

from actors.edges import checkpoints, tree, whereabouts
from actors.errors import LoopError
from actors.machines import run
from actors.runners.base import Place


class TreeRunner:
    """For `TakeTree`. Short, and without effect on files and branches, so it is never interrupted."""

    def __init__(self, command: run.TakeTree, place: Place) -> None:
        self._command = command
        self._place = place

    def run(self) -> run.TreeTaken:
        """Returns the tree, and which files have changed or are not committed."""
        command, cwd, store = self._command, self._place.cwd, self._place.store
        kept = unkept = ""
        if command.keep is None:
            taken = tree.take(cwd, store, apart=command.apart)
        else:
            captured = tree.capture(cwd, store, apart=command.apart)
            taken = captured.tree
            kept, unkept = _keep(captured, command.keep, self._place)
        if command.remember:
            whereabouts.remember(cwd, store)
        return run.TreeTaken(
            take_id=command.take_id,
            tree=taken,
            kept=kept,
            unkept=unkept,
            changed=tree.changed(cwd, store, command.since, taken.id),
            uncommitted=tree.uncommitted(cwd, store, taken),
            place=whereabouts.look(cwd, store, command.begun_on, taken) if command.begun_on is not None else None,
        )

    def cancel(self) -> None:
        """Does nothing: the job ends by itself."""


def _keep(captured: tree.Captured, keep: run.Keep, place: Place) -> tuple[str, str]:
    """The checkpoint's commit, or why there is none."""
    if captured.top is None or not captured.whole:
        return "", captured.tree.reason or f"{place.cwd} is not in a git repository"
    try:
        found = checkpoints.keep(
            *(captured.top, captured.whole),
            run_id=place.run_id,
            run_uid=keep.run_uid,
            number=keep.number,
            about=keep.about,
        )
    except LoopError as error:
        return "", str(error)
    return found.commit, ""
