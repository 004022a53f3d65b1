"""`loop worktree list` and `loop worktree clean`: the worktrees of this repository's runs.

A worktree belongs to a run when `loop` has made it: its name ends with the run's id, and the run's directory is in it.
A worktree that the user has made is never touched, even if a run works in it. Cleaning holds the run's lock, so that no
root resumes it meanwhile; it names what it keeps, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.edges import checkpoints as checkpoint_refs
from actors.edges import git, run_lock, worktree_prune
from actors.edges.worktree import Registered, registered
from actors.edges.worktree_prune import Contents
from actors.errors import UserError
from shell import checkpoints, run_files, tables
from shell.run_files import RunFiles
from supervisor import submissions

SHOWN = 3  # names in a line


@dataclass(frozen=True, kw_only=True)
class RunWorktree:
    """A worktree, its run, and what exists only there."""

    run: RunFiles
    tree: Registered
    contents: Contents


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """The outcome of cleaning one; `kept` says what stays and why."""

    run_id: str
    path: str
    removed: bool
    branch: str  # its own branch
    branch_deleted: bool
    checkpoints: int  # that went along
    kept: tuple[str, ...]


def find() -> list[RunWorktree]:
    """The run worktrees of this repository, in the order of `loop runs`. Raises `UserError` outside a repository."""
    cwd = Path.cwd()
    if git.common_directory(cwd) is None:
        raise UserError(f"{cwd}: {git.ask(cwd, 'rev-parse', '--git-dir').reason}")
    runs, trees = run_files.all_runs(run_files.runs_here()), registered(cwd)
    branches = _branches(runs)
    return [
        RunWorktree(run=each, tree=tree, contents=worktree_prune.look(cwd, tree, branches))
        for each in runs
        if (tree := _tree_of(each, trees)) is not None
    ]


def _branches(runs: list[RunFiles]) -> set[str]:
    """The runs' own branches. A commit that is only on these is on no branch of the user."""
    return {place.name for each in runs if (place := _place(each)) is not None}


def _place(found: RunFiles) -> Path | None:
    """The worktree of this run, by its name; older manifests have only the directory within it."""
    place = Path(found.text("worktree") or found.text("cwd") or "/")
    name = re.compile(rf"[a-z0-9-]+-loop-{re.escape(found.run_id)}")
    return next((path for path in (place, *place.parents) if name.fullmatch(path.name)), None)


def _tree_of(found: RunFiles, trees: list[Registered]) -> Registered | None:
    place = _place(found)
    return next((tree for tree in trees if tree.path == place), None)


# --- list -----------------------------------------------------------------------------------------------------------


def lines(found: list[RunWorktree]) -> list[str]:
    """The worktrees, one per line."""
    return tables.columns(
        [
            each.run.run_id,
            f"{each.run.state} (process {each.run.pid})" if each.run.pid else each.run.state,
            each.tree.branch or f"detached at {each.tree.head[:9]}",
            ", ".join(_in_words(each)) or "clean",
            str(each.tree.path),
        ]
        for each in found
    )


def as_json(each: RunWorktree) -> dict[str, object]:
    """One of `loop worktree list --json`."""
    inside = each.contents
    return {
        "runId": each.run.run_id,
        "state": each.run.state,
        "running": bool(each.run.pid),
        "branch": each.tree.branch,
        "head": each.tree.head,
        "path": str(each.tree.path),
        "exists": not each.tree.gone,
        "clean": inside.clean,
        "uncommitted": inside.uncommitted,
        "untracked": inside.untracked,
        "ignored": [_printable(name) for name in inside.ignored],
        "unpushed": inside.unpushed,
        "stashes": inside.stashes,
        "obstacles": list(inside.obstacles),
    }


def _in_words(each: RunWorktree) -> list[str]:
    inside = each.contents
    counts = ((inside.uncommitted, "uncommitted"), (inside.untracked, "untracked"), (inside.unpushed, "unpushed"))
    return [
        *(["its directory is gone"] if each.tree.gone else []),
        *(f"{count} {what}" for count, what in counts if count),
        *([f"{inside.stashes} stashed"] if inside.stashes else []),
        *inside.obstacles,
    ]


# --- clean ----------------------------------------------------------------------------------------------------------


def choose(found: list[RunWorktree], wanted: list[str]) -> list[RunWorktree]:
    """The worktrees of the named runs, as far as they have one; all, when no run is named. Raises `UserError`."""
    known = {each.run_id for each in run_files.all_runs(run_files.runs_here())}
    for run_id in wanted:
        if run_id not in known:
            raise UserError(
                f"no run {run_id!r} of this repository: loop worktree list shows those that have a worktree"
            )
    return [each for each in found if each.run.run_id in wanted] if wanted else found


def clean(each: RunWorktree, *, dry_run: bool, with_ignored: bool) -> Cleaned:
    """Removes the worktree if nothing is lost with it; `dry_run` only reports. Checks everything again, while no root
    can resume the run.
    """
    cwd, branch = Path.cwd(), each.tree.path.name
    with run_lock.held_quietly(each.run.directory) as held:
        runs = run_files.all_runs(run_files.runs_here())
        tree = _tree_of(each.run, registered(cwd))
        if tree is None:
            return _cleaned(each, removed=False, kept=("it has just been removed",))
        now = RunWorktree(run=each.run, tree=tree, contents=worktree_prune.look(cwd, tree, _branches(runs)))
        reasons = [*_users(now, runs, held=held), *_losses(now.contents, with_ignored=with_ignored)]
        if reasons:
            return _cleaned(now, removed=False, kept=reasons)
        tip = git.git(cwd, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}") or ""
        why_branch = _why_branch_stays(cwd, now, tip, _branches(runs)) if tip else ""
        own = checkpoints.all_of(now.run, cwd)
        if not dry_run:
            try:
                worktree_prune.remove(cwd, tree)
            except UserError as error:
                return _cleaned(now, removed=False, kept=[str(error)])
            if tip and not why_branch:
                why_branch = worktree_prune.delete_branch(cwd, branch, tip)
            checkpoint_refs.remove(cwd, own)
    kept = [f"branch {branch}, {why_branch}"] if why_branch else []
    if tree.branch not in ("", branch):
        kept.append(f"branch {tree.branch}, which loop did not create")
    return _cleaned(now, removed=True, deleted=bool(tip) and not why_branch, kept=kept, with_checkpoints=len(own))


