"""Puts a run's working tree back to one of its checkpoints. Plain `git`; the command line calls it.

HEAD, branches and the index stay as they are, and so do ignored files. Only files that differ are written, and those
that the checkpoint lacks are removed. Nothing is lost: each file that is overwritten has its content in HEAD or in a
checkpoint of the run, else the whole is refused before anything is changed. If it is killed half-way, the same command
completes it: what was written by then is the checkpoint's content.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.edges import tree
from actors.edges.git import ask, git
from actors.edges.scratch import scratch
from actors.errors import OperationalError, UserError
from actors.machines.checkpoint import Checkpoint

_LINK_TO_A_REPOSITORY = "160000"
_QUIET = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false")


class InTheWayError(UserError):
    """Files would be lost; nothing was changed. `ignored`: they are ignored by git, and not in it."""

    def __init__(self, names: Collection[str], *, ignored: bool) -> None:
        super().__init__(", ".join(names))
        self.names = tuple(names)
        self.ignored = ignored


@dataclass(frozen=True, kw_only=True)
class Restored:
    """Files that were written or removed, and submodules that differ and were left as they are."""

    names: tuple[str, ...]
    submodules: tuple[str, ...]


@dataclass(frozen=True)
class _Change:
    name: str
    exists: bool  # there now; else the checkpoint adds it
    submodule: bool


def restore(cwd: Path, store: Path, known: Mapping[int, Checkpoint], target: Checkpoint) -> Restored:
    """Restores it in the working tree that contains `cwd`. Raises `InTheWayError` or `OperationalError`.

    `known`: the run's checkpoints. `store`: its folder for trees.
    """
    captured = tree.capture(cwd, store)
    if captured.top is None or not captured.whole:
        raise OperationalError(captured.tree.reason or f"{cwd} is not in a git repository")
    top, now = captured.top, captured.whole
    changes = list(_changes(top, now, target.tree))
    files = [each for each in changes if not each.submodule]
    _refuse(_unsaved(top, now, files, known.values()), ignored=False)
    _refuse(_hidden(top, files), ignored=True)
    if files:
        _write(top, store, now, target.tree)
    return Restored(
        names=tuple(each.name for each in files), submodules=tuple(each.name for each in changes if each.submodule)
    )


def _refuse(names: Collection[str], *, ignored: bool) -> None:
    if names:
        raise InTheWayError(names, ignored=ignored)


def _changes(top: Path, before: str, after: str) -> Iterator[_Change]:
    listed = _must(top, "diff-tree", "-r", "-z", "--raw", "--no-renames", before, after).split("\0")
    for facts, name in zip(listed[::2], listed[1::2], strict=False):
        old, new, *_, status = facts.lstrip(":").split(" ")
        yield _Change(name=name, exists=status != "A", submodule=_LINK_TO_A_REPOSITORY in (old, new))


def _unsaved(top: Path, now: str, files: Iterable[_Change], known: Iterable[Checkpoint]) -> list[str]:
    """The files whose present content is in neither HEAD nor a checkpoint."""
    unsaved = {each.name for each in files if each.exists}
    saved = [each.tree for each in known]
    if (head := git(top, "rev-parse", "--verify", "--quiet", "HEAD^{tree}")) is not None:
        saved.insert(0, head)
    for each in saved:
        if not unsaved:
            break
        names = _must(top, "diff-tree", "-r", "-z", "--name-only", "--no-renames", now, each)
        unsaved &= set(names.split("\0"))
    return sorted(unsaved)


def _hidden(top: Path, files: Collection[_Change]) -> list[str]:
    """Ignored files where the checkpoint has a file or a folder."""
    ours = {each.name for each in files if each.exists}
    found: set[str] = set()
    for name in (each.name for each in files if not each.exists):
        path = top / name
        above = [parent for parent in path.relative_to(top).parents if str(parent) != "."]
        found.update(str(each) for each in above if _is_file(top / each) and str(each) not in ours)
        if _is_file(path):
            found.add(name)
        elif path.is_dir():
            below = (Path(at, each).relative_to(top) for at, _, inside in os.walk(path) for each in inside)
            found.update(str(each) for each in below if str(each) not in ours)
    return sorted(found)


def _is_file(path: Path) -> bool:
    return os.path.lexists(path) and (path.is_symlink() or not path.is_dir())


def _write(top: Path, store: Path, now: str, target: str) -> None:
    """Lets git go from one tree to the other with an index of our own. It looks at everything before it writes."""
    with scratch(store) as folder:
        variables = {"GIT_INDEX_FILE": str(folder.resolve() / "index")}
        _must(top, *_QUIET, "read-tree", now, variables=variables)
        ask(top, *_QUIET, "update-index", "-q", "--refresh", variables=variables)  # fails for what differs; fine
        _must(top, *_QUIET, "read-tree", "-m", "-u", now, target, variables=variables)


def _must(cwd: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    answer = ask(cwd, *arguments, variables=variables, timeout_s=tree.TIMEOUT_S)
    if answer.output is None:
        raise OperationalError(answer.reason)
    return answer.output
