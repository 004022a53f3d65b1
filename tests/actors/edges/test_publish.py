"""Publishes from real repositories; `gh` is the stand-in."""

import os
import subprocess
from pathlib import Path

import pytest

from actors.edges import publish
from actors.edges.pull_request import PullRequestProbe
from tests.lab.stand_in_gh import put_gh


def run_git(cwd: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=trunk"]
    done = subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With a remote whose default branch is `trunk`, on a branch of its own."""
    top = tmp_path / "tool"
    top.mkdir()
    run_git(tmp_path, "init", "-q", "--bare", "origin.git")
    run_git(top, "init", "-q")
    run_git(top, "commit", "-q", "--allow-empty", "-m", "first")
    run_git(top, "remote", "add", "origin", str(tmp_path / "origin.git"))
    run_git(top, "push", "-q", "origin", "trunk")
    run_git(top, "switch", "-q", "-c", "polite")
    run_git(top, "commit", "-q", "--allow-empty", "-m", "Greet politely\n\nBecause of the test.")
    return top


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    put_gh(tmp_path / "bin")
    return {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def test_a_branch_is_pushed_and_its_last_message_becomes_the_draft(
    repository: Path, environment: dict[str, str], tmp_path: Path
):
    assert publish.push(repository, environment) == ""
    assert run_git(tmp_path / "origin.git", "rev-parse", "polite") == run_git(repository, "rev-parse", "HEAD")
    assert publish.open_draft(repository, environment) == ""
    call = (tmp_path / "bin" / "gh.calls").read_text()
    assert "pr create --draft --title Greet politely --body Because of the test." in call
    found = PullRequestProbe(repository, environment).now().found
    assert found is not None
    assert (found.branch, found.is_draft) == ("polite", True)
    assert "already exists" in publish.open_draft(repository, environment)


@pytest.mark.parametrize("branch", ["trunk", "main", "master"])
def test_a_default_branch_is_never_pushed(repository: Path, environment: dict[str, str], tmp_path: Path, branch: str):
    run_git(repository, "switch", "-q", "-C", branch)
    before = run_git(tmp_path / "origin.git", "for-each-ref")
    assert "only a branch of its own is pushed" in publish.push(repository, environment)
    assert run_git(tmp_path / "origin.git", "for-each-ref") == before


def test_no_hook_of_the_repository_runs(repository: Path, environment: dict[str, str]):
    """It may have come from the host."""
    hooks = repository / "hooks"
    hooks.mkdir()
    (hooks / "pre-push").write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    (hooks / "pre-push").chmod(0o755)
    run_git(repository, "config", "core.hooksPath", "hooks")
    assert publish.push(repository, environment) == ""
    assert not (repository / "ran").exists()


def test_nothing_is_forced_and_a_remote_that_refuses_is_quoted(repository: Path, environment: dict[str, str]):
    assert publish.push(repository, environment) == ""
    run_git(repository, "commit", "-q", "--amend", "--allow-empty", "-m", "another one")
    assert publish.push(repository, environment).startswith("git push says: ")


def test_what_cannot_be_pushed_is_said(repository: Path, environment: dict[str, str]):
    run_git(repository, "checkout", "-q", "--detach")
    assert publish.push(repository, environment) == "no branch is checked out"
    run_git(repository, "switch", "-q", "polite")
    run_git(repository, "remote", "set-url", "origin", "/nowhere.git")
    assert publish.push(repository, environment).startswith("git ls-remote says: ")
    run_git(repository, "remote", "remove", "origin")
    assert publish.push(repository, environment) == "this repository has no remote"
