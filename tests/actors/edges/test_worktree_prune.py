"""What would be lost with a worktree, in real repositories; and that it is all there after a removal."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from actors.edges import worktree, worktree_prune
from actors.edges.worktree_prune import Contents
from actors.errors import UserError

BRANCH = "tool-loop-1"


def run_git(cwd: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"]
    allowed = ["-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *identity, *allowed, *arguments], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(cwd: Path, name: str) -> str:
    (cwd / name).write_text(name)
    run_git(cwd, "add", name)
    run_git(cwd, "commit", "-q", "-m", name)
    return run_git(cwd, "rev-parse", "HEAD")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with a remote that has all of it."""
    top = tmp_path / "Tool"
    top.mkdir()
    run_git(top, "init", "-q")
    (top / ".gitignore").write_text("*.log\ncache/\n")
    run_git(top, "add", ".")
    commit(top, "a")
    run_git(tmp_path, "init", "-q", "--bare", "origin.git")
    run_git(top, "remote", "add", "origin", str(tmp_path / "origin.git"))
    run_git(top, "push", "-q", "-u", "origin", "main")
    return top


@pytest.fixture
def place(top: Path) -> Path:
    return worktree.enter(top, top, "1").cwd


def look(top: Path) -> Contents:
    [tree] = worktree.registered(top)
    return worktree_prune.look(top, tree, {BRANCH})


def test_a_fresh_worktree_has_nothing_that_is_not_elsewhere(top: Path, place: Path):
    assert place.is_dir()
    assert look(top) == Contents()


def test_what_is_not_committed_is_counted_by_kind(top: Path, place: Path):
    commit(place, "b")
    (place / "a").write_text("changed")
    (place / "staged").write_text("x")
    run_git(place, "add", "staged")
    (place / "b").unlink()
    (place / "new dir").mkdir()
    for name in ("new dir/1", "new dir/2", "ü\n", "x.log"):
        (place / name).write_text("x")
    (place / "cache" / "deep").mkdir(parents=True)
    for name in "12":
        (place / "cache" / "deep" / name).write_text("x")
    inside = look(top)
    assert (inside.uncommitted, inside.untracked, inside.unpushed) == (3, 3, 1)
    assert sorted(inside.ignored) == ["cache/", "x.log"]
    assert not inside.clean


def test_a_setting_of_the_user_does_not_hide_what_git_does_not_know(top: Path, place: Path):
    run_git(top, "config", "status.showUntrackedFiles", "no")
    (place / "new").write_text("x")
    assert look(top).untracked == 1


@pytest.mark.parametrize(
    ("where", "unpushed"), [("branch", 0), ("remote", 0), ("tag", 0), ("run's branch", 1), ("", 1)]
)
def test_a_commit_that_a_remote_a_tag_or_anothers_branch_has_is_not_only_here(
    top: Path, place: Path, where: str, unpushed: int
):
    tip = commit(place, "b")
    match where:
        case "branch":
            run_git(top, "branch", "topic", tip)
        case "remote":
            run_git(place, "push", "-q", "origin", "HEAD:refs/heads/topic")
        case "tag":
            run_git(top, "tag", "v1", tip)
        case "run's branch":
            run_git(top, "branch", "tool-loop-2", tip)
    [tree] = worktree.registered(top)
    inside = worktree_prune.look(top, tree, {BRANCH, "tool-loop-2"})
    assert (inside.unpushed, inside.clean) == (unpushed, True)


def test_a_branch_of_the_agents_own_does_not_count_as_elsewhere(top: Path, place: Path):
    run_git(place, "switch", "-q", "-c", "polite")
    commit(place, "b")
    assert look(top).unpushed == 1


def test_commits_on_no_branch_are_an_obstacle(top: Path, place: Path):
    run_git(place, "switch", "-q", "--detach")
    assert look(top).clean
    commit(place, "b")
    assert look(top).obstacles == ("1 commit on no branch",)


def test_a_stash_that_was_made_on_its_branch_counts_and_one_of_another_does_not(top: Path, place: Path):
    (top / "a").write_text("changed")
    run_git(top, "stash")
    assert look(top).stashes == 0
    for message in ([], ["-m", "for later"]):
        (place / "a").write_text("changed")
        run_git(place, "stash", "push", *message)
    assert (look(top).stashes, look(top).clean) == (2, False)


@pytest.mark.parametrize(
    ("name", "what"), [("rebase-merge", "a rebase"), ("MERGE_HEAD", "a merge"), ("BISECT_LOG", "a bisection")]
)
def test_what_is_under_way_is_an_obstacle(top: Path, place: Path, name: str, what: str):
    (Path(run_git(place, "rev-parse", "--absolute-git-dir")) / name).write_text("")
    assert look(top).obstacles == (f"{what} is under way",)


