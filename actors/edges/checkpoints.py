"""Keeps a run's trees in its repository: commits under refs of the run (machines/checkpoint). Blocks while git works.

HEAD, branches, the index and the working tree stay as they are. The refs protect the objects from `git gc`; `remove`
ends that. Git writes the objects first and the ref last, in one step: a killed process leaves no half checkpoint. What
is kept twice is kept once, so a job that is issued again changes nothing.

One process at a time keeps checkpoints of a run: the owner of its working tree. So a lock of git on such a ref that is
in the way was left by a killed process, and is removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from actors.edges import environments, run_dir
from actors.edges.git import ask
from actors.errors import OperationalError
from actors.machines import checkpoint
from actors.machines.checkpoint import Checkpoint

_FORMAT = "%(refname)%00%(objectname)%00%(tree)%00%(committerdate:unix)%00%(contents:subject)%00%(contents:body)"
_END = "%00%01%00"
_IDENTITY = ("-c", "user.name=loop", "-c", "user.email=loop@localhost", "-c", "core.hooksPath=/dev/null")


def keep(top: Path, tree: str, *, run_id: str, run_uid: str, number: int, about: str) -> Checkpoint:
    """Keeps this tree, whose objects are in the repository, as the run's checkpoint of that number.

    Its parents are the checkpoint before it and the commit that is checked out. Raises `OperationalError`.
    """
    found = _in(top, checkpoint.bases(run_id, run_uid))
    base, known = checkpoint.base(run_id, run_uid, found), checkpoint.of_run(run_id, run_uid, found)
    old = known.get(number)
    if old is not None and old.tree == tree:
        return old
    before = old or max((each for each in known.values() if each.number < number), key=_number, default=None)
    head = ask(top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").output
    parents = dict.fromkeys(each for each in (before and before.commit, head) if each)
    text = checkpoint.message(run_id, run_uid, number, about, home())
    options = (word for parent in parents for word in ("-p", parent))
    commit = _must(top, *_IDENTITY, "commit-tree", tree, *options, given=text)
    _point(top, f"{base}/{number}", commit, old.commit if old is not None else "")
    return Checkpoint(base=base, number=number, commit=commit, tree=tree, at_s=0, about=about, owner=run_uid)


def of_run(cwd: Path, run_id: str, run_uid: str) -> dict[int, Checkpoint]:
    """The run's checkpoints, by number; none outside a repository."""
    return checkpoint.of_run(run_id, run_uid, _in(cwd, checkpoint.bases(run_id, run_uid)))


def left_behind(cwd: Path, run_uids: Collection[str]) -> list[Checkpoint]:
    """Those of runs of our home that are no more: the user has removed their directories."""
    return checkpoint.left_behind(_in(cwd, (checkpoint.ROOT.rstrip("/"),)), home(), run_uids)


def home() -> str:
    """A digest of where our runs are; not their place, as a commit can travel."""
    place = run_dir.runs_root(environments.home())
    return hashlib.sha256(str(place).encode(errors="surrogateescape")).hexdigest()[:12]


def remove(cwd: Path, unwanted: Iterable[Checkpoint]) -> int:
    """Removes these refs, unless they were moved meanwhile. Returns how many."""
    gone = (ask(cwd, *_IDENTITY, "update-ref", "-d", each.ref, each.commit) for each in unwanted)
    return sum(answer.output is not None for answer in gone)


def _in(cwd: Path, places: Iterable[str]) -> list[Checkpoint]:
    answer = ask(cwd, "for-each-ref", f"--format={_FORMAT}{_END}", *(f"{place}/" for place in places)).output or ""
    rows = (entry.lstrip("\n").split("\0", 5) for entry in answer.split("\0\x01\0"))
    found = (
        checkpoint.read(ref, (commit, tree, at_s), subject, body)
        for ref, commit, tree, at_s, subject, body in (row for row in rows if len(row) == 6)
    )
    return [each for each in found if each is not None]


def _point(top: Path, ref: str, commit: str, old: str) -> None:
    answer = ask(top, *_IDENTITY, "update-ref", ref, commit, old)
    if answer.output is None and ".lock" in answer.reason:
        with suppress(OSError):
            (top / _must(top, "rev-parse", "--git-path", f"{ref}.lock")).unlink()
        answer = ask(top, *_IDENTITY, "update-ref", ref, commit, old)
    if answer.output is None:
        raise OperationalError(answer.reason)


def _number(each: Checkpoint) -> int:
    return each.number


def _must(cwd: Path, *arguments: str, given: str = "") -> str:
    answer = ask(cwd, *arguments, given=given)
    if answer.output is None:
        raise OperationalError(answer.reason)
    return answer.output
