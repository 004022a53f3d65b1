"""Looks at real repositories; `gh` is a script that says what gh 2 says."""

import os
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actors.edges import processes
from actors.edges.git import git
from actors.edges.pull_request import PullRequestProbe
from actors.machines.run import Missing, PullRequest, PullRequestStatus
from tests.lab.stand_in_gh import put_gh
from tests.patience import PATIENCE_S


def run_git(cwd: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With a remote, on a branch of its own."""
    top = tmp_path / "tool"
    top.mkdir()
    run_git(top, "init", "-q")
    run_git(top, "commit", "-q", "--allow-empty", "-m", "first")
    run_git(top, "switch", "-q", "-c", "polite")
    run_git(top, "remote", "add", "origin", "https://example.invalid/tool.git")
    return top


def gh_that(top: Path, script: str) -> dict[str, str]:
    """The environment of agents for whom `gh` does this."""
    folder = top.parent / "bin"
    folder.mkdir()
    (folder / "gh").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "gh").chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def without_gh(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "empty"
    folder.mkdir()
    return {"PATH": str(folder)}


def test_there_can_be_one_where_there_are_a_remote_and_gh(repository: Path):
    assert PullRequestProbe(repository, gh_that(repository, "exit 1")).ahead() == PullRequestStatus()


def test_outside_a_repository_there_can_be_none(tmp_path: Path):
    look = PullRequestProbe(tmp_path, without_gh(tmp_path))
    reason = "not a git repository (or any of the parent directories): .git"
    assert look.ahead() == look.now() == PullRequestStatus(lacks="repository", reason=reason)


def test_without_a_remote_there_can_be_none(repository: Path):
    run_git(repository, "remote", "remove", "origin")
    look = PullRequestProbe(repository, gh_that(repository, "exit 1"))
    assert look.ahead() == look.now() == PullRequestStatus(lacks="remote", reason="this repository has no remote")


def test_without_gh_on_the_agents_path_there_can_be_none(repository: Path):
    look = PullRequestProbe(repository, without_gh(repository.parent))
    assert look.ahead() == look.now() == PullRequestStatus(lacks="gh", reason="gh, GitHub's CLI, is not installed")


def test_a_pull_request_is_seen_as_gh_describes_it(repository: Path):
    environment = gh_that(
        repository,
        """echo '{"headRefName":"polite","isDraft":false,"state":"MERGED","url":"https://example.invalid/pull/1"}'""",
    )
    found = PullRequest(url="https://example.invalid/pull/1", state="MERGED", is_draft=False, branch="polite")
    assert PullRequestProbe(repository, environment).now() == PullRequestStatus(found=found)


def test_the_stand_in_knows_the_pull_requests_that_it_has_made_and_no_others(repository: Path):
    calls = put_gh(repository.parent / "bin")
    environment = {"PATH": f"{calls.parent}{os.pathsep}{os.environ['PATH']}"}
    assert PullRequestProbe(repository, environment).now().lacks == "pull-request"
    made = subprocess.run(
        ["gh", "pr", "create", "--draft"], cwd=repository, env=environment, check=True, capture_output=True, text=True
    )
    seen = PullRequestProbe(repository, environment).now().found
    assert seen == PullRequest(url=made.stdout.strip(), state="OPEN", is_draft=True, branch="polite")
    run_git(repository, "switch", "-q", "-c", "other/one")
    assert PullRequestProbe(repository, environment).now().lacks == "pull-request"


@pytest.mark.parametrize(
    ("complaint", "lacks", "reason"),
    [
        ('no pull requests found for branch "polite"', "pull-request", "there is none for branch polite"),
        ("To get started with GitHub CLI, please run:  gh auth login", "login", "gh is not logged in: run"),
        ("HTTP 401: Bad credentials\nTry authenticating with:  gh auth login", "login", "gh is not logged in: run"),
        ("none of the git remotes configured for this repository point to a known GitHub host. Use `gh auth login`",
         "remote", "no remote of this repository is on GitHub"),
        ("error connecting to api.github.com\ncheck your internet connection", "answer",
         "gh pr view says: error connecting to api.github.com"),
        ("", "answer", "gh pr view ended with exit status 1"),
    ],
)  # fmt: skip
def test_a_refusal_of_gh_becomes_one_clear_line(repository: Path, complaint: str, lacks: Missing, reason: str):
    environment = gh_that(repository, f"cat >&2 <<'END'\n{complaint}\nEND\nexit 1")
    status = PullRequestProbe(repository, environment).now()
    assert (status.found, status.lacks) == (None, lacks)
    assert status.reason.startswith(reason)
    assert "\n" not in status.reason


def test_on_no_branch_the_line_does_not_name_one(repository: Path):
    run_git(repository, "switch", "-q", "--detach")
    environment = gh_that(repository, "echo 'no pull requests found' >&2; exit 1")
    assert PullRequestProbe(repository, environment).now().reason == "there is none for this commit"


LONG_AGO = "2020-01-01T00:00:00.000Z"


@pytest.fixture
def published(repository: Path) -> dict[str, str]:
    """The environment of an agent that has pushed its branch, opened a pull request and gone back to main."""
    run_git(repository.parent, "init", "-q", "--bare", "origin.git")
    run_git(repository, "remote", "set-url", "origin", str(repository.parent / "origin.git"))
    calls = put_gh(repository.parent / "bin")
    environment = {"PATH": f"{calls.parent}{os.pathsep}{os.environ['PATH']}"}
    run_git(repository, "commit", "-q", "--allow-empty", "-m", "work")
    run_git(repository, "push", "-q", "origin", "polite")
    subprocess.run(["gh", "pr", "create", "--draft"], cwd=repository, env=environment, check=True, capture_output=True)
    run_git(repository, "switch", "-q", "main")
    return environment


@pytest.mark.parametrize("back_to", [["main"], ["--detach", "main"]])
def test_one_of_a_branch_that_was_pushed_from_here_is_seen_though_it_is_not_checked_out(
    repository: Path, published: dict[str, str], back_to: list[str]
):
    run_git(repository, "switch", "-q", *back_to)
    found = PullRequestProbe(repository, published, since=LONG_AGO).now().found
    assert found is not None
    assert (found.branch, found.is_draft) == ("polite", True)


@pytest.mark.parametrize("since", ["2999-01-01T00:00:00.000Z", "", "no time"])
def test_what_was_pushed_before_the_run_began_is_not_its_own(repository: Path, published: dict[str, str], since: str):
    assert PullRequestProbe(repository, published, since=since).now().reason == "there is none for branch main"


def test_one_of_a_run_that_began_within_the_second_of_its_work_is_seen(repository: Path, published: dict[str, str]):
    run_git(repository, "switch", "-q", "-c", "next", "polite")
    pushed = git(repository, "log", "-1", "--walk-reflogs", "--date=unix", "--format=%gd", "origin/polite") or ""
    stamp = int(pushed.partition("@{")[2].removesuffix("}"))
    since = datetime.fromtimestamp(stamp + 0.999, UTC).isoformat()
    first = git(repository, "rev-parse", "main") or ""
    assert PullRequestProbe(repository, published, since=since, begun_on=first).now().found is not None


def test_what_another_worktree_has_pushed_is_not_its_own(repository: Path, published: dict[str, str]):
    run_git(repository, "worktree", "add", "-q", "-b", "other", str(repository.parent / "other"), "main")
    status = PullRequestProbe(repository.parent / "other", published, since=LONG_AGO).now()
    assert status.reason == "there is none for branch other"


def test_a_branch_that_was_pushed_and_has_none_is_named(repository: Path, published: dict[str, str]):
    (repository.parent / "bin" / "gh.made.polite").unlink()
    status = PullRequestProbe(repository, published, since=LONG_AGO).now()
    assert (status.lacks, status.reason) == (
        "pull-request",
        "there is none for branch main, nor for polite, pushed in this run",
    )


@pytest.mark.parametrize("output", ["", "[]", "not json", '{"url":"https://example.invalid"}'])
def test_an_answer_that_is_no_pull_request_is_not_taken_for_one(repository: Path, output: str):
    status = PullRequestProbe(repository, gh_that(repository, f"echo '{output}'")).now()
    assert (status.found, status.lacks) == (None, "answer")


def test_gh_is_not_waited_for_without_end_and_nothing_of_it_is_left(repository: Path):
    pids = repository.parent / "pids"
    environment = gh_that(repository, f"sleep 1000 & echo $$ $! > {pids}; wait")
    status = PullRequestProbe(repository, environment, timeout_s=3).now()
    assert (status.lacks, status.reason) == ("answer", "gh pr view did not answer within 3 s")
    assert [pid for pid in map(int, pids.read_text().split()) if processes.is_running(pid)] == []


def test_a_look_can_be_broken_off(repository: Path):
    started = repository.parent / "started"
    os.mkfifo(started)
    look = PullRequestProbe(repository, gh_that(repository, f"echo > {started}; sleep 1000"))
    seen: list[PullRequestStatus] = []
    thread = threading.Thread(target=lambda: seen.append(look.now()))
    thread.start()
    started.read_text()
    look.cancel()
    thread.join(PATIENCE_S)
    assert seen[0].lacks == "answer"
    assert look.now().reason == "the check was interrupted"
