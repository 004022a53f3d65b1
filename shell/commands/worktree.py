"""`worktree`: lists or removes the worktrees of runs."""

from __future__ import annotations

from actors.errors import UserError
from shell import output
from shell.commands.base import Command
from shell.commands.grammar import MORE, Invocation, Subcommand


def _clean_worktrees(invocation: Invocation, run_ids: list[str]) -> int:
    from shell import worktrees

    found = worktrees.choose(worktrees.find(), run_ids)
    swept = [] if invocation.dry_run else worktrees.sweep(run_ids)
    done = [worktrees.clean(each, dry_run=invocation.dry_run, with_ignored=invocation.ignored) for each in found]
    if invocation.json:
        output.say_json([worktrees.cleaned_json(each, dry_run=invocation.dry_run) for each in done])
        return 0
    lines = [*swept, *(worktrees.cleaned_line(each, dry_run=invocation.dry_run) for each in done)]
    whose = "none of these runs" if run_ids else "no run of this repository"
    output.say_lines(lines or [f"{whose} has a worktree"])
    return 0


def _worktree(invocation: Invocation) -> int:
    from shell import worktrees

    run_ids, action = invocation.text.split(), invocation.action.lower()
    if action == "list":
        if run_ids or invocation.dry_run or invocation.ignored:
            raise UserError("loop worktree list takes only --json: it lists them all")
        found = worktrees.find()
        if invocation.json:
            output.say_json([worktrees.as_json(each) for each in found])
        else:
            output.say_lines(worktrees.lines(found) or ["no run of this repository has a worktree"])
        return 0
    return _clean_worktrees(invocation, run_ids)


WORKTREE = Command(
    name="worktree",
    row=Subcommand(
        "worktree",
        "list or clean up the worktrees of runs",
        ("action", MORE),
        ("--dry-run", "--ignored", "--json"),
        "Actions: list; clean, for all runs or for those whose ids follow. clean removes a worktree only if "
        "nothing is lost with it. It keeps one that a run uses or is queued for. It keeps one with "
        "uncommitted or untracked files, a stash, or commits on no branch. It keeps one with ignored files, "
        "unless --ignored is given. Its branch goes if a remote, a tag or another branch has all its commits. "
        "--dry-run only says what clean would remove or keep, and why.",
        ("list", "clean"),
        shown="list | clean [RUN...]",
    ),
    once=_worktree,
)
