"""Where the work of a run is: on its branch, or on another one. Plain `git` queries; blocks while git works.

`remember` writes down the branches before the first iteration; `look` compares with them. What cannot be said is not
said: the result is None.
"""

from __future__ import annotations

from pathlib import Path

from actors.edges import files
from actors.edges.git import ask, git, top_level
from actors.errors import BadFileError
from actors.machines.run import Tree, Whereabouts

_FILE = "branches"
_MOST_BYTES = 20_000_000
MOST_NAMES = 10


def remember(cwd: Path, store: Path) -> None:
    """The branches as they are now."""
    files.replace(store / _FILE, "\n".join(f"{tip} {name}" for name, tip in _branches(cwd).items()).encode())


def look(cwd: Path, store: Path, begun_on: tuple[str, str], now: Tree) -> Whereabouts | None:
    """Where the work is, for a run that began at this commit, on this branch. None when that is not known."""
    (commit, branch), top = begun_on, top_level(cwd)
    if top is None:
        return None
    try:
        content = files.read_bytes(store / _FILE, _MOST_BYTES).decode(errors="replace")
    except BadFileError:
        return None
    rows = (line.partition(" ") for line in content.splitlines())
    before = {name: tip for tip, _, name in rows}
    after = _branches(cwd)
    return Whereabouts(
        directory=_text(str(cwd)),
        own=bool(branch) and top.name == branch,  # as edges/worktree names both
        grown=bool(now.branch) and now.branch not in before and _contains(cwd, commit, now.commit),
        moved=tuple(_moved(cwd, before, after, but=now.branch)),
    )


def _branches(cwd: Path) -> dict[str, str]:
    """Their tips, by name."""
    listed = git(cwd, "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads") or ""
    return {_text(name): tip for tip, _, name in (line.partition(" ") for line in listed.splitlines())}


def _moved(cwd: Path, before: dict[str, str], after: dict[str, str], *, but: str) -> list[str]:
    """The other branches with commits that are new, and not in HEAD."""
    found: list[str] = []
    head = git(cwd, "rev-parse", "--verify", "--quiet", "HEAD")
    for name, tip in after.items():
        if len(found) == MOST_NAMES:
            break
        if name != but and before.get(name) != tip:
            known = [f"^{each}" for each in (before.get(name), head) if each]
            if git(cwd, "rev-list", "--count", tip, *known) not in ("0", None):
                found.append(name)
    return found


def _contains(cwd: Path, base: str, commit: str) -> bool:
    return not base or ask(cwd, "merge-base", "--is-ancestor", base, commit).output is not None


def _text(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="replace")
