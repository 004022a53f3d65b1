"""Folders for a moment, and what killed processes have left of theirs."""

import subprocess
import sys
from pathlib import Path

from actors.edges.scratch import Scratch, clear, scratch

HOLDS_ONE = """import sys, pathlib
from actors.edges.scratch import Scratch
held = Scratch(pathlib.Path(sys.argv[1]))
(held.path / "file").touch()
print(held.path, flush=True)
sys.stdin.read()"""


def test_a_folder_is_private_and_goes_with_its_block(tmp_path: Path):
    with scratch(tmp_path) as folder:
        (folder / "file").touch()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_has_left_goes_with_the_next_folder(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS_ONE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with scratch(tmp_path):
            assert (left / "file").exists()  # its process lives
        process.kill()
    assert left.exists()
    with scratch(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_of_another_kind_and_a_link_are_left_alone(tmp_path: Path):
    (tmp_path / "other").mkdir()
    (tmp_path / "loop-scratch-link").symlink_to(tmp_path / "other")
    (tmp_path / "loop-scratch-file").touch()
    clear(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop-scratch-file", "loop-scratch-link", "other"]


def test_a_folder_that_was_removed_can_be_closed(tmp_path: Path):
    found = Scratch(tmp_path)
    found.path.rmdir()
    found.close()
    found.close()
