"""The transcripts that Claude Code and Codex keep of their sessions: which exist, and what they end with.

It only reads, and little: the end of a file, again when it has grown. Belongs to the thread that created it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.edges import files, run_dir
from actors.errors import BadFileError
from shell.dashboard.agent_words import event_of, folder_of
from shell.dashboard.view import FINISHED_SHOWN, SessionFile

TAIL_BYTES = 64 * 1024  # an entry with a long tool result may fill it; then only its time is known
LIST_S = 10.0  # interval of the search for new files; known files are read at each look
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class _Place:
    agent: str
    folder: Path
    pattern: str


class AgentFiles:
    """Finds the files by the same variables of `environment` as the agents do."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        claude = Path(environment.get("CLAUDE_CONFIG_DIR") or home / ".claude")
        codex = Path(environment.get("CODEX_HOME") or home / ".codex")
        self._places = (
            _Place("claude", claude / "projects", "*/*.jsonl"),
            _Place("codex", codex / "sessions", "*/*/*/rollout-*.jsonl"),
        )
        self._listed_at = -LIST_S
        self._paths: dict[str, tuple[str, Path]] = {}  # by session id
        self._newest: list[str] = []
        self._known: dict[Path, tuple[int, SessionFile]] = {}  # with the size then

    def look(self, sessions: Iterable[str]) -> list[SessionFile]:
        """The newest transcripts, and those of `sessions`."""
        if time.monotonic() - self._listed_at >= LIST_S:
            self._list()
            self._listed_at = time.monotonic()
        return self.of(dict.fromkeys([*self._newest, *sessions]))

    def of(self, sessions: Iterable[str]) -> list[SessionFile]:
        """The existing transcripts of these sessions."""
        found = [self._read(each, *self._paths[each]) for each in sessions if each in self._paths]
        return [each for each in found if each is not None]

    def newest_in(self, agent: str, cwd: str, since_s: float) -> str:
        """The probable session of an agent without a session id in its arguments; "" = none."""
        fitting = [
            (file.last_event_at_ms, file.session_id)
            for _, file in self._known.values()
            if (file.agent, file.cwd) == (agent, cwd) and file.last_event_at_ms >= since_s * 1000
        ]
        return max(fitting)[1] if fitting else ""

    def _list(self) -> None:
        found: dict[str, tuple[str, Path]] = {}
        times: list[tuple[float, str]] = []
        for place in self._places:
            for path in place.folder.glob(place.pattern):
                hit = UUID.search(path.stem)
                try:
                    changed_s = path.stat().st_mtime
                except OSError:
                    continue
                if hit is not None:
                    found[hit.group()] = (place.agent, path)
                    times.append((changed_s, hit.group()))
        self._paths = found
        self._newest = [session for _, session in sorted(times, reverse=True)[: 2 * FINISHED_SHOWN]]
        self._known = {path: known for path, known in self._known.items() if path.exists()}

    def _read(self, session: str, agent: str, path: Path) -> SessionFile | None:
        try:
            state = path.stat()
            known = self._known.get(path)
            if known is not None and known[0] == state.st_size:
                return known[1]
            entries = list(_last_entries(path, state.st_size))
            first = _first_entry(path)
        except (OSError, BadFileError):
            return None
        entries_back = entries[::-1]
        file = SessionFile(
            agent=agent,
            session_id=session,
            cwd=next((folder for each in [*entries_back, *first] if (folder := folder_of(agent, each))), ""),
            last_event=next((words for each in entries_back if (words := event_of(agent, each))), ""),
            last_event_at_ms=round(state.st_mtime * 1000),
        )
        self._known[path] = (state.st_size, file)
        return file


def _last_entries(path: Path, size: int) -> Iterator[dict[str, object]]:
    with files.open_regular(path) as file:
        file.seek(max(0, size - TAIL_BYTES))
        yield from _objects(file.read(TAIL_BYTES).splitlines())


def _first_entry(path: Path) -> list[dict[str, object]]:
    with files.open_regular(path) as file:
        return list(_objects([file.readline(TAIL_BYTES)]))


def _objects(lines: Iterable[bytes]) -> Iterator[dict[str, object]]:
    """The JSON objects of the lines. Skips torn lines; the first may be one."""
    for line in lines:
        entry = run_dir.transcript_entry(line)
        if entry is not None:
            yield entry
