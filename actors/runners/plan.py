"""Reads PLAN.md."""

from __future__ import annotations

import hashlib

from actors.edges import files
from actors.errors import BadFileError, MissingFileError
from actors.machines import run
from actors.runners.base import Place
from actors.values import MOST_TASK_BYTES


class PlanRunner:
    """For `ReadPlan`. Very short."""

    def __init__(self, command: run.ReadPlan, place: Place) -> None:
        self._command = command
        self._path = place.cwd / "PLAN.md"

    def run(self) -> run.PlanRead:
        """Returns its text, or why there is none; and the digest of its bytes."""
        read_id = self._command.read_id
        try:
            content = files.read_bytes(self._path, MOST_TASK_BYTES)
        except MissingFileError:
            return run.PlanRead(read_id=read_id, text=None)
        except BadFileError as error:
            return run.PlanRead(read_id=read_id, text=None, error=f"PLAN.md: {error.reason}")
        digest = hashlib.sha256(content).hexdigest()
        if self._command.ahead:
            return run.PlanRead(read_id=read_id, text=None, digest=digest)
        try:
            return run.PlanRead(read_id=read_id, text=files.decoded(self._path, content), digest=digest)
        except BadFileError as error:
            return run.PlanRead(read_id=read_id, text=None, error=f"PLAN.md: {error.reason}", digest=digest)

    def cancel(self) -> None:
        """Does nothing: the job is too short to interrupt."""
