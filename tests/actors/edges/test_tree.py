"""The tree of real repositories."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from actors.edges import tree


def run_git(cwd: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *identity, "-c", "protocol.file.allow=always", *arguments],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


class Place:
    """A directory with a store beside it."""

    def __init__(self, top: Path, store: Path) -> None:
        self.top = top
        self.store = store

    def write(self, name: str, text: str) -> None:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def take(self, *apart: str) -> str:
        taken = tree.take(self.top, self.store, apart=apart)
        assert taken.id, taken.reason
        return taken.id

    def changed(self, before: str) -> tuple[str, ...]:
        return tree.changed(self.top, self.store, before, self.take())


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


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    top = tmp_path / "plain"
    top.mkdir()
    place = Place(top, tmp_path / "store")
    place.write("a.py", "one\n")
    return place


@pytest.fixture(params=["repository", "folder"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def test_the_same_content_has_the_same_id(place: Place) -> None:
    before = place.take()
    os.utime(place.top / "a.py")
    assert place.take() == before


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda place: place.write("a.py", "two\n"), ("a.py",)),
        (lambda place: place.write("sub/new.py", "x"), ("sub/new.py",)),
        (lambda place: (place.top / "a.py").unlink(), ("a.py",)),
        (lambda place: (place.top / "a.py").chmod(0o755), ("a.py",)),
        (lambda place: (place.top / "link").symlink_to("a.py"), ("link",)),
        (lambda place: (place.top / "a.py").rename(place.top / "b.py"), ("a.py", "b.py")),
        (lambda place: place.write(os.fsdecode(b"caf\xe9"), "x"), ("caf\N{REPLACEMENT CHARACTER}",)),
    ],
)
def test_a_change_of_any_file_is_another_tree_and_is_named(place: Place, change: object, names: tuple[str]) -> None:
    before = place.take()
    assert callable(change)
    change(place)
    assert place.changed(before) == names


def test_a_file_of_the_same_size_and_time_is_seen_to_be_changed(repository: Place) -> None:
    before = repository.take()
    facts = (repository.top / "a.py").stat()
    repository.write("a.py", "two\n")
    os.utime(repository.top / "a.py", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert repository.changed(before) == ("a.py",)


def test_to_stage_and_to_commit_what_is_there_changes_nothing(repository: Place) -> None:
    repository.write("a.py", "two\n")
    repository.write("new.py", "x")
    before = repository.take()
    run_git(repository.top, "add", "new.py")
    assert repository.take() == before
    run_git(repository.top, "switch", "-q", "-c", "other")
    run_git(repository.top, "add", "-A")
    run_git(repository.top, "commit", "-q", "-m", "second")
    assert repository.take() == before


def test_what_is_not_committed_is_named(repository: Place) -> None:
    repository.write("new.py", "x")
    taken = tree.take(repository.top, repository.store)
    assert tree.uncommitted(repository.top, repository.store, taken) == ("new.py",)
    run_git(repository.top, "add", "-A")
    run_git(repository.top, "commit", "-q", "-m", "second")
    taken = tree.take(repository.top, repository.store)
    assert tree.uncommitted(repository.top, repository.store, taken) == ()
    assert (taken.branch, taken.commit) == ("main", run_git(repository.top, "rev-parse", "HEAD"))


def test_what_is_ignored_and_the_caches_of_tools_do_not_count(place: Place) -> None:
    before = place.take()
    place.write("sub/__pycache__/a.cpython-311.pyc", "x")
    place.write(".pytest_cache/v/cache/lastfailed", "x")
    if (place.top / ".gitignore").exists():
        place.write("build/out.o", "x")
    assert place.take() == before


def test_what_the_user_ignores_everywhere_does_not_count_either(repository: Place, tmp_path: Path) -> None:
    (tmp_path / "ignore").write_text("*.swp")
    run_git(repository.top, "config", "core.excludesFile", str(tmp_path / "ignore"))
    before = repository.take()
    repository.write("a.swp", "x")
    assert repository.take() == before


def test_files_apart_do_not_count(place: Place) -> None:
    place.write("report.xml", "one")
    before = place.take("report.xml", "not-there")
    place.write("report.xml", "two")
    assert place.take("report.xml", "not-there") == before
    assert place.take() != before


def test_the_repository_is_left_as_it_was(repository: Place) -> None:
    repository.write("a.py", "two\n")
    repository.write("new.py", "x")
    status = run_git(repository.top, "status", "--porcelain")
    index = (repository.top / ".git" / "index").read_bytes()
    objects = sorted(repository.top.glob(".git/objects/*/*"))
    repository.take()
    assert (repository.top / ".git" / "index").read_bytes() == index
    assert sorted(repository.top.glob(".git/objects/*/*")) == objects
    assert run_git(repository.top, "status", "--porcelain") == status


def test_no_hook_of_the_user_runs(repository: Place) -> None:
    hook = repository.top / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {repository.top.parent}/ran\n")
    hook.chmod(0o755)
    repository.take()
    assert not (repository.top.parent / "ran").exists()


def test_a_repository_without_a_commit_has_a_tree(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q", "tool")
    place = Place(tmp_path / "tool", tmp_path / "store")
    before = place.take()
    place.write("a.py", "x")
    assert place.changed(before) == ("a.py",)


def test_a_directory_in_a_repository_and_a_worktree_have_the_tree_of_the_whole(repository: Place) -> None:
    repository.write("sub/b.py", "x")
    assert tree.take(repository.top / "sub", repository.store).id == repository.take()
    run_git(repository.top, "worktree", "add", "-q", "../other")
    other = Place(repository.top.parent / "other", repository.store)
    before = other.take()
    other.write("a.py", "two\n")
    assert other.changed(before) == ("a.py",)
    [known] = tree.take(repository.top, repository.store).worktrees
    assert known == f"{other.top} {run_git(other.top, 'rev-parse', 'HEAD')}"


def test_a_file_in_a_submodule_is_part_of_the_tree_and_to_commit_it_there_changes_nothing(
    repository: Place, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    run_git(library, "init", "-q")
    (library / "l.py").write_text("x")
    run_git(library, "add", "-A")
    run_git(library, "commit", "-q", "-m", "l")
    run_git(repository.top, "submodule", "add", "-q", str(library), "lib")
    run_git(repository.top, "commit", "-q", "-m", "with it")
    before = repository.take()
    repository.write("lib/l.py", "y")
    after = repository.take()
    assert after != before
    assert repository.changed(before) == ("(a submodule)",)
    run_git(repository.top / "lib", "commit", "-q", "-a", "-m", "l2")
    assert repository.take() == after


def test_a_repository_that_somebody_made_within_is_part_of_the_tree(repository: Place) -> None:
    run_git(repository.top, "init", "-q", "within")
    run_git(repository.top / "within", "commit", "-q", "--allow-empty", "-m", "w")
    repository.write("within/w.py", "x")
    before = repository.take()
    repository.write("within/w.py", "y")
    assert repository.take() != before


def test_a_file_that_cannot_be_read_does_not_hide_the_others(place: Place) -> None:
    place.write("secret", "x")
    (place.top / "secret").chmod(0)
    before = place.take()
    place.write("a.py", "two\n")
    assert place.take() != before


def test_a_tree_that_git_gives_up_is_unknown_and_not_the_tree_of_before(repository: Place) -> None:
    run_git(repository.top, "config", "filter.lfs.clean", "false")
    run_git(repository.top, "config", "filter.lfs.required", "true")
    repository.write(".gitattributes", "*.bin filter=lfs\n")
    repository.write("a.bin", "x")
    taken = tree.take(repository.top, repository.store)
    assert (taken.id, taken.reason) == ("", "a.bin: clean filter 'lfs' failed")


def test_a_tree_that_git_gives_up_once_is_read_again(repository: Place, tmp_path: Path) -> None:
    """As for a file that goes between git's look at its folder and its look at the file."""
    script = f"test -e {tmp_path}/seen && exec cat; touch {tmp_path}/seen; exit 1"
    run_git(repository.top, "config", "filter.lfs.clean", script)
    run_git(repository.top, "config", "filter.lfs.required", "true")
    repository.write(".gitattributes", "*.bin filter=lfs\n")
    before = repository.take()
    repository.write("a.bin", "x")
    assert repository.changed(before) == ("a.bin",)


def test_a_tree_whose_files_cannot_be_stored_is_unknown_and_not_the_tree_of_before(repository: Place) -> None:
    repository.take()
    for number in range(256):  # git has a folder for each first byte of an object's name
        place = repository.store / "objects" / f"{number:02x}"
        if not place.exists():
            place.touch()
    repository.write("a.py", "two\n")
    assert tree.take(repository.top, repository.store).id == ""


def test_a_directory_that_is_gone_has_no_tree_and_says_why(tmp_path: Path) -> None:
    taken = tree.take(tmp_path / "gone", tmp_path / "store")
    assert (taken.id, taken.reason) == ("", f"{tmp_path / 'gone'}: No such file or directory")


def test_a_directory_without_git_that_is_too_large_to_be_read_has_no_tree(folder: Place) -> None:
    folder.write("b.py", "x")
    taken = tree.take(folder.top, folder.store, most_files=1)
    assert taken.id == ""
    assert "too large to read as a whole: run git init" in taken.reason


def test_an_index_that_git_cannot_read_is_read_as_none(repository: Place) -> None:
    before = repository.take()
    (repository.top / ".git" / "index").write_bytes(b"broken")
    taken = tree.take(repository.top, repository.store)
    assert taken.id in ("", before)
