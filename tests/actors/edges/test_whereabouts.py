"""Which branches have work, and whether the run's own has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.edges import tree, whereabouts
from actors.machines.run import Tree, Whereabouts
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
    run_git(top, "branch", "old")
    return place


def begin(place: Place) -> Tree:
    base = tree.take(place.top, place.store)
    whereabouts.remember(place.top, place.store)
    return base


def look(place: Place, base: Tree) -> Whereabouts:
    found = whereabouts.look(place.top, place.store, (base.commit, base.branch), tree.take(place.top, place.store))
    assert found is not None
    return found


def commit(place: Place, name: str) -> None:
    place.write(name, name)
    run_git(place.top, "add", name)
    run_git(place.top, "commit", "-q", "-m", name)


def test_work_on_the_run_s_branch_is_nothing_special(repository: Place) -> None:
    base = begin(repository)
    commit(repository, "b.py")
    run_git(repository.top, "branch", "points-there-too")
    assert look(repository, base) == Whereabouts(directory=str(repository.top), own=False, grown=False)


def test_a_branch_that_was_made_on_top_has_grown_and_one_that_was_there_has_not(repository: Place) -> None:
    base = begin(repository)
    run_git(repository.top, "switch", "-q", "-c", "feature")
    assert look(repository, base).grown
    commit(repository, "b.py")
    assert look(repository, base).grown
    run_git(repository.top, "switch", "-q", "old")
    assert not look(repository, base).grown
    run_git(repository.top, "switch", "-q", "--orphan", "empty")
    commit(repository, "c.py")
    assert not look(repository, base).grown
    run_git(repository.top, "switch", "-q", "--detach")
    assert not look(repository, base).grown


def test_commits_on_another_branch_are_named(repository: Place) -> None:
    base = begin(repository)
    for branch in ("old", "new"):
        run_git(repository.top, "switch", "-q", *(["-c"] if branch == "new" else []), branch)
        commit(repository, f"{branch}.py")
    run_git(repository.top, "switch", "-q", "main")
    assert look(repository, base).moved == ("new", "old")


def test_a_worktree_of_the_run_is_its_own(repository: Place) -> None:
    run_git(repository.top, "worktree", "add", "-q", "-b", "tool-loop-1", "../tool-loop-1")
    own = Place(repository.top.parent / "tool-loop-1", repository.store)
    assert look(own, begin(own)).own


def test_without_the_branches_of_the_beginning_nothing_is_said(repository: Place, tmp_path: Path) -> None:
    base = tree.take(repository.top, repository.store)
    assert whereabouts.look(repository.top, repository.store, (base.commit, "main"), base) is None
    assert whereabouts.look(tmp_path, repository.store, (base.commit, "main"), base) is None


def test_a_repository_without_a_commit_has_whereabouts(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q", "tool")
    place = Place(tmp_path / "tool", tmp_path / "store")
    base = begin(place)
    commit(place, "a.py")
    run_git(place.top, "switch", "-q", "-c", "feature")
    assert look(place, base).grown
