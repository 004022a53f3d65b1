import hashlib
import os
import re
import subprocess
import sys
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
    assert git.branch_note(clone) == "main is 1 commit behind its upstream"
    run_git(clone, "switch", "-q", "-c", "topic")
    assert git.branch_note(clone) == "on branch topic"


def test_outside_a_repository_there_is_no_note(tmp_path: Path):
    assert git.branch_note(tmp_path) is None


def test_two_commits_behind_are_counted_as_of_the_last_fetch(repository: Path, tmp_path: Path):
    run_git(tmp_path, "clone", "-q", str(repository), "clone")
    for _ in range(2):
        run_git(repository, "commit", "-q", "--allow-empty", "-m", "more")
    assert git.branch_note(tmp_path / "clone") is None
    run_git(tmp_path / "clone", "fetch", "-q")
    assert git.branch_note(tmp_path / "clone") == "main is 2 commits behind its upstream"


def test_a_detached_head_is_noted(repository: Path):
    run_git(repository, "switch", "-q", "--detach")
    assert re.fullmatch(r"HEAD is detached at [0-9a-f]{7,}: on no branch", git.branch_note(repository) or "")


def test_a_branch_whose_upstream_or_remote_is_gone_needs_no_note(repository: Path, tmp_path: Path):
    run_git(tmp_path, "clone", "-q", str(repository), "clone")
    run_git(tmp_path / "clone", "update-ref", "-d", "refs/remotes/origin/main")
    assert git.branch_note(tmp_path / "clone") is None
    run_git(tmp_path / "clone", "remote", "remove", "origin")
    assert git.branch_note(tmp_path / "clone") is None


def test_before_the_first_commit_the_branch_counts(tmp_path: Path):
    run_git(tmp_path, "init", "-q")
    assert git.branch_note(tmp_path) is None
    run_git(tmp_path, "symbolic-ref", "HEAD", "refs/heads/topic")
    assert git.branch_note(tmp_path) == "on branch topic"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_repository_of_somebody_else_is_noted_with_what_git_wants_to_be_told(repository: Path):
    for path in (repository, repository / ".git"):
        os.chown(path, 12345, 12345)
    note = git.branch_note(repository) or ""
    assert note.startswith("git says: detected dubious ownership in repository")
    assert f"(git config --global --add safe.directory '{repository}')" in note


def answered(expression: str, **environment: str) -> str:
    """What the expression comes to in a process with this environment."""
    done = subprocess.run(
        [sys.executable, "-c", f"from pathlib import Path; from actors.edges import git; print({expression})"],
        env=dict(os.environ) | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def test_without_git_that_is_the_reason(tmp_path: Path):
    there, gone = f"Path({str(tmp_path)!r})", f"Path({str(tmp_path / 'gone')!r})"
    assert answered(f"git.ask({there}, 'status').reason", PATH=str(tmp_path)) == "git is not installed"
    assert answered(f"git.ask({gone}, 'status').reason") == f"{tmp_path / 'gone'}: No such file or directory"


def test_the_variables_of_a_hook_do_not_say_which_repository_is_meant(repository: Path, tmp_path: Path):
    run_git(tmp_path, "init", "-q", "other")
    other = tmp_path / "other" / ".git"
    top = answered(f"git.top_level(Path({str(repository)!r}))", GIT_DIR=str(other), GIT_INDEX_FILE=str(other / "index"))
    assert top == str(repository)


def test_reasons_are_the_same_in_every_language(tmp_path: Path):
    note = answered(f"git.branch_note(Path({str(tmp_path)!r}))", LC_ALL="de_DE.UTF-8", LANGUAGE="de")
    assert note == "None"


def test_the_main_working_tree_is_found_from_everywhere(repository: Path, tmp_path: Path):
    run_git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))
    for place in (repository, tmp_path / "linked"):
        assert git.main_top_level(place) == repository
    assert git.linked_worktree(tmp_path / "linked") == tmp_path / "linked"
    assert git.linked_worktree(repository) is None
    assert git.linked_worktree(tmp_path) is None


def test_the_main_working_tree_of_a_submodule_is_the_submodule(repository: Path, tmp_path: Path):
    run_git(tmp_path, "init", "-q", "super")
    sub = tmp_path / "super" / "sub"
    run_git(
        tmp_path / "super", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository), "sub"
    )
    assert git.main_top_level(sub) == sub
    run_git(sub, "worktree", "add", "-q", str(tmp_path / "linked"))
    assert git.main_top_level(tmp_path / "linked") == sub


def test_the_main_place_of_a_bare_repository_with_worktrees_is_the_directory_that_it_is_in(
    repository: Path, tmp_path: Path
):
    run_git(tmp_path, "clone", "-q", "--bare", str(repository), "project/.bare")
    run_git(tmp_path / "project" / ".bare", "worktree", "add", "-q", "../main", "main")
    assert git.main_top_level(tmp_path / "project" / "main") == tmp_path / "project"
    assert git.top_level(tmp_path / "project" / ".bare") is None
