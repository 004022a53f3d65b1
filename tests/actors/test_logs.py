from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = """
import logging
from loguru import logger
from actors.logs import LogSettings, set_up
set_up(LogSettings({settings}), run="repo/1", actor="worker#2")
{statements}
"""
FAIL = """
def fail(password):
    raise ValueError("no entry with " + password)
try:
    fail("-".join(["hunter2", "secret"]))
except ValueError as error:
    logger.opt(exception=error).error("it failed")
"""


def log(settings: str, statements: str, **environment: str) -> str:
    """What a process with these settings writes to stderr."""
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "script.py"  # a file: tracebacks show its lines
        script.write_text(SCRIPT.format(settings=settings, statements=statements))
        command = [sys.executable, str(script)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stderr


def test_every_line_names_the_run_the_actor_and_the_process() -> None:
    line = log("", "import os; logger.info('hello {}', os.getpid())")
    pid = line.split()[-1]
    assert f" {pid} repo/1/worker#2 " in line
    assert line.endswith(f"hello {pid}\n")


def test_what_a_library_logs_goes_the_same_way() -> None:
    line = log("", "logging.getLogger('pykka').warning('odd %s', 1); logging.getLogger('pykka').debug('not shown')")
    assert line.endswith("pykka: odd 1\n")
    assert "repo/1/worker#2" in line
    assert "not shown" not in line


def test_a_traceback_shows_lines_and_no_values() -> None:
    text = log("", FAIL.replace("+ password", "+ str(len(password))"))
    assert 'raise ValueError("no entry with " + str(len(password)))' in text
    assert "hunter2-secret" not in text


def test_the_values_of_secret_variables_are_struck_out_of_messages_and_tracebacks() -> None:
    text = log(
        "",
        "import os; key = os.environ['OPENAI_API_KEY']; logger.info('a short key {}', key)\n"
        + FAIL.replace('"-".join(["hunter2", "secret"])', "key"),
        OPENAI_API_KEY="sk-0123456789",
        GITHUB_TOKEN="short",
        EDITOR="emacs-emacs",
    )
    assert "sk-0123456789" not in text
    assert "a short key ***" in text
    assert "ValueError: no entry with ***" in text


def test_json_lines_hold_the_keys_and_no_secret() -> None:
    text = log("json=True", "logger.info('sk-0123456789')", MY_SECRET="sk-0123456789")
    record = json.loads(text)["record"]
    assert (record["extra"], record["message"]) == ({"run": "repo/1", "actor": "worker#2"}, "***")


def test_a_log_file_is_private_shared_by_appending_and_made_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "run.log"
    for word in ("one", "two"):
        assert log(f"file={str(path)!r}, stderr=False", f"logger.info('{word}')") == ""
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["one", "two"]
    assert path.stat().st_mode & 0o777 == 0o600
