"""A temporary worktree for checks: it is what was asked for, and nothing of it stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.edges import tree
from actors.edges.verification import worktree_of
from actors.errors import OperationalError
from tests.actors.edges.test_tree import Place, run_git


@pytest.fixture
def repository(tmp_path: Path) -> Place:
    top = tmp_path / "tool"
    top.mkdir()
    run_git(top, "init", "-q")
    place = Place(top, tmp_path / "store")
    place.write("a.py", "one\n")
    run_git(top, "add", "-A")
    run_git(top, "commit", "-q", "-m", "first")
    place.write("a.py", "two\n")
    return place


def worktrees(place: Place) -> list[str]:
    return [each for each in run_git(place.top, "worktree", "list", "--porcelain").splitlines() if "worktree " in each]


def test_it_has_the_commit_and_is_gone_afterwards(repository: Place, tmp_path: Path) -> None:
    status = run_git(repository.top, "status", "--porcelain")
    with worktree_of(repository.top, tmp_path / "7", "HEAD") as made:
        assert (made / "a.py").read_text() == "one\n"
        assert made.name == "tool"
        assert run_git(made, "status", "--porcelain") == ""
        (made / "left.txt").write_text("by a check")
    assert not made.exists()
    assert len(worktrees(repository)) == 1
    assert run_git(repository.top, "status", "--porcelain") == status


def test_what_a_killed_one_left_is_removed_by_the_next(repository: Place, tmp_path: Path) -> None:
    left = tmp_path / "7" / "verify" / "tool"
    left.parent.mkdir(parents=True)
    run_git(repository.top, "worktree", "add", "-q", "--lock", "--reason", "loop verify", "--detach", str(left))
    (left / "a.py").write_text("half")
    with worktree_of(repository.top, tmp_path / "7", "HEAD") as made:
        assert (made / "a.py").read_text() == "one\n"
    assert len(worktrees(repository)) == 1


def test_a_second_one_at_the_same_time_is_refused(repository: Place, tmp_path: Path) -> None:
    with (
        worktree_of(repository.top, tmp_path / "7", "HEAD"),
        pytest.raises(OperationalError, match="run 7 is being verified by another process already"),
        worktree_of(repository.top, tmp_path / "7", "HEAD"),
    ):
        pass
    assert len(worktrees(repository)) == 1


def test_a_commit_that_is_not_there_is_named(repository: Place, tmp_path: Path) -> None:
    with (
        pytest.raises(OperationalError, match="cannot make a worktree of 000000000000"),
        worktree_of(repository.top, tmp_path / "7", "0" * 40),
    ):
        pass


def test_a_run_does_not_take_it_for_work_elsewhere(repository: Place, tmp_path: Path) -> None:
    with worktree_of(repository.top, tmp_path / "7", "HEAD"):
        assert tree.take(repository.top, repository.store).worktrees == ()
