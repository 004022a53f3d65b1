"""A working tree is put back to a checkpoint, and no work is lost by it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actors.edges import checkpoints
from actors.edges.restore import InTheWayError, Restored, restore
from actors.errors import OperationalError
from tests.actors.edges.test_checkpoints import UID, keep
from tests.actors.edges.test_tree import Place, run_git


def put_back(place: Place, number: int) -> Restored:
    known = checkpoints.of_run(place.top, "7", UID)
    return restore(place.top, place.store, known, known[number])


@pytest.fixture
def repository(tmp_path: Path) -> Place:
    """Checkpoint 0 is the first commit; checkpoint 1 has changed, added, removed, renamed and made executable."""
    top = tmp_path / "tool"
    top.mkdir()
    run_git(top, "init", "-q")
    place = Place(top, tmp_path / "store")
    for name in ("a.py", "b.py", "sub/c.py", "tool.sh"):
        place.write(name, f"one {name}\n")
    place.write(".gitignore", "build\n*.log\n")
    run_git(top, "add", "-A")
    run_git(top, "commit", "-q", "-m", "first")
    keep(place, 0)
    place.write("a.py", "two\n")
    place.write("new/d.py", "new\n")
    (top / "b.py").unlink()
    (top / "tool.sh").chmod(0o755)
    (top / "link").symlink_to("a.py")
    keep(place, 1)
    return place


def test_all_that_differs_is_put_back_and_what_was_not_there_is_removed(repository: Place) -> None:
    done = put_back(repository, 0)
    assert done.names == ("a.py", "b.py", "link", "new/d.py", "tool.sh")
    assert run_git(repository.top, "status", "--porcelain") == ""
    assert not (repository.top / "new").exists()
    assert put_back(repository, 1).names == done.names
    assert (repository.top / "a.py").read_text() == "two\n"
    assert (repository.top / "link").is_symlink()
    assert (repository.top / "tool.sh").stat().st_mode & 0o100
    assert not (repository.top / "b.py").exists()


def test_head_branch_index_and_ignored_files_stay_as_they_are(repository: Place) -> None:
    repository.write("build/out", "x")
    repository.write("new/x.log", "x")
    run_git(repository.top, "switch", "-q", "-c", "other")
    run_git(repository.top, "add", "a.py")
    index = (repository.top / ".git" / "index").read_bytes()
    refs = run_git(repository.top, "for-each-ref")
    put_back(repository, 0)
    assert (repository.top / ".git" / "index").read_bytes() == index
    assert run_git(repository.top, "for-each-ref") == refs
    assert run_git(repository.top, "symbolic-ref", "--short", "HEAD") == "other"
    assert (repository.top / "build" / "out").exists()
    assert (repository.top / "new" / "x.log").exists()


def test_work_that_is_nowhere_else_is_not_overwritten(repository: Place) -> None:
    repository.write("a.py", "mine\n")
    repository.write("new/e.py", "mine too\n")
    with pytest.raises(InTheWayError, match=re.escape("a.py, new/e.py")) as refused:
        put_back(repository, 0)
    assert not refused.value.ignored
    assert (repository.top / "a.py").read_text() == "mine\n"
    assert (repository.top / "new" / "d.py").exists()


def test_work_in_a_file_that_the_checkpoint_has_too_is_left(repository: Place) -> None:
    keep(repository, 2)
    repository.write("sub/c.py", "mine\n")
    keep(repository, 3)
    repository.write("a.py", "three\n")
    keep(repository, 4)
    assert put_back(repository, 3).names == ("a.py",)
    assert (repository.top / "sub" / "c.py").read_text() == "mine\n"


def test_work_that_is_committed_is_overwritten(repository: Place) -> None:
    repository.write("a.py", "mine\n")
    run_git(repository.top, "commit", "-q", "-a", "-m", "mine")
    put_back(repository, 0)
    assert (repository.top / "a.py").read_text() == "one a.py\n"
    assert run_git(repository.top, "show", "HEAD:a.py") == "mine"


def test_an_ignored_file_where_the_checkpoint_has_one_is_named_and_left(repository: Place) -> None:
    repository.write(".gitignore", "b.py\nbuild\n")
    run_git(repository.top, "rm", "-q", "--cached", "b.py")
    keep(repository, 2)
    repository.write("b.py", "ignored\n")
    with pytest.raises(InTheWayError, match=r"^b\.py$") as refused:
        put_back(repository, 0)
    assert refused.value.ignored
    assert (repository.top / "b.py").read_text() == "ignored\n"


def test_an_ignored_file_in_a_folder_where_the_checkpoint_has_a_file_is_left(repository: Place) -> None:
    repository.write("b.py/x.log", "ignored\n")
    with pytest.raises(InTheWayError, match=r"b\.py/x\.log"):
        put_back(repository, 0)
    assert (repository.top / "b.py" / "x.log").exists()


def test_a_file_gives_way_to_a_folder_and_back(repository: Place) -> None:
    (repository.top / "a.py").unlink()
    repository.write("a.py/inner.py", "x\n")
    keep(repository, 2)
    put_back(repository, 1)
    assert (repository.top / "a.py").read_text() == "two\n"
    put_back(repository, 2)
    assert (repository.top / "a.py" / "inner.py").read_text() == "x\n"


def test_a_restoration_that_was_killed_half_way_is_completed(repository: Place) -> None:
    repository.write("a.py", "one a.py\n")
    (repository.top / "link").unlink()
    put_back(repository, 0)
    assert run_git(repository.top, "status", "--porcelain") == ""


def test_a_submodule_is_left_as_it_is_and_named(repository: Place) -> None:
    run_git(repository.top, "init", "-q", "lib")
    run_git(repository.top / "lib", "commit", "-q", "--allow-empty", "-m", "l")
    keep(repository, 2)
    done = put_back(repository, 0)
    assert done.submodules == ("lib",)
    assert (repository.top / "lib" / ".git").exists()
    assert (repository.top / "a.py").read_text() == "one a.py\n"


def test_a_file_of_a_filter_such_as_lfs_comes_back_with_its_content(repository: Place) -> None:
    run_git(repository.top, "config", "filter.far.clean", "sed s/content/pointer/")
    run_git(repository.top, "config", "filter.far.smudge", "sed s/pointer/content/")
    repository.write(".gitattributes", "*.bin filter=far\n")
    repository.write("large.bin", "content")
    keep(repository, 2)
    put_back(repository, 0)
    assert not (repository.top / "large.bin").exists()
    put_back(repository, 2)
    assert (repository.top / "large.bin").read_text() == "content"


def test_a_worktree_is_put_back_and_its_repository_is_not(repository: Place) -> None:
    run_git(repository.top, "worktree", "add", "-q", "../other")
    other = Place(repository.top.parent / "other", repository.store)
    other.write("sub/c.py", "two\n")
    keep(other, 2)
    put_back(other, 0)
    assert (other.top / "sub" / "c.py").read_text() == "one sub/c.py\n"
    assert (repository.top / "a.py").read_text() == "two\n"


def test_a_repository_without_a_commit_is_put_back(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q", "tool")
    place = Place(tmp_path / "tool", tmp_path / "store")
    place.write("a.py", "x")
    keep(place, 0)
    place.write("a.py", "y")
    keep(place, 1)
    put_back(place, 0)
    assert (place.top / "a.py").read_text() == "x"


def test_outside_a_repository_it_says_why_not(repository: Place, tmp_path: Path) -> None:
    known = checkpoints.of_run(repository.top, "7", UID)
    (tmp_path / "plain").mkdir()
    with pytest.raises(OperationalError, match="is not in a git repository"):
        restore(tmp_path / "plain", repository.store, known, known[0])
