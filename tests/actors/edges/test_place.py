"""The directory of a run that works, when somebody has removed it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from actors.edges import worktree
from actors.errors import UserError


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "tool"
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "a").write_text("x")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@x", *words], cwd=top, check=True)
    return top


def test_a_directory_that_is_there_is_left_alone(tmp_path: Path) -> None:
    assert worktree.there_again(tmp_path, None, "1") == ()


def test_a_removed_worktree_is_made_again_with_the_directory_in_it_that_the_run_works_in(repository: Path) -> None:
    place = worktree.enter(repository / "sub", repository, "1").cwd
    shutil.rmtree(place.parent)
    notes = worktree.there_again(place, repository, "1")
    made = f"the run's directory {place} was missing, and has been created again; uncommitted files are lost"
    assert notes[0] == made
    assert (place / "a").read_text() == "x"


def test_a_removed_directory_of_a_repository_is_made_again_empty(repository: Path) -> None:
    shutil.rmtree(repository / "sub")
    assert worktree.there_again(repository / "sub", None, "1")
    assert list((repository / "sub").iterdir()) == []


def test_what_cannot_be_made_again_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the run's directory .* no longer exists: restore it, then resume the run"):
        worktree.there_again(tmp_path / "gone", None, "1")
