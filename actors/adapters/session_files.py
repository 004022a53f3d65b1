"""Where an agent keeps the file of a session: read here to take it to another machine, and put here when it comes.

One file is all that travels: the conversation, in the agent's own format. No login, no setting, none of the other files
beside it (Codex copies variables, secrets among them, into `shell_snapshots`). Its name comes from another machine, so
it must be one that this agent gives. An agent that is not listed keeps its sessions to itself.

Claude Code looks for a session below a folder that is named after the working directory, so the file goes into the
folder of the directory here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from actors.edges import files

MOST_BYTES = 64 * 1024 * 1024  # of a session that travels
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_ROLLOUT = re.compile(r"rollout-(\d{4})-(\d\d)-(\d\d)T\d\d-\d\d-\d\d-")
LONGEST_FOLDER = 200  # of Claude's; the name of a longer one ends with a hash of its own


def travels(agent: str) -> bool:
    """Whether sessions of the agent are in files that are known here."""
    return agent in {"claude", "codex", "embedded"}


def is_id(session_id: str) -> bool:
    """Whether it can be the id of a session: no path."""
    return _ID.fullmatch(session_id) is not None


def found(agent: str, environment: Mapping[str, str], session_id: str) -> Path | None:
    """The session's file, the longest where there are several; None: there is none."""
    if not travels(agent) or not is_id(session_id):
        return None
    pattern = {
        "claude": f"projects/*/{session_id}.jsonl",
        "codex": f"sessions/*/*/*/rollout-*-{session_id}.jsonl",
        "embedded": f"{session_id}.jsonl",
    }[agent]
    there = [path for path in _root(agent, environment).glob(pattern) if files.is_regular(path)]
    return max(there, key=lambda path: path.stat().st_size, default=None)


def place_for(agent: str, environment: Mapping[str, str], cwd: Path, session_id: str, name: str) -> Path | None:
    """Where the agent looks for the session's file of that name when it works in `cwd`; None: nowhere."""
    if not travels(agent) or not is_id(session_id):
        return None
    root = _root(agent, environment)
    if agent == "codex":
        date = _ROLLOUT.match(name)
        if date is None or name[date.end() :] != f"{session_id}.jsonl":
            return None
        return root.joinpath("sessions", *date.groups(), name)
    if name != f"{session_id}.jsonl":
        return None
    if agent == "embedded":
        return root / name
    folder = re.sub(r"[^a-zA-Z0-9]", "-", os.path.realpath(cwd))
    return root / "projects" / folder / name if len(folder) <= LONGEST_FOLDER else None


def is_named(agent: str, session_id: str, name: str) -> bool:
    """Whether the agent gives the session's file such a name."""
    return place_for(agent, {"HOME": "/"}, Path("/"), session_id, name) is not None


def put(path: Path, content: bytes) -> None:
    """Makes the file have this content; private to the user. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.replace(path, content)


def read(path: Path) -> bytes | None:
    """Its whole lines: the agent may be writing the last one. None: it is too large to travel. Raises OSError."""
    with files.open_regular(path) as file:
        content = file.read(MOST_BYTES + 1)
    return None if len(content) > MOST_BYTES else content[: content.rfind(b"\n") + 1]


def _root(agent: str, environment: Mapping[str, str]) -> Path:
    home = Path(environment.get("HOME") or Path.home())
    match agent:
        case "claude":
            return Path(environment.get("CLAUDE_CONFIG_DIR") or home / ".claude")
        case "codex":
            return Path(environment.get("CODEX_HOME") or home / ".codex")
        case _:
            return home / ".loop-embedded"
