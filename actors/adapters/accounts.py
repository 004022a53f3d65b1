"""A session in another account of the same agent: its file is brought along.

An account is a folder of the agent's own, which a variable of its environment names. The session's file grows only, so
the longest one is the newest, whatever was killed in between. It never reads a login. The program must not run.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from actors.edges import files


def bring_session(pattern: str, own: Path, others: Iterable[Path]) -> None:
    """Copies the session's file to the folder `own` when another account has a longer one. Raises OSError.

    `pattern`: of the file, below an account's folder.
    """
    found = [(path.stat().st_size, root == own, root, path) for root in (own, *others) for path in root.glob(pattern)]
    if not found:
        return
    *_, root, path = max(found, key=lambda each: each[:2])
    if root == own:
        return
    target = own / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.replace(target, path.read_bytes())
