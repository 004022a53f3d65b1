"""No thread of a command imports a module of ours: two that do so at once can get half a module each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WATCHED = """
import sys, threading

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("actors", "supervisor", "shell"):
            if threading.current_thread() is not threading.main_thread():
                sys.stderr.write(f"IMPORTED {name} in {threading.current_thread().name}\\n")

sys.meta_path.insert(0, Watch())
from shell.cli import main
main(sys.argv[1:])
"""
CONFIGURATION = """
[agents.other]
command = ["false"]
[notify]
desktop = true
[hosts.big]
ssh_command = ["false"]
"""


@pytest.mark.parametrize("words", [["doctor"], ["agents", "list"], ["dashboard", "--once"]])
def test_the_threads_of_a_command_find_their_modules_imported(tmp_path: Path, words: list[str]):
    folder = tmp_path / ".loop"
    folder.mkdir(mode=0o700)
    (folder / "config.toml").write_text(CONFIGURATION)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *words],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout
    assert "IMPORTED" not in done.stderr
    assert "not checked" not in done.stdout