def _users(each: RunWorktree, runs: list[RunFiles], *, held: bool) -> list[str]:
    """Why it is in use: runs, the queue, or the current directory."""
    cwd, path = Path.cwd(), each.tree.path
    running = [other for other in runs if other.pid and not (held and other.run_id == each.run.run_id)]  # held by us
    places = {other.run_id: Path(other.text("cwd")) for other in running}
    found = [f"run {run_id} is running in it" for run_id, at in places.items() if path in (at, *at.parents)]
    if not (held or found):
        found.append(f"run {each.run.run_id} is running")
    if submissions.read(each.run.directory) is not None:
        found.append(f"run {each.run.run_id} is in the queue of loop serve")
    if path in (cwd, *cwd.parents):
        found.append("you are in it: change to another directory")
    return found


def _losses(inside: Contents, *, with_ignored: bool) -> list[str]:
    """What its removal would lose."""
    counts = (
        (inside.uncommitted, "not committed"),
        (inside.untracked, "untracked"),
    )
    found = [f"{count} file{'' if count == 1 else 's'} {what}" for count, what in counts if count]
    if inside.ignored and not with_ignored:
        shown = ", ".join(_printable(name) for name in inside.ignored[:SHOWN])
        more = f" and {len(inside.ignored) - SHOWN} more" if len(inside.ignored) > SHOWN else ""
        found.append(f"ignored by git: {shown}{more} (--ignored removes what is)")
    if inside.stashes:
        found.append(f"{inside.stashes} stashed on its branch (git stash list)")
    return [*found, *inside.obstacles]


def _printable(name: str) -> str:
    """The name, printable: a file's name may be no text."""
    text = name.encode(errors="surrogateescape").decode(errors="replace")
    return text if text.isprintable() else repr(text)


def _why_branch_stays(cwd: Path, each: RunWorktree, tip: str, run_branches: set[str]) -> str:
    branch = each.tree.path.name
    only_here = worktree_prune.only_here(cwd, tip, {branch, *run_branches})
    if only_here is None:
        return "of which git cannot say where its commits are"
    if only_here:
        commits = "a commit that is" if only_here == 1 else f"{only_here} commits that are"
        return f"with {commits} neither merged nor pushed"
    if branch in _checked_out(cwd, each.tree.path):
        return "which is checked out elsewhere"
    return ""


def _checked_out(cwd: Path, but_in: Path) -> set[str]:
    """The branches of all working trees except `but_in`."""
    answer = git.git(cwd, "worktree", "list", "--porcelain") or ""
    blocks = (dict(line.partition(" ")[::2] for line in block.splitlines()) for block in answer.split("\n\n"))
    return {
        facts.get("branch", "").removeprefix("refs/heads/") for facts in blocks if facts.get("worktree") != str(but_in)
    }


def _cleaned(
    each: RunWorktree, *, removed: bool, kept: Sequence[str], deleted: bool = False, with_checkpoints: int = 0
) -> Cleaned:
    return Cleaned(
        run_id=each.run.run_id,
        path=str(each.tree.path),
        removed=removed,
        branch=each.tree.path.name,
        branch_deleted=deleted,
        checkpoints=with_checkpoints,
        kept=tuple(kept),
    )


def sweep(run_ids: list[str]) -> list[str]:
    """Finishes removals that were killed, of these runs or of all; returns a line for each."""
    swept = []
    for each in run_files.all_runs(run_files.runs_here()):
        place = _place(each)
        if place is not None and (not run_ids or each.run_id in run_ids) and worktree_prune.sweep(place):
            swept.append(f"run {each.run_id}: finished a removal that was killed half-way: {place}")
    return swept if run_ids else [*swept, *_without_a_run()]


def _without_a_run() -> list[str]:
    """Removes the checkpoints of runs that the user has removed."""
    left = checkpoints.left_behind(Path.cwd())
    gone = checkpoint_refs.remove(Path.cwd(), left)
    return [f"removed {tables.counted(gone, 'checkpoint')} of runs that are no more"] if gone else []


def cleaned_line(each: Cleaned, *, dry_run: bool) -> str:
    """The outcome as a line for the user."""
    removed, keeps = ("would remove", "would keep") if dry_run else ("removed", "kept")
    if not each.removed:
        return f"run {each.run_id}: {keeps} {each.path}: {'; '.join(each.kept)}"
    what = f" and branch {each.branch}" if each.branch_deleted else ""
    what += f", with {tables.counted(each.checkpoints, 'checkpoint')}" if each.checkpoints else ""
    kept = f"; kept {'; '.join(each.kept)}" if each.kept else ""
    return f"run {each.run_id}: {removed} {each.path}{what}{kept}"


def cleaned_json(each: Cleaned, *, dry_run: bool) -> dict[str, object]:
    """One of `loop worktree clean --json`."""
    return {
        "runId": each.run_id,
        "path": each.path,
        "removed": each.removed,
        "branch": each.branch,
        "branchDeleted": each.branch_deleted,
        "checkpoints": each.checkpoints,
        "kept": list(each.kept),
        "dryRun": dry_run,
    }
