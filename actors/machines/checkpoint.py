"""Checkpoints: the names and messages under which a run's trees are kept in its repository. Pure.

A checkpoint is a commit on no branch. Its ref is `refs/loop/<run>/<number>`: 0 is the tree before the first iteration,
and each later number is an iteration, counted over the whole run. A tree that is changed after its iteration, by a
reviewer or by the turn that publishes it, takes that number over; the commit before it becomes a parent.

`<run>` is the run's id, as the user types it. Another run may have that id: of another home, of a clone, or removed by
hand. So each message names the run's uid. Where the id's refs belong to another run, `<run>` is `<id>-<8 digits of the
uid>`. `base` decides that; with the same refs it always decides the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

ROOT = "refs/loop/"
_OWNER = "Loop-Run: "
_HOME = "Loop-Home: "
_UID_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One that is in the repository."""

    base: str  # the first part of its ref: `refs/loop/<run>`
    number: int
    commit: str
    tree: str  # git's id
    at_s: int  # Unix time
    about: str  # e.g. "after iteration 2"
    owner: str  # the uid of its run; "" = not one of ours
    home: str = ""  # a digest of where the runs are that it belongs to

    @property
    def ref(self) -> str:
        """Its full name."""
        return f"{self.base}/{self.number}"


def about(number: int, moment: str) -> str:
    """What the tree is: `moment` is when the look was that keeps it."""
    if number == 0:
        return "before the first iteration"
    after = {"approval": ", changed after its checks", "published": ", changed while it was published"}
    return f"iteration {number}{after.get(moment, '')}"


def message(run_id: str, run_uid: str, number: int, what: str, home: str) -> str:
    """The message of its commit."""
    return f"Checkpoint {number} of run {run_id}: {what}\n\n{_OWNER}{run_uid}\n{_HOME}{home}\n"


def read(ref: str, facts: tuple[str, str, str], subject: str, body: str) -> Checkpoint | None:
    """The checkpoint of this ref, from commit, tree and time, and the parts of its message. None: it is something
    else.
    """
    base, _, number = ref.rpartition("/")
    commit, tree, at_s = facts
    if not (number.isascii() and number.isdecimal() and len(number) < 10 and tree):
        return None
    return Checkpoint(
        base=base,
        number=int(number),
        commit=commit,
        tree=tree,
        at_s=int(at_s) if at_s.isdecimal() else 0,
        about=subject.partition(": ")[2],
        owner=_trailer(body, _OWNER),
        home=_trailer(body, _HOME),
    )


def _trailer(body: str, name: str) -> str:
    found = [line.removeprefix(name).strip() for line in body.splitlines() if line.startswith(name)]
    return found[-1] if found else ""


def bases(run_id: str, run_uid: str) -> tuple[str, str]:
    """Where this run's refs can be, the preferred place first."""
    return f"{ROOT}{run_id}", f"{ROOT}{run_id}-{run_uid[:_UID_DIGITS]}"


def base(run_id: str, run_uid: str, found: Iterable[Checkpoint]) -> str:
    """Where this run's refs are, or will be. `found`: the checkpoints in both places."""
    preferred, other = bases(run_id, run_uid)
    return other if any(each.base == preferred and each.owner != run_uid for each in found) else preferred


def of_run(run_id: str, run_uid: str, found: Iterable[Checkpoint]) -> dict[int, Checkpoint]:
    """The run's own checkpoints, by number."""
    found = list(found)
    where = base(run_id, run_uid, found)
    mine = [each for each in found if each.base == where and each.owner == run_uid]
    return {each.number: each for each in sorted(mine, key=lambda each: each.number)}


def left_behind(found: Iterable[Checkpoint], home: str, run_uids: Collection[str]) -> list[Checkpoint]:
    """Those of runs of this home that are no more. `run_uids`: of all runs that there are."""
    return [each for each in found if each.owner and each.home == home and each.owner not in run_uids]


def which(known: Mapping[int, Checkpoint], word: str) -> Checkpoint | None:
    """The checkpoint that the user has typed; None: there is none."""
    return known.get(int(word)) if word.isascii() and word.isdecimal() and len(word) < 10 else None


def numbers(known: Mapping[int, Checkpoint]) -> str:
    """Which ones there are, for the user: "0 to 4"."""
    if not known:
        return "none"
    first, last = min(known), max(known)
    if first == last:
        return str(first)
    if last - first + 1 == len(known):
        return f"{first} to {last}"
    return ", ".join(map(str, known))