def test_a_lock_is_an_obstacle_with_its_reason(top: Path, place: Path):
    run_git(top, "worktree", "lock", "--reason", "mine", str(place))
    assert look(top).obstacles == ("locked by git worktree lock: mine",)


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_changes_that_git_was_told_not_to_see_are_an_obstacle(top: Path, place: Path, flag: str):
    run_git(place, "update-index", flag, "a")
    (place / "a").write_text("changed")
    assert look(top).obstacles == ("1 file that git assumes unchanged (update-index)",)


def test_a_repository_within_it_is_an_obstacle(top: Path, tmp_path: Path):
    run_git(tmp_path, "clone", "-q", str(top), "library")
    run_git(top, "submodule", "--quiet", "add", str(tmp_path / "library"), "library")
    run_git(top, "commit", "-q", "-m", "with library")
    place = worktree.enter(top, top, "1").cwd
    assert look(top).obstacles == ()
    run_git(place, "submodule", "--quiet", "update", "--init")
    assert look(top).obstacles == ("it has submodules with repositories of their own",)


def test_what_git_cannot_look_into_is_an_obstacle(top: Path, place: Path):
    (Path(run_git(place, "rev-parse", "--absolute-git-dir")) / "HEAD").write_text("nonsense")
    assert any(each.startswith("git cannot look into it: ") for each in look(top).obstacles)


def test_a_worktree_whose_directory_is_gone_is_judged_by_its_commits(top: Path, place: Path):
    commit(place, "b")
    place.rename(top.parent / "moved")
    assert look(top) == Contents(unpushed=1)


# --- removal ---


def remove(top: Path) -> None:
    [tree] = worktree.registered(top)
    worktree_prune.remove(top, tree)


def test_files_and_registration_are_removed_and_the_branch_stays_with_its_commits(top: Path, place: Path):
    tip = commit(place, "b")
    remove(top)
    assert worktree.registered(top) == []
    assert sorted(path.name for path in top.parent.iterdir()) == ["Tool", "origin.git"]
    assert run_git(top, "rev-parse", BRANCH) == tip
    assert (worktree.enter(top, top, "1").cwd / "b").read_text() == "b"


def test_the_registration_of_one_whose_directory_is_gone_is_removed(top: Path, place: Path):
    place.rename(top.parent / "moved")
    remove(top)
    assert worktree.registered(top) == []
    assert (top.parent / "moved" / "a").exists()


def test_a_removal_that_git_refuses_leaves_all_as_it_was(top: Path, place: Path):
    [tree] = worktree.registered(top)
    run_git(top, "worktree", "lock", str(place))
    with pytest.raises(UserError, match=r"git worktree remove: .*locked"):
        worktree_prune.remove(top, tree)
    assert run_git(place, "status", "--porcelain") == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may move everything")
def test_one_that_cannot_be_moved_stays(top: Path, place: Path):
    top.parent.chmod(0o500)
    try:
        with pytest.raises(UserError, match="it cannot be moved: Permission denied"):
            remove(top)
    finally:
        top.parent.chmod(0o700)
    assert run_git(place, "status", "--porcelain") == ""


def test_a_removal_that_was_killed_after_the_files_were_aside_is_ended_the_next_time(top: Path, place: Path):
    aside = place.with_name(f".{BRANCH}.removed")
    place.rename(aside)
    remove(top)
    assert not aside.exists()
    assert worktree.registered(top) == []


def test_a_removal_that_was_killed_half_way_harms_no_run_that_goes_on(top: Path, place: Path):
    commit(place, "b")
    place.rename(place.with_name(f".{BRANCH}.removed"))
    assert (worktree.enter(top, top, "1").cwd / "b").read_text() == "b"
    assert worktree_prune.sweep(place)
    assert not worktree_prune.sweep(place)
    assert (place / "b").exists()


def test_a_branch_is_deleted_only_where_it_was_seen(top: Path, place: Path):
    seen = run_git(top, "rev-parse", BRANCH)
    tip = commit(place, "b")
    remove(top)
    assert worktree_prune.delete_branch(top, BRANCH, seen) != ""
    assert run_git(top, "rev-parse", BRANCH) == tip
    run_git(top, "config", f"branch.{BRANCH}.description", "x")
    assert worktree_prune.delete_branch(top, BRANCH, tip) == ""
    assert run_git(top, "branch", "--list", BRANCH) == ""
    assert BRANCH not in (top / ".git" / "config").read_text()


def test_a_commit_that_is_not_there_is_not_taken_for_one_that_is_elsewhere(top: Path, place: Path):
    [tree] = worktree.registered(top)
    assert place == tree.path
    gone = replace(tree, head="1" * 40)
    assert worktree_prune.look(top, gone, {BRANCH}).obstacles == ("git cannot say where its commits are",)
