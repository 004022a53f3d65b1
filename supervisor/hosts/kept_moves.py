"""The moves that were asked for and have not come true, in a file of the run: they outlive the root.

The next root asks for them again, as the user did. Only the root that holds the run writes the file. A move whose file
cannot be written is carried out all the same; it is lost with its root alone.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from loguru import logger

from actors.edges import files
from actors.errors import BadFileError
from actors.settings import Role

FILE = "moves.json"


class KeptMove(msgspec.Struct, frozen=True):
    """Where the actor is to run: a host's name; "" = home. `now`: its turn is cut."""

    place: str
    now: bool = False


def read(directory: Path, *, without: Collection[str] = ()) -> dict[Role, KeptMove]:
    """The moves of the run in `directory`, without those of these actors."""
    found: dict[Role, KeptMove] = {}
    with suppress(BadFileError, OSError, ValueError):
        found = msgspec.json.decode(files.read_bytes(directory / FILE), type=dict[Role, KeptMove])
    return {role: move for role, move in found.items() if role not in without}


class KeptMoves:
    """The moves of one run. Any thread. `known`: those of the root before."""

    def __init__(self, directory: Path, known: Mapping[Role, KeptMove]) -> None:
        self._path = directory / FILE
        self._guard = threading.Lock()
        self._moves = dict(known)

    def keep(self, role: Role, move: KeptMove | None) -> None:
        """Keeps the move, durably when this returns. None: there is none any more."""
        with self._guard:
            if self._moves.get(role) == move:
                return
            self._moves.pop(role, None)
            if move is not None:
                self._moves[role] = move
            try:
                if self._moves:
                    files.replace(self._path, msgspec.json.encode(self._moves), lone=True)
                else:
                    self._path.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("the moves under way cannot be written down: {}", error)
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)  # else the next root would make moves that have come true
