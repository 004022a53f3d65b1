import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from actors.edges import git


def run_git(cwd: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    where = tmp_path / "My Repo_1"
    where.mkdir()
    run_git(where, "init", "-q")
    run_git(where, "commit", "-q", "--allow-empty", "-m", "first")
    return where


@pytest.mark.parametrize(
    ("name", "plain"),
    [("My Repo_1", "my-repo-1"), ("--x--", "x"), ("", "loop"), ("äöü", "loop"), ("a..b", "a-b")],
)
def test_names_are_sanitised(name: str, plain: str):
    assert git.sanitise(name) == plain


def test_a_repository_is_named_by_its_directory_and_the_hash_of_its_common_dir(repository: Path):
    digest = hashlib.sha256(str(repository / ".git").encode()).hexdigest()[:12]
    assert git.repository_id(repository) == f"my-repo-1-{digest}"


def test_every_worktree_and_subdirectory_shares_the_repository_id(repository: Path, tmp_path: Path):
    run_git(repository, "worktree", "add", "-q", str(tmp_path / "elsewhere"))
    inner = repository / "deep" / "er"
    inner.mkdir(parents=True)
    assert git.repository_id(tmp_path / "elsewhere") == git.repository_id(repository) == git.repository_id(inner)


def test_outside_a_repository_the_directory_itself_counts(tmp_path: Path):
    assert re.fullmatch(r"[a-z0-9-]+-[0-9a-f]{12}", git.repository_id(tmp_path))


def test_the_default_branch_needs_no_note(repository: Path):
    assert git.branch_note(repository) is None


def test_another_branch_and_being_behind_are_noted(repository: Path, tmp_path: Path):
    run_git(tmp_path, "clone", "-q", str(repository), "clone")
    run_git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    clone = tmp_path / "clone"
    run_git(clone, "fetch", "-q")
    assert git.branch_note(clone) == "main is 1 commits behind its upstream"
    run_git(clone, "switch", "-q", "-c", "topic")
    assert git.branch_note(clone) == "on branch topic"


def test_outside_a_repository_there_is_no_note(tmp_path: Path):
    assert git.branch_note(tmp_path) is None
