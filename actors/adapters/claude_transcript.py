"""The file of Claude Code's own transcript of a session.

The program appends to it about 100 ms behind what it does; this only reads. Any thread, one at a time. What the entries
mean is in claude_reading.py.

The SDK's get_session_messages is not used: it reads below the HOME of *this* process, and omits steered messages (they
are attachments). It shows neither interruptions nor errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actors.adapters.base import FoundTurn
from actors.adapters.claude_reading import Entry, Identify, find, message_id
from actors.text import ForeignJsonError, read_json


class Transcript:
    """The file of one session below `folder` (~/.claude, or what CLAUDE_CONFIG_DIR says). It need not exist yet."""

    def __init__(self, folder: Path, session_id: str, identify: Identify = message_id) -> None:
        self._folder = folder
        self._session_id = session_id
        self._identify = identify
        self._offset = 0
        self._path: Path | None = None

    def entries(self) -> Iterator[Entry]:
        """All whole entries; skips a torn last line."""
        return _parsed(self._bytes(0))

    def find(self, wanted: str) -> FoundTurn:
        """See `find`."""
        return find(self.entries(), wanted, self._identify)

    @property
    def exists(self) -> bool:
        """Whether the file exists."""
        return bool(self._bytes(0))

    def skip_to_end(self) -> None:
        """`new_entries` and `new_message_ids` begin here."""
        self._offset = len(self._bytes(0))

    def new_message_ids(self) -> set[str]:
        """The ids of the user messages that were written since the last call."""
        return {self._identify(entry) for entry in self.new_entries()} - {""}

    def new_entries(self) -> list[Entry]:
        """The entries written since the last call; none comes twice."""
        fresh = self._bytes(self._offset)
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._offset += len(whole)
        return list(_parsed(whole))

    def cost_usd(self) -> float:
        """The session's cost so far, which the program adopts on a resume. Written at an orderly exit."""
        states = [entry for entry in _parsed(self._bytes(0), b'"cost-state"') if entry.get("type") == "cost-state"]
        return float(states[-1].get("totalCostUSD") or 0.0) if states else 0.0

    def _bytes(self, start: int) -> bytes:
        # Named after the session, below a folder per working directory, which the program names by its own rule.
        self._path = self._path or next(self._folder.glob(f"projects/*/{self._session_id}.jsonl"), None)
        if self._path is None:
            return b""
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read()


def _parsed(data: bytes, holding: bytes = b"") -> Iterator[Entry]:
    for row in data.splitlines():
        if holding in row:
            try:
                entry = read_json(row)
            except ForeignJsonError:
                continue  # torn by a crash, or still being written
            if isinstance(entry, dict):
                yield entry
