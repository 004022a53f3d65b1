"""Cuts a foreign stream of bytes into lines. Pure: linear in what comes, bounded in what it keeps."""

from __future__ import annotations

from actors.errors import AgentBreachError

# One event may carry a whole file or an image. A longer one could not be sent on: wire.envelope accepts 64 MiB.
LONGEST_LINE = 50_000_000  # bytes
# Codex answers `thread/read` with the whole conversation, which is not sent on.
LONGEST_ANSWER = 250_000_000


def too_long(limit: int = LONGEST_LINE) -> AgentBreachError:
    """The error of a line beyond the limit; the caller puts the agent's name before it."""
    return AgentBreachError(f"sent a line of over {limit / 1_000_000:g} MB")


class LineCutter:
    """The lines of one stream, without their ends. `rest` is what came after the last newline."""

    def __init__(self, limit: int = LONGEST_LINE) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def rest(self) -> bytes:
        """The unfinished last line."""
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that this data completes. Raises AgentBreachError for a line beyond the limit; the cutter is then
        unusable.
        """
        head, newline, tail = data.partition(b"\n")
        self._keep(head)
        if not newline:
            return []
        *lines, last = [self.rest, *tail.split(b"\n")]
        self._pieces, self._size = [], 0
        self._keep(last)
        return lines

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            self._pieces = []
            raise too_long(self._limit)
        self._pieces.append(piece)
