"""Takes a run's tree from one machine to another, as git objects. Blocks its thread while git works.

A snapshot is a commit that nobody sees: its tree is everything that is not ignored, its parent the commit that is
checked out. Its time and author are fixed, so the same files make the same id on every machine. What travels is a
pack of the snapshot without what the other side has. Neither side's branches and files change before `put`.

A pack goes from one git's output to the other one's input: no file of it is left behind by a process that is killed.

Ignored files stay where they are. Submodules travel as their commit alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors.edges import files, tree
from actors.edges.git import ask, piped
from actors.edges.scratch import scratch
from actors.errors import OperationalError

TIMEOUT_S = 600.0  # of one git command: a large tree, a slow disk
_REF = "refs/loop-travel"  # beside those of runs, whose ids may be any word
_QUIET = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false")
_PACKED = ("--revs", "--thin", "--delta-base-offset", "--stdout", "-q")
_STAMP = {
    "GIT_AUTHOR_NAME": "loop", "GIT_AUTHOR_EMAIL": "loop@localhost", "GIT_AUTHOR_DATE": "@0 +0000",
    "GIT_COMMITTER_NAME": "loop", "GIT_COMMITTER_EMAIL": "loop@localhost", "GIT_COMMITTER_DATE": "@0 +0000",
}  # fmt: skip


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A tree on its way. `commit` has everything; `head` is the commit that is checked out, "" = none yet."""

    commit: str
    tree: str
    head: str = ""
    branch: str = ""  # "" = none is checked out

    def same(self, other: Snapshot | None) -> bool:
        """Whether nothing has to travel."""
        return other is not None and (self.commit, self.head, self.branch) == (other.commit, other.head, other.branch)


