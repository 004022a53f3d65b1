"""A look at the tree: what is in the run's directory. Pure data."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from actors.machines import checkpoint
from actors.machines.run.jobs.base import Command, Event, Facts, Job, Where
from actors.machines.run.jobs.turn import TurnJob

# When a tree is taken: before the first iteration; at the end of one that does not report done; before the checks and
# after them; after the checks, without what they write themselves; when all reviewers approve; when the user approves;
# after the turn that publishes the work; before another agent takes the work over.
TreeMoment = Literal["begin", "worked", "checks", "checked", "apart", "approval", "publish", "published", "swap"]
_KEPT: frozenset[TreeMoment] = frozenset({"begin", "worked", "checks", "approval", "publish", "published"})


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """Keep the tree as a checkpoint (machines/checkpoint)."""

    run_uid: str
    number: int
    about: str


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the run's directory: equal ids mean equal content of everything that git does not ignore.

    `id` is "" when it is unknown, with the `reason`. `worktrees`: the others, as "<path> <commit>".
    """

    id: str = ""
    commit: str = ""  # "" = there is none
    branch: str = ""  # "" = on none
    worktrees: tuple[str, ...] = ()
    reason: str = ""


class TakeTree(Command, frozen=True, kw_only=True):
    """Read the tree of the run's directory. Answer: `TreeTaken`, with what has changed since the tree `since`.

    `apart`: files that do not count. `keep`: also as a checkpoint; None: not. `remember`: the branches as
    well. `begun_on`: the commit and the branch at the beginning, to say where the work is; None: it is not asked for.
    """

    take_id: str
    since: str = ""
    apart: tuple[str, ...] = ()
    keep: Keep | None = None
    remember: bool = False
    begun_on: tuple[str, str] | None = None

    @property
    def where(self) -> Where:
        """In the working tree that is looked at."""
        return "worker"


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the work is, beside the tree. `moved`: other branches with new commits that HEAD lacks."""

    directory: str  # of the run
    own: bool  # the run has a worktree and a branch of its own
    grown: bool  # the branch was made since the run began, on top of its first commit
    moved: tuple[str, ...] = ()


class TreeTaken(Event, frozen=True, kw_only=True):
    """The tree was read. `changed`: files that differ from the command's tree; only the first of many.

    `uncommitted`: files of the tree that its commit lacks. `kept`: the checkpoint's commit; "" = none was made, because
    of `unkept` where one was wanted.
    """

    take_id: str
    tree: Tree
    changed: tuple[str, ...] = ()
    uncommitted: tuple[str, ...] = ()
    kept: str = ""
    unkept: str = ""
    place: Whereabouts | None = None  # before the checks, if it is known


class TreeJob(Job, frozen=True, kw_only=True):
    """A look at the tree. `trouble`: the fault of the turn before it."""

    asks: ClassVar[type[Command]] = TakeTree
    answer: ClassVar[type[Event]] = TreeTaken
    named_by: ClassVar[str] = "take_id"
    withdrawable: ClassVar[bool] = True
    idle: ClassVar[bool] = False
    quiet: ClassVar[bool] = True

    moment: TreeMoment
    trouble: str = ""
    since: str = ""  # the tree to compare with; "" = the one that is known
    then: TurnJob | None = None  # the turn that is told what is there

    def command(self, run: Facts, _now_ms: int) -> TakeTree:
        """Compared with the tree that is known."""
        keep = None
        if run.run.keeps_checkpoints and self.moment in _KEPT:
            what = checkpoint.about(run.worked, self.moment)
            keep = Keep(run_uid=run.run.run_uid, number=run.worked, about=what)
        return TakeTree(
            take_id=self.id,
            since=self.since or run.known_tree,
            apart=run.apart,
            keep=keep,
            remember=keep is not None and self.moment == "begin",
            begun_on=run.begun_on if keep is not None and self.moment == "checks" else None,
        )

    def words(self, _run: Facts) -> str:
        """The look."""
        return "the tree"
