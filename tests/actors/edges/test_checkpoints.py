"""Checkpoints in real repositories: what is kept, and what is left as it was."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from actors.edges import checkpoints, tree
from actors.machines.checkpoint import Checkpoint, left_behind
from tests.actors.edges.test_tree import Place, run_git

UID = "0e9f3a34-8c28-4a34-9d6b-1f4e3f0d8a11"
OTHER_UID = "77777777-8c28-4a34-9d6b-1f4e3f0d8a11"


def keep(place: Place, number: int, run_uid: str = UID, run_id: str = "7") -> Checkpoint:
    captured = tree.capture(place.top, place.store)
    assert captured.top is not None, captured.tree.reason
    return checkpoints.keep(
        captured.top, captured.whole, run_id=run_id, run_uid=run_uid, number=number, about=f"iteration {number}"
    )


def names(place: Place, ref: str) -> list[str]:
    return run_git(place.top, "ls-tree", "-r", "--name-only", ref).splitlines()


@pytest.fixture
def repository(tmp_path: Path) -> Place:
    top = tmp_path / "tool"
    top.mkdir()
    run_git(top, "init", "-q")
    place = Place(top, tmp_path / "store")
    place.write("a.py", "one\n")
    place.write(".gitignore", "build\n")
    run_git(top, "add", "-A")
    run_git(top, "commit", "-q", "-m", "first")
    return place


def test_a_checkpoint_has_what_is_untracked_and_nothing_that_is_ignored(repository: Place) -> None:
    repository.write("new.py", "x")
    repository.write("build/out", "x")
    (repository.top / "link").symlink_to("a.py")
    (repository.top / "a.py").chmod(0o755)
    keep(repository, 0)
    assert names(repository, "refs/loop/7/0") == [".gitignore", "a.py", "link", "new.py"]
    listed = run_git(repository.top, "ls-tree", "refs/loop/7/0")
    assert "100755 blob" in listed
    assert "120000 blob" in listed


def test_head_branch_index_and_files_are_left_as_they_were(repository: Place) -> None:
    repository.write("a.py", "two\n")
    repository.write("new.py", "x")
    status = run_git(repository.top, "status", "--porcelain")
    index = (repository.top / ".git" / "index").read_bytes()
    head = (repository.top / ".git" / "HEAD").read_text()
    branches = run_git(repository.top, "for-each-ref", "refs/heads")
    keep(repository, 0)
    assert (repository.top / ".git" / "index").read_bytes() == index
    assert (repository.top / ".git" / "HEAD").read_text() == head
    assert run_git(repository.top, "for-each-ref", "refs/heads") == branches
    assert run_git(repository.top, "status", "--porcelain") == status


def test_the_tree_of_a_checkpoint_is_the_tree_that_checks_are_bound_to(repository: Place) -> None:
    repository.write("new.py", "x")
    assert keep(repository, 0).tree == repository.take()


def test_files_that_do_not_count_are_kept_all_the_same(repository: Place) -> None:
    repository.write("report.xml", "x")
    captured = tree.capture(repository.top, repository.store, apart=("report.xml",))
    assert captured.tree.id == repository.take("report.xml")
    assert captured.whole == repository.take()


def test_what_is_kept_twice_is_kept_once(repository: Place) -> None:
    first = keep(repository, 0)
    assert keep(repository, 0).commit == first.commit


def test_a_tree_that_changed_after_its_iteration_takes_the_number_over_and_keeps_what_was(repository: Place) -> None:
    first = keep(repository, 0)
    repository.write("a.py", "two\n")
    second = keep(repository, 1)
    repository.write("a.py", "three\n")
    third = keep(repository, 1)
    known = checkpoints.of_run(repository.top, "7", UID)
    assert {number: each.commit for number, each in known.items()} == {0: first.commit, 1: third.commit}
    head = run_git(repository.top, "rev-parse", "HEAD")
    parents = run_git(repository.top, "rev-list", "--parents", "-n", "1", third.commit).split()[1:]
    assert parents == [second.commit, head]
    assert known[1].about == "iteration 1"


def test_git_gc_keeps_checkpoints_until_they_are_removed(repository: Place) -> None:
    repository.write("new.py", "only here")
    kept = keep(repository, 0)
    (repository.top / "new.py").unlink()
    shutil.rmtree(repository.store)
    run_git(repository.top, "gc", "-q", "--prune=now")
    assert run_git(repository.top, "show", "refs/loop/7/0:new.py") == "only here"
    assert checkpoints.remove(repository.top, checkpoints.of_run(repository.top, "7", UID).values()) == 1
    run_git(repository.top, "gc", "-q", "--prune=now")
    with pytest.raises(Exception, match="returned non-zero"):
        run_git(repository.top, "cat-file", "-e", kept.commit)


def test_the_run_of_another_home_with_the_same_id_keeps_its_own(repository: Place) -> None:
    keep(repository, 0, OTHER_UID)
    repository.write("a.py", "two\n")
    assert keep(repository, 0).ref == "refs/loop/7-0e9f3a34/0"
    assert keep(repository, 1).ref == "refs/loop/7-0e9f3a34/1"
    assert run_git(repository.top, "show", "refs/loop/7/0:a.py") == "one"
    assert list(checkpoints.of_run(repository.top, "7", UID)) == [0, 1]
    assert list(checkpoints.of_run(repository.top, "7", OTHER_UID)) == [0]


def test_a_lock_that_a_killed_process_left_is_not_in_the_way(repository: Place) -> None:
    lock = repository.top / ".git" / "refs" / "loop" / "7" / "0.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert keep(repository, 0).number == 0
    assert not lock.exists()


def test_a_repository_without_a_commit_has_checkpoints(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q", "tool")
    place = Place(tmp_path / "tool", tmp_path / "store")
    place.write("a.py", "x")
    keep(place, 0)
    assert names(place, "refs/loop/7/0") == ["a.py"]
    assert run_git(place.top, "status", "--porcelain") == "?? a.py"


def test_a_worktree_with_a_detached_head_shares_the_checkpoints_of_its_repository(repository: Place) -> None:
    run_git(repository.top, "worktree", "add", "-q", "--detach", "../other")
    other = Place(repository.top.parent / "other", repository.store)
    other.write("sub/b.py", "x")
    inner = Place(other.top / "sub", repository.store)
    keep(inner, 0)
    assert names(repository, "refs/loop/7/0") == [".gitignore", "a.py", "sub/b.py"]
    assert list(checkpoints.of_run(repository.top, "7", UID)) == [0]


def test_a_submodule_is_kept_as_its_commit(repository: Place, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    run_git(library, "init", "-q")
    (library / "l.py").write_text("x")
    run_git(library, "add", "-A")
    run_git(library, "commit", "-q", "-m", "l")
    run_git(repository.top, "submodule", "add", "-q", str(library), "lib")
    repository.write("lib/l.py", "y")
    keep(repository, 0)
    tip = run_git(library, "rev-parse", "HEAD")
    assert f"160000 commit {tip}\tlib" in run_git(repository.top, "ls-tree", "refs/loop/7/0")


def test_a_file_of_a_filter_such_as_lfs_is_kept_as_its_pointer(repository: Place) -> None:
    run_git(repository.top, "config", "filter.far.clean", "sed s/content/pointer/")
    run_git(repository.top, "config", "filter.far.smudge", "sed s/pointer/content/")
    repository.write(".gitattributes", "*.bin filter=far\n")
    repository.write("large.bin", "content")
    keep(repository, 0)
    assert run_git(repository.top, "show", "refs/loop/7/0:large.bin") == "pointer"


def test_no_hook_of_the_user_runs(repository: Place) -> None:
    hook = repository.top / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {repository.top.parent}/ran\n")
    hook.chmod(0o755)
    keep(repository, 0)
    assert not (repository.top.parent / "ran").exists()


def test_a_ref_that_somebody_else_put_there_is_no_checkpoint(repository: Place) -> None:
    run_git(repository.top, "update-ref", "refs/loop/7/note", "HEAD")
    blob = run_git(repository.top, "rev-parse", "HEAD:a.py")
    run_git(repository.top, "update-ref", "refs/loop/7/3", blob)
    keep(repository, 0)
    assert list(checkpoints.of_run(repository.top, "7", UID)) == [0]


def test_outside_a_repository_there_are_none(tmp_path: Path) -> None:
    assert checkpoints.of_run(tmp_path, "7", UID) == {}
    assert tree.capture(tmp_path, tmp_path.parent / "store").whole == ""


def test_checkpoints_of_a_run_that_is_no_more_are_found(repository: Place) -> None:
    keep(repository, 0)
    keep(repository, 0, OTHER_UID, run_id="8")
    left = checkpoints.left_behind(repository.top, {UID})
    assert [each.ref for each in left] == ["refs/loop/8/0"]
    assert checkpoints.remove(repository.top, left) == 1
    assert run_git(repository.top, "for-each-ref", "--format=%(refname)", "refs/loop") == "refs/loop/7/0"


def test_checkpoints_of_another_home_and_what_is_none_of_ours_are_not_left_behind(repository: Place) -> None:
    mine = keep(repository, 0)
    found = [replace(mine, home="another"), replace(mine, owner=""), mine]
    assert left_behind(found, checkpoints.home(), set()) == []
    known = checkpoints.of_run(repository.top, "7", UID)[0]
    assert left_behind([known], checkpoints.home(), set()) == [known]
