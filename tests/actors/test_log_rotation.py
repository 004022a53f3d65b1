import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os
from loguru import logger
from actors.logs import LogSettings, set_up
set_up(LogSettings(stderr=False, file="log"), run="repo/1", actor="worker#2")
logger.info("one")
os.rename("log", "log.1")
logger.info("two")
os.remove("log")
logger.info("three")
logger.info("four")
"""


def test_a_log_that_was_moved_away_is_made_anew_with_the_next_line(tmp_path: Path):
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, check=True, timeout=60)
    assert [line.split()[-1] for line in (tmp_path / "log.1").read_text().splitlines()] == ["one"]
    assert [line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()] == ["three", "four"]
