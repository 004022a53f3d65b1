"""The first program on a host, as its Python runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from supervisor.hosts import stage1

ASK = {"python": "", "host": "big", "code": "0123", "begin": "", "wheel": "loop.whl", "extras": ""}


def test_what_is_made_on_a_host_is_for_its_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    root = tmp_path / ".loop" / "hosts"
    ended = subprocess.run(
        [sys.executable, "-c", f"{Path(stage1.__file__).read_text()}\nstage1({ASK | {'root': str(root)}!r})"],
        stdin=subprocess.DEVNULL,  # home is gone before it has sent the wheel
        capture_output=True,
        umask=0o002,
        check=False,
        timeout=60,
        env=dict(os.environ),
    )
    assert (ended.returncode, ended.stdout.count(b'"want": "wheel"')) == (1, 1), ended.stderr
    folder = root / "code" / ASK["code"]
    made = [each for each in (folder, *folder.parents) if each.is_relative_to(tmp_path) and each != tmp_path]
    assert {each.name: each.stat().st_mode & 0o777 for each in made} == dict.fromkeys(
        ("0123", "code", "hosts", ".loop"), 0o700
    )
