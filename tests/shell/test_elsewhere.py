"""A run that is not where it is looked for is found, and one that works in the same place is named."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.edges import git, run_dir, run_lock
from shell import elsewhere


def repository(path: Path) -> Path:
    subprocess.run(["git", "init", "-q", "-b", "main", str(path)], check=True)
    return path


def runs_of(home: Path, place: Path) -> Path:
    return run_dir.runs_root(home) / git.repository_id(place)


def run(home: Path, place: Path, run_id: str, **manifest: str) -> Path:
    directory = run_dir.new_run_directory(runs_of(home, place), run_id)
    (directory / "manifest.json").write_text(json.dumps({"cwd": str(place), "repository": str(place), **manifest}))
    return directory


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return repository(tmp_path / "here" / "project")


def test_a_run_of_another_repository_is_named_with_what_to_type(home: Path, here: Path, tmp_path: Path) -> None:
    other = repository(tmp_path / "an other" / "project")
    run(home, other, "3")
    error = elsewhere.unknown_run(runs_of(home, here), "3")
    assert str(error) == f"no run '3' in this repository, but elsewhere: cd '{other}' && loop --run-id 3"
    assert elsewhere.moved_run(runs_of(home, here), "3", here) is None


def test_a_run_that_nobody_knows_may_be_a_new_one(home: Path, here: Path) -> None:
    assert "leave --run-id out to start a new one" in str(elsewhere.unknown_run(runs_of(home, here), "3"))


def test_a_repository_that_was_moved_takes_its_run_along(home: Path, here: Path, tmp_path: Path) -> None:
    run(home, here, "3")
    moved = here.rename(tmp_path / "project")
    found = elsewhere.moved_run(runs_of(home, moved), "3", moved)
    assert found is not None
    brought = elsewhere.bring(found, runs_of(home, moved))
    assert brought == runs_of(home, moved) / "3"
    assert (brought / "manifest.json").exists()


def test_a_run_is_left_where_it_is_when_it_may_be_anothers(home: Path, here: Path, tmp_path: Path) -> None:
    """The name is another one and there is no checkpoint, two come into question, or a root has it."""
    directory = run(home, here, "3")
    renamed = here.rename(tmp_path / "another-name")
    assert elsewhere.moved_run(runs_of(home, renamed), "3", renamed) is None
    assert "which no longer exists: move the repository back there" in str(
        elsewhere.unknown_run(runs_of(home, renamed), "3")
    )
    moved = renamed.rename(tmp_path / "project")
    lock = run_lock.lock_run(directory, lambda _generation: "ipc://x")
    assert elsewhere.moved_run(runs_of(home, moved), "3", moved) is None
    lock.release()
    assert elsewhere.moved_run(runs_of(home, moved), "3", moved) == directory
    second = repository(tmp_path / "second" / "project")
    run(home, second, "3")
    second.rename(tmp_path / "gone")
    assert elsewhere.moved_run(runs_of(home, moved), "3", moved) is None


def test_the_session_of_another_repositorys_run_is_named_with_what_to_type(
    home: Path, here: Path, tmp_path: Path
) -> None:
    other = repository(tmp_path / "other")
    run(home, other, "4", claudeSessionId="s")
    error = elsewhere.known_session(runs_of(home, here), "s")
    assert str(error) == f"session 's' belongs to a run of another repository: cd {other} && loop --run-id 4"
    assert elsewhere.known_session(runs_of(home, here), "another") is None
    assert elsewhere.known_session(runs_of(home, other), "s") is None


@pytest.fixture
def live(home: Path, here: Path) -> Iterator[Path]:
    directory = run(home, here, "1", worktree="")
    lock = run_lock.lock_run(directory, lambda _generation: "ipc://x")
    yield directory
    lock.release()


def test_a_live_run_in_the_same_working_tree_is_named(home: Path, here: Path, live: Path) -> None:
    (here / "sub").mkdir()
    ours = run(home, here, "2", worktree="")
    assert elsewhere.neighbours(runs_of(home, here), here, ours) == ["1"]
    assert elsewhere.neighbours(runs_of(home, here), here / "sub", ours) == ["1"]
    assert elsewhere.neighbours(runs_of(home, here), here, live) == []


def test_a_run_in_a_worktree_of_its_own_is_no_neighbour(home: Path, here: Path, live: Path) -> None:
    assert live.exists()
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "x"], cwd=here, check=True)
    subprocess.run(["git", "worktree", "add", "-q", "inside"], cwd=here, check=True)
    ours = run(home, here, "2")
    assert elsewhere.neighbours(runs_of(home, here), here / "inside", ours) == []
