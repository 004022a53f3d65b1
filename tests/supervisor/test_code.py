"""Our own code, as a host compares it."""

from __future__ import annotations

from pathlib import Path

from supervisor.hosts import code


def test_the_lock_of_an_editor_beside_a_file_is_no_file_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "actors"
    folder.mkdir()
    (folder / "a.py").write_text("pass\n")
    (folder / ".#a.py").symlink_to("user@machine.1:2")
    assert list(code.sources(tmp_path)) == [("actors/a.py", b"pass\n")]
