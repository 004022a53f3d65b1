"""The run directory: `~/.loop/runs/<repo-id>/<run-id>/` with manifest.json and transcript.jsonl.

The two files are a contract with other tools (docs/coming-from.md): replaced atomically, appended whole, never left
torn. The command line uses the functions that list and choose runs. The writers live in the persistence process alone.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from actors import run_states, text, values
from actors.edges import files, run_lock
from actors.errors import BadFileError, MissingFileError, UserError
from actors.text import ForeignJsonError

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# It is in the names of a branch, a tmux session and a worktree, which take 255 bytes with the repository's name.
LONGEST_RUN_ID = 64
_COUNTED = re.compile(r"[0-9]{1,15}")  # a run that the user has named 99…9 does not use up the numbers
_FROM_SNAKE = {
    "claude_channel_server": "claudeChannelServer",
    "claude_session_id": "claudeSessionId",
    "codex_remote_url": "codexRemoteUrl",
    "codex_thread_id": "codexThreadId",
    "created_at": "createdAt",
    "repo_id": "repoId",
    "run_id": "runId",
    "tmux_session": "tmuxSession",
    "updated_at": "updatedAt",
}

Manifest = dict[str, object]  # unknown keys are kept, so it stays a mapping

# Values that are shown or used as text.
_TEXTS = (
    *("claudeSessionId", "codexThreadId", "createdAt", "cwd", "mode", "repoId", "runId", "state", "status"),
    *("tmuxSession", "updatedAt", "worktree"),
)
_TEXTS_BY_NAME = ("agents", "sessions")
_FILES = (
    *("manifest.json", "transcript.jsonl", "root.lock", "log", "submission.json", "notified.json", "moves.json"),
    "leases.json",
    *("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "journal.lock"),
)
MOST_TRANSCRIPT_BYTES = 50_000_000


def runs_root(home: Path) -> Path:
    """The directory of all runs."""
    return home / ".loop" / "runs"


def iso(at_ms: int) -> str:
    """Unix milliseconds as ISO-8601 UTC with milliseconds: 2026-01-31T12:00:00.123Z."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest with camelCase keys, or None when it is missing or unusable. Unknown keys are kept.

    Accepts snake_case keys and old files that have only `status`. `look` gives the reason for None.
    """
    try:
        return _manifest(directory)
    except (BadFileError, OSError):
        return None


def _manifest(directory: Path) -> Manifest:
    """Raises `BadFileError`, or its subclass `MissingFileError` when there is no manifest."""
    path = directory / "manifest.json"
    raw = files.read_json(path)
    if not isinstance(raw, dict):
        raise BadFileError(path, f"it holds {values.shown(raw)}, and a JSON object is needed")
    manifest: Manifest = {_FROM_SNAKE.get(str(key), str(key)): value for key, value in raw.items()}
    for key in _TEXTS:
        if isinstance(found := manifest.get(key), list | dict) or "\0" in str(found):
            raise BadFileError(path, f"{key} is {values.shown(found)}, and a text is needed")
    for key in _TEXTS_BY_NAME:
        named = manifest.get(key) or {}
        if not isinstance(named, dict) or not all(isinstance(each, str) for each in named.values()):
            raise BadFileError(path, f"{key} is {values.shown(named)}, and an object of texts is needed")
    if "state" not in manifest:
        manifest["state"] = run_states.state_of(str(manifest.get("status", "")))
    return manifest


class RunLook(NamedTuple):
    """The content of a run's directory. `damage`: why its manifest or lock is unusable; "" when they are usable or
    missing.
    """

    manifest: Manifest | None = None
    holder: run_lock.Holder | None = None
    damage: str = ""


def look(directory: Path) -> RunLook:
    """Reads a run that another process may have written. Never raises: a damaged run does not affect the others."""
    holding = None
    try:
        if stat.S_ISREG(directory.lstat().st_mode):
            return RunLook()  # a file among the runs is not a run
        holding = run_lock.holder(directory)
        if holding is None:
            files.is_regular(directory / "root.lock")
        return RunLook(manifest=_manifest(directory), holder=holding)
    except (MissingFileError, FileNotFoundError):
        return RunLook(holder=holding)
    except (BadFileError, OSError) as error:
        return RunLook(holder=holding, damage=_damage(directory, error))


def _damage(directory: Path, error: BadFileError | OSError) -> str:
    return str(error) if isinstance(error, BadFileError) else f"{directory}: {(error.strerror or str(error)).lower()}"


def check_whole(directory: Path) -> None:
    """Raises `UserError` unless the manifest is usable or missing, and each other file of the run that exists is a
    regular file. Called before the run is resumed.
    """
    try:
        for name in _FILES:
            files.is_regular(directory / name)
        with suppress(MissingFileError):
            _manifest(directory)
    except (BadFileError, OSError) as error:
        raise UserError(f"run {directory.name} is damaged: {_damage(directory, error)}") from error


def directories(runs_in: Path, *, levels: int = 1) -> list[Path]:
    """The directories with valid run names, of one repository or (two levels below) of all; sorted.

    Skips unreadable ones.
    """
    found: list[Path] = []
    with suppress(OSError):
        for entry in sorted(runs_in.iterdir()):
            if RUN_ID.fullmatch(entry.name):
                found += [entry] if levels == 1 else directories(entry)
    return found


def encode_manifest(manifest: Mapping[str, object]) -> bytes:
    """The manifest's bytes: 2-space JSON, keys sorted, newline at the end."""
    return (json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def write_manifest(directory: Path, manifest: Mapping[str, object]) -> None:
    """Replaces manifest.json atomically; durable when it returns."""
    files.replace(directory / "manifest.json", encode_manifest(manifest), lone=True)


def set_state(directory: Path, state: str, at_ms: int) -> None:
    """Sets the state of a run without actors. The caller holds the run's lock.

    The journal is authoritative: a resume rebuilds the manifest from it.
    """
    manifest = read_manifest(directory)
    if manifest is not None and manifest.get("state") != state:
        status = run_states.status_of(state)
        write_manifest(directory, {**manifest, "state": state, "status": status, "updatedAt": iso(at_ms)})


def read_transcript(directory: Path) -> list[dict[str, object]]:
    """The last whole lines of transcript.jsonl that are JSON objects; skips a torn one."""
    try:
        content, is_cut = files.tail(directory / "transcript.jsonl", MOST_TRANSCRIPT_BYTES)
    except (BadFileError, OSError):
        return []
    lines = content.splitlines()[1 if is_cut else 0 :]
    return [entry for line in lines if (entry := transcript_entry(line)) is not None]


def transcript_entry(line: bytes | str) -> dict[str, object] | None:
    """A line of our transcript or an agent's; None when it is torn or not a JSON object."""
    try:
        entry = text.read_json(line)
    except ForeignJsonError:
        return None
    return entry if isinstance(entry, dict) else None


class TranscriptFile:
    """Appends whole lines to transcript.jsonl and completes it after a crash.

    `foreign`: the number of lines older than our journal (a run of the original), which are kept.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "transcript.jsonl"
        self._file = files.open_own(self._path, os.O_RDWR | os.O_APPEND)

    def whole_lines(self) -> list[bytes]:
        """Cuts off a torn last line and returns the rest."""
        content = self._path.read_bytes()
        whole = content.rpartition(b"\n")[0] + b"\n" if b"\n" in content else b""
        if len(whole) != len(content):
            os.ftruncate(self._file, len(whole))
        return whole.splitlines()

    def restore(self, foreign: int, lines: list[str]) -> None:
        """Makes the file hold its `foreign` first lines followed by exactly `lines`."""
        have = self.whole_lines()
        ours = have[foreign:]
        wanted = [line.encode() for line in lines]
        if ours != wanted[: len(ours)]:  # damaged from outside: ours are rewritten from the journal
            self._rewrite(have[:foreign])
            ours = []
        self.append(lines[len(ours) :])

    def append(self, lines: list[str]) -> None:
        """Writes all lines in one write, so a reader never sees a torn one.

        Raises OSError, also after a partial write: `restore` then completes the file.
        """
        data = "".join(line + "\n" for line in lines).encode()
        if data and os.write(self._file, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def close(self) -> None:
        """Durable when it returns."""
        os.fsync(self._file)
        os.close(self._file)

    def _rewrite(self, lines: list[bytes]) -> None:
        files.replace(self._path, b"".join(line + b"\n" for line in lines), lone=True)
        os.close(self._file)
        self._file = files.open_own(self._path, os.O_RDWR | os.O_APPEND)


def forget_unbegun(directory: Path) -> None:
    """Removes the directory of a new run that could not be started; keeps it when it has a manifest."""
    if not (directory / "manifest.json").exists():
        import shutil  # imported here: it imports three compressors, and a console is to start quickly

        shutil.rmtree(directory, ignore_errors=True)


def check_run_id(run_id: str) -> str:
    """Returns the valid run id, or raises a `UserError` that shows the rule."""
    if not RUN_ID.fullmatch(run_id):
        raise UserError(
            f"bad run id {values.shown(run_id)}: use letters, digits, '-' and '_', beginning with a letter or digit"
        )
    if len(run_id) > LONGEST_RUN_ID:
        raise UserError(f"bad run id {values.shown(run_id)}: use at most {LONGEST_RUN_ID} characters")
    return run_id


def directory_of(home: Path, repo_id: str, run_id: str) -> Path:
    """The run's directory, existing or not: always below `runs_root`. Raises `UserError` for an invalid id."""
    if not RUN_ID.fullmatch(repo_id):
        raise UserError(f"bad repository {values.shown(repo_id)}: loop dashboard shows the runs of all repositories")
    return runs_root(home) / repo_id / check_run_id(run_id)


def new_run_directory(
    repo_runs: Path, run_id: str | None, is_free: Callable[[str], bool] = lambda _run_id: True
) -> Path:
    """Makes the directory of a new run: `run_id`, or the first number above the highest that `is_free`.

    Safe when two runs start concurrently.
    """
    files.make_private(repo_runs)
    if run_id is not None:
        directory = repo_runs / check_run_id(run_id)
        files.make_private(directory)
        return directory
    numbers = [int(entry.name) for entry in repo_runs.iterdir() if _COUNTED.fullmatch(entry.name)]
    for number in itertools.count(max(numbers, default=0) + 1):
        directory = repo_runs / str(number)
        with suppress(FileExistsError):
            if is_free(directory.name):
                directory.mkdir(mode=0o700)
                return directory
    raise AssertionError("numbers do not end")


def find_run(repo_runs: Path, wanted: str) -> Path | None:
    """The directory of the run whose run id or agent session id is `wanted`; the newest of several."""
    if RUN_ID.fullmatch(wanted) and read_manifest(repo_runs / wanted) is not None:
        return repo_runs / wanted
    return find_session(repo_runs, wanted)


def find_session(repo_runs: Path, session_id: str) -> Path | None:
    """The directory of the run with this session of an agent; the newest of several."""
    hits = []
    for directory in directories(repo_runs):
        manifest = read_manifest(directory)
        if manifest is not None and session_id in session_ids(manifest).values():
            hits.append((str(manifest.get("updatedAt", "")), directory))
    return max(hits)[1] if hits else None


# The original has one key for each of its two agents. Other agents' sessions are under "sessions" alone.
SESSION_KEYS = {"claude": "claudeSessionId", "codex": "codexThreadId"}


def session_ids(manifest: Manifest) -> dict[str, str]:
    """Session id by agent name, from our own key and from the original's."""
    found = {agent: str(manifest[key]) for agent, key in SESSION_KEYS.items() if manifest.get(key)}
    sessions = manifest.get("sessions")
    if isinstance(sessions, dict):
        found.update({str(name): str(value) for name, value in sessions.items()})
    return found
