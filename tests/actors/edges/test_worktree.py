import subprocess
from pathlib import Path

import pytest

from actors.edges import git, worktree
from actors.errors import UserError


def run_git(cwd: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A repository without a commit."""
    top = tmp_path / "Tool"
    (top / "src").mkdir(parents=True)
    (top / "src" / "a.py").write_text("1\n")
    run_git(top, "init", "-q")
    return top


@pytest.fixture
def top(bare: Path) -> Path:
    run_git(bare, "add", ".")
    run_git(bare, "commit", "-q", "-m", "first")
    return bare


def test_a_worktree_stands_beside_the_repository_on_a_branch_of_its_name(top: Path):
    place = worktree.enter(top, top, "3")
    assert place.cwd == top.parent / "tool-loop-3"
    assert run_git(place.cwd, "branch", "--show-current") == "tool-loop-3"
    assert worktree.is_linked_worktree(place.cwd)
    assert not worktree.is_linked_worktree(top)
    assert git.repository_id(place.cwd) == git.repository_id(top)


def test_the_same_sub_directory_is_entered_where_the_worktree_has_it(top: Path):
    assert worktree.enter(top / "src", top, "1").cwd == top.parent / "tool-loop-1" / "src"
    (top / "new").mkdir()
    assert worktree.enter(top / "new", top, "1").cwd == top.parent / "tool-loop-1"


def test_an_existing_worktree_is_entered_again_with_what_is_in_it(top: Path):
    first = worktree.enter(top, top, "1").cwd
    (first / "unsaved").write_text("x")
    again = worktree.enter(top, top, "1")
    assert (again.cwd / "unsaved").read_text() == "x"
    assert "re-entered" in again.notes[0]


def test_a_worktree_whose_directory_is_gone_is_made_again_on_its_branch(top: Path):
    first = worktree.enter(top, top, "1").cwd
    (first / "b.py").write_text("2\n")
    run_git(first, "add", ".")
    run_git(first, "commit", "-q", "-m", "second")
    subprocess.run(["rm", "-r", str(first)], check=True)
    assert (worktree.enter(top, top, "1").cwd / "b.py").read_text() == "2\n"


def test_something_else_in_its_place_is_refused_by_name(top: Path):
    (top.parent / "tool-loop-1").mkdir()
    with pytest.raises(UserError, match=r"tool-loop-1 is in the way"):
        worktree.enter(top, top, "1")


def test_a_name_is_free_when_neither_directory_nor_branch_has_it(top: Path):
    assert worktree.is_free(top, "1")
    (top.parent / "tool-loop-1").mkdir()
    run_git(top, "branch", "tool-loop-2")
    assert [worktree.is_free(top, run_id) for run_id in "123"] == [False, False, True]


def test_a_repository_without_commits_gets_its_files_copied(bare: Path):
    (bare / ".gitignore").write_text("secret\n")
    (bare / "secret").write_text("no")
    place = worktree.enter(bare, bare, "1")
    assert (place.cwd / "src" / "a.py").read_text() == "1\n"
    assert not (place.cwd / "secret").exists()
    assert "files were copied" in place.notes[0]


def test_a_plan_that_git_does_not_know_moves_along(top: Path):
    (top / "PLAN.md").write_text("plan")
    place = worktree.enter(top, top, "1")
    assert (place.cwd / "PLAN.md").read_text() == "plan"
    assert not (top / "PLAN.md").exists()
    assert place.notes[1] == "PLAN.md went along"


def test_changes_of_a_committed_plan_are_copied_and_the_original_stays(top: Path):
    (top / "PLAN.md").write_text("old")
    run_git(top, "add", ".")
    run_git(top, "commit", "-q", "-m", "plan")
    (top / "PLAN.md").write_text("new")
    place = worktree.enter(top, top, "1")
    assert [(path / "PLAN.md").read_text() for path in (place.cwd, top)] == ["new", "new"]


def test_a_plan_that_the_worktree_has_already_is_left_alone(top: Path):
    place = worktree.enter(top, top, "1")
    (place.cwd / "PLAN.md").write_text("further")
    (top / "PLAN.md").write_text("older")
    worktree.enter(top, top, "1")
    assert (place.cwd / "PLAN.md").read_text() == "further"
    assert (top / "PLAN.md").read_text() == "older"
