"""Work that meets a full disk: it waits for room, and says so once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.machines import run
from actors.runners.base import Place
from actors.runners.room import when_there_is_room
from actors.runners.tree import TreeRunner
from tests.patience import PATIENCE_S

FULL = f"a.py: {os.strerror(errno.ENOSPC)}"


class Work:
    """Attempts that come to their number, and say in turn what they lack; the last one says it for ever."""

    def __init__(self, *lacks: str) -> None:
        self._lacks = lacks
        self.attempts = 0
        self.told: list[str] = []
        self.cancelled = threading.Event()

    def _attempt(self) -> tuple[int, str]:
        self.attempts += 1
        return self.attempts, self._lacks[min(self.attempts, len(self._lacks)) - 1]

    def result(self, patience_s: float = PATIENCE_S, retry_s: float = 0.001) -> int:
        return when_there_is_room(
            self._attempt, tell=self.told.append, cancelled=self.cancelled, retry_s=retry_s, patience_s=patience_s
        )


@pytest.mark.parametrize("lacks", ["", "a.py: Permission denied"])
def test_what_is_no_full_disk_is_not_tried_again(lacks: str) -> None:
    work = Work(lacks)
    assert (work.result(), work.told) == (1, [])


def test_a_full_disk_is_told_once_and_tried_again_until_there_is_room() -> None:
    work = Work(FULL, FULL, FULL, "")
    assert (work.result(), work.told) == (4, [f"{FULL}; retrying until there is room"])


def test_a_disk_that_stays_full_ends_the_patience_and_the_last_result_counts() -> None:
    work = Work(FULL)
    assert work.result(patience_s=0) == 1


def test_work_that_is_cancelled_waits_for_no_room() -> None:
    work = Work(FULL)
    work.cancelled.set()
    assert work.result(retry_s=PATIENCE_S) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("only root may mount a small disk, on Linux")
    store = tmp_path / "tree"
    store.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k,mode=700", "tmpfs", str(store)], check=True)
    yield store
    subprocess.run(["umount", "--lazy", str(store)], check=True)


def test_the_tree_of_a_run_whose_disk_is_full_is_taken_when_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    cwd, told, answers = tmp_path / "tool", threading.Event(), list[run.TreeTaken]()
    cwd.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=cwd, check=True)
    (cwd / "a.bin").write_bytes(os.urandom(400_000))
    lines: list[str] = []

    def tell(_kind: str, text: str) -> None:
        lines.append(text)
        told.set()

    place = Place(
        cwd=cwd,
        run_id="1",
        environment={},
        store=small_disk,
        outputs=tmp_path / "checks",
        created_at="",
        tell=tell,
        report=lambda _status: None,
    )
    runner = TreeRunner(run.TakeTree(take_id="t", remember=True), place)
    thread = threading.Thread(target=lambda: answers.append(runner.run()))
    thread.start()
    assert told.wait(PATIENCE_S)
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    thread.join(PATIENCE_S)
    (answer,) = answers
    assert (bool(answer.tree.id), answer.tree.reason, (small_disk / "branches").exists()) == (True, "", True)
    (line,) = lines
    assert line.startswith("the tree cannot be read: ")
    assert line.endswith("No space left on device; retrying until there is room")
