"""Reads the tree of the run (edges/tree), and keeps it (edges/checkpoints).

A full disk is waited for: a tree that is not known binds no proof.
"""

from __future__ import annotations

import threading

from actors.edges import checkpoints, tree, whereabouts
from actors.errors import LoopError
from actors.machines import run
from actors.machines.run import TreeTaken
from actors.runners.base import Place
from actors.runners.room import when_there_is_room


class TreeRunner:
    """For `TakeTree`. Short, and without effect on files and branches: only a wait for room is interrupted."""

    def __init__(self, command: run.TakeTree, place: Place) -> None:
        self._command = command
        self._place = place
        self._cancelled = threading.Event()

    def run(self) -> TreeTaken:
        """Returns the tree, and which files have changed or are not committed."""
        return when_there_is_room(
            self._take,
            tell=lambda why: self._place.tell("error", f"the tree cannot be read: {why}"),
            cancelled=self._cancelled,
        )

    def _take(self) -> tuple[TreeTaken, str]:
        """The answer, and why it lacks something."""
        command, cwd, store = self._command, self._place.cwd, self._place.store
        kept = unkept = ""
        if command.keep is None:
            taken = tree.take(cwd, store, apart=command.apart)
        else:
            captured = tree.capture(cwd, store, apart=command.apart)
            taken = captured.tree
            kept, unkept = _keep(captured, command.keep, self._place)
        forgot = ""
        if command.remember:
            try:
                whereabouts.remember(cwd, store)
            except OSError as error:
                forgot = str(error)
        answer = TreeTaken(
            take_id=command.take_id,
            tree=taken,
            kept=kept,
            unkept=unkept,
            changed=tree.changed(cwd, store, command.since, taken.id),
            uncommitted=tree.uncommitted(cwd, store, taken),
            place=whereabouts.look(cwd, store, command.begun_on, taken) if command.begun_on is not None else None,
        )
        return answer, taken.reason or unkept or forgot

    def cancel(self) -> None:
        """Ends the wait for room. Else the job ends by itself."""
        self._cancelled.set()


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
