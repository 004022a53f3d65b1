"""What the user has allowed a repository to run."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from actors.edges import trust
from actors.edges.config_file import REPOSITORY_FILE
from actors.edges.configuration import RepositoryFile


def file(repository: Path, sha256: str = "a" * 64) -> RepositoryFile:
    return RepositoryFile(path=repository / REPOSITORY_FILE, sha256=sha256, runs=("check make test",))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", "-b", "main", str(made)], check=True)
    return made


def record(home: Path) -> Path:
    (found,) = (home / ".loop" / "trust").glob("*/*")
    return found


def test_a_content_is_trusted_once_it_was_allowed_and_another_content_is_not(home: Path, repository: Path) -> None:
    assert not trust.is_trusted(home, repository, file(repository))
    trust.trust(home, repository, file(repository))
    assert trust.is_trusted(home, repository, file(repository))
    assert not trust.is_trusted(home, repository, file(repository, "b" * 64))
    assert trust.has_trusted(home, repository)


def test_worktrees_and_sub_directories_share_what_their_repository_was_allowed(home: Path, repository: Path) -> None:
    trust.trust(home, repository, file(repository))
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "x"], cwd=repository, check=True)
    subprocess.run(["git", "worktree", "add", "-q", "../other"], cwd=repository, check=True)
    (repository / "sub").mkdir()
    assert trust.is_trusted(home, repository.parent / "other", file(repository))
    assert trust.is_trusted(home, repository / "sub", file(repository))


def test_another_clone_is_another_question(home: Path, repository: Path) -> None:
    trust.trust(home, repository, file(repository))
    subprocess.run(["git", "clone", "-q", str(repository), "../clone/repository"], cwd=repository, check=True)
    assert not trust.is_trusted(home, repository.parent / "clone" / "repository", file(repository))


def test_what_is_revoked_is_asked_about_again(home: Path, repository: Path) -> None:
    assert trust.revoke(home, repository) == 0
    trust.trust(home, repository, file(repository))
    trust.trust(home, repository, file(repository, "b" * 64))
    assert trust.revoke(home, repository) == 2
    assert not trust.is_trusted(home, repository, file(repository))
    assert not trust.has_trusted(home, repository)


def test_the_record_is_the_users_alone_whatever_the_umask(home: Path, repository: Path) -> None:
    before = os.umask(0)
    try:
        trust.trust(home, repository, file(repository))
    finally:
        os.umask(before)
    assert stat.S_IMODE(record(home).stat().st_mode) == 0o600
    assert stat.S_IMODE(record(home).parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / ".loop" / "trust").stat().st_mode) == 0o700


def test_a_record_that_others_can_write_is_no_leave(home: Path, repository: Path) -> None:
    trust.trust(home, repository, file(repository))
    record(home).chmod(0o622)
    assert not trust.is_trusted(home, repository, file(repository))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"repository": "/another"}', "[" * 100_000])
def test_a_damaged_record_is_no_leave_and_no_failure(home: Path, repository: Path, content: str) -> None:
    trust.trust(home, repository, file(repository))
    record(home).write_text(content)
    assert not trust.is_trusted(home, repository, file(repository))


def test_a_link_or_a_directory_in_place_of_the_record_is_no_leave(home: Path, repository: Path) -> None:
    trust.trust(home, repository, file(repository))
    path = record(home)
    (home / "elsewhere").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(home / "elsewhere")
    assert not trust.is_trusted(home, repository, file(repository))
    path.unlink()
    path.mkdir()
    assert not trust.is_trusted(home, repository, file(repository))


def test_the_record_says_in_plain_words_what_was_allowed(home: Path, repository: Path) -> None:
    trust.trust(home, repository, file(repository))
    assert json.loads(record(home).read_text())["runs"] == ["check make test"]


def test_a_file_that_appears_changes_or_goes_is_told_once(tmp_path: Path) -> None:
    watch = trust.Watch(tmp_path, trust.digest(tmp_path))
    assert watch.look() == ""
    for content in ("checks = ['x']", "checks = ['y']", None):
        if content is None:
            (tmp_path / REPOSITORY_FILE).unlink()
        else:
            (tmp_path / REPOSITORY_FILE).write_text(content)
        assert "has changed since the run began" in watch.look()
        assert watch.look() == ""


def test_a_watched_file_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / REPOSITORY_FILE)
    assert trust.digest(tmp_path) == ""