def snapshot(cwd: Path, store: Path, name: str) -> Snapshot:
    """Of the working tree that contains `cwd`. `name` keeps its objects until the next one of that name.

    Raises `OperationalError`, also outside a repository: without git nothing travels.
    """
    found = tree.capture(cwd, store)
    if found.top is None or not found.whole:
        raise OperationalError(found.tree.reason or f"{cwd} is not in a git repository: only such a tree can travel")
    head = ask(found.top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").output or ""
    branch = ask(found.top, "symbolic-ref", "--quiet", "--short", "HEAD").output or ""
    parents = ("-p", head) if head else ()
    commit = _must(found.top, "commit-tree", found.whole, *parents, given="loop: a tree on its way\n", variables=_STAMP)
    _must(found.top, "update-ref", f"{_REF}/{name}", commit)
    return Snapshot(commit=commit, tree=found.whole, head=head, branch=branch)


def pack(cwd: Path, name: str, have: Sequence[str]) -> bytes:
    """The last snapshot of that name, without what the other side has of these commits.

    Git leaves out the files of commits that what it packs descends from. So a commit above the snapshot and those of
    the other side goes along.
    """
    known = [each for each in have if each and ask(cwd, "cat-file", "-e", f"{each}^{{commit}}").output is not None]
    ref = f"{_REF}/{name}"
    if known:
        parents = (word for each in (ref, *known) for word in ("-p", each))
        above = _must(cwd, "commit-tree", f"{ref}^{{tree}}", *parents, given="loop: a parcel\n", variables=_STAMP)
        ref = f"{ref}-parcel"
        _must(cwd, "update-ref", ref, above)
    wanted = "".join(f"{each}\n" for each in (ref, *(f"^{each}" for each in known)))
    return _piped(cwd, "pack-objects", *_PACKED, given=wanted.encode())


def unpack(cwd: Path, data: bytes) -> None:
    """Adds the objects to the repository of `cwd`. Raises `OperationalError` where what they build on is not here."""
    _piped(cwd, "index-pack", "--stdin", "--fix-thin", given=data)


def begin(cwd: Path) -> bool:
    """Makes `cwd` a repository, for a tree that arrives for the first time. False: it is one already."""
    cwd.mkdir(parents=True, exist_ok=True)
    if (cwd / ".git").exists():
        return False
    _must(cwd, "init", "-q")
    return True


def put(cwd: Path, store: Path, arrived: Snapshot) -> None:
    """Makes files, branch and index those of the snapshot, whose objects are here. Ignored files stay.

    Files that the snapshot lacks are removed, as far as they are not ignored: the caller has kept them.
    """
    top = Path(_must(cwd, "rev-parse", "--show-toplevel"))
    files.make_private(store)
    with scratch(store) as folder:
        _must(top, *tree.settings(top, folder), "add", "-A", "--ignore-errors")
    _must(top, "read-tree", "--reset", "-u", arrived.commit)
    if not arrived.head:
        if arrived.branch:
            _must(top, "symbolic-ref", "HEAD", f"refs/heads/{arrived.branch}")
        return
    if arrived.branch:
        _must(top, "symbolic-ref", "HEAD", f"refs/heads/{arrived.branch}")
        _must(top, "update-ref", f"refs/heads/{arrived.branch}", arrived.head)
    else:
        _must(top, "update-ref", "--no-deref", "HEAD", arrived.head)
    _must(top, "reset", "-q", "--mixed", arrived.head)


def follow(cwd: Path, store: Path, before: Snapshot, arrived: Snapshot) -> str:
    """Puts a tree that comes home, if home is as it was when the tree left. Returns why it was not put; "" = it was.

    A branch moves only forward. One that the agent has begun is begun here, too.
    """
    old = before.head
    if arrived.branch != before.branch and arrived.branch:
        old = ask(cwd, "rev-parse", "--verify", "--quiet", f"refs/heads/{arrived.branch}^{{commit}}").output or ""
    if old and old != arrived.head and not _leads_to(cwd, old, arrived.head):
        return f"branch {arrived.branch or 'none'} would not move forward, from {old[:12]} to {arrived.head[:12]}"
    put(cwd, store, arrived)
    return ""


def _leads_to(cwd: Path, old: str, new: str) -> bool:
    return bool(new) and ask(cwd, "merge-base", "--is-ancestor", old, new).output is not None


def author(cwd: Path) -> tuple[str, str]:
    """Name and address of the commits made here; "" where there is none."""
    name, email = (ask(cwd, "config", f"user.{key}").output or "" for key in ("name", "email"))
    return name, email


def sign(cwd: Path, author: tuple[str, str]) -> None:
    """Has commits made here carry that name and address, in this repository alone."""
    for key, value in zip(("name", "email"), author, strict=True):
        if value and ask(cwd, "config", "--local", f"user.{key}").output != value:
            _must(cwd, "config", "--local", f"user.{key}", value)


def keep(cwd: Path, ref: str, commit: str) -> None:
    """Keeps the commit under the ref."""
    _must(cwd, "update-ref", ref, commit)


class Synced:
    """What both sides had last, in a file of the run there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Snapshot | None:
        """None: nothing has arrived yet. Raises `OperationalError` and OSError: then nothing here may be replaced."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Snapshot)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise OperationalError(
                f"{self._path} is damaged: remove it, and home's tree replaces the one here"
            ) from error

    def write(self, snapshot: Snapshot) -> None:
        """Durable when it returns."""
        files.replace(self._path, msgspec.json.encode(snapshot))


def _must(cwd: Path, *arguments: str, given: str = "", variables: dict[str, str] | None = None) -> str:
    answer = ask(cwd, *_QUIET, *arguments, given=given, variables=variables, timeout_s=TIMEOUT_S)
    if answer.output is None:
        raise OperationalError(answer.reason)
    return answer.output


def _piped(cwd: Path, *arguments: str, given: bytes) -> bytes:
    answer = piped(cwd, *_QUIET, *arguments, given=given, timeout_s=TIMEOUT_S)
    if answer.output is None:
        raise OperationalError(answer.reason)
    return answer.output
