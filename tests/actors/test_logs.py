from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from shell import log_lines

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


def test_a_full_disk_costs_lines_and_neither_a_word_on_the_terminal_nor_a_later_record(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    statements = """
import resource
logger.info("one")
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))  # no file grows beyond it: a full disk
for _ in range(3):
    logger.info("lost " * 20)
resource.setrlimit(resource.RLIMIT_FSIZE, before)
logger.info("two")
"""
    assert log(f"file={str(path)!r}, stderr=False", statements) == ""
    found = list(log_lines.records(path.read_text().splitlines(keepends=True)))
    assert (found[0].text, found[-1].text, len(found)) == ("one", "two", 3)


def test_a_log_file_that_cannot_be_made_again_closes_no_file_of_another(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "run.log"
    statements = f"""
import os, shutil
shutil.rmtree({str(path.parent)!r})
logger.info("lost")
others = [os.open({str(tmp_path / "other")!r}, os.O_CREAT | os.O_RDWR) for _ in range(20)]
logger.info("lost")
for each in others:
    os.fstat(each)
os.mkdir({str(path.parent)!r})
logger.info("two")
assert os.path.getsize({str(tmp_path / "other")!r}) == 0
"""
    assert log(f"file={str(path)!r}, stderr=False", statements) == ""
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["two"]


def test_a_newline_in_foreign_text_makes_no_record_and_a_control_none_on_a_terminal() -> None:
    forged = "2026-11-22 11:42:45.480 CRITICAL 1 repo/1/root supervisor.actor:1 all is lost"
    text = log("", f"logger.info('mail {{}}', 'hello\\n{forged}\\r{forged}\\x1b]0;title\\x07\\u2028{forged}')")
    found = list(log_lines.records(text.splitlines(keepends=True)))
    assert [(record.actor, record.level) for record in found] == [("worker#2", "INFO")]
    assert found[0].text.startswith(f"mail hello\n{forged}")
    assert [each for each in text if not each.isprintable() and each != "\n"] == []


def test_a_traceback_is_read_back_as_it_was() -> None:
    found = list(log_lines.records(log("", FAIL).splitlines(keepends=True)))
    assert found[0].text.splitlines()[1] == "Traceback (most recent call last):"
    assert found[0].text.splitlines()[-1] == "ValueError: no entry with hunter2-secret"


def test_half_a_pair_is_logged_as_a_replacement() -> None:
    assert log("", "logger.info('a \\ud83d b')").endswith("a \ufffd b\n")
    assert (
        json.loads(log("json=True", "logger.info('a \\ud83d\\x9b\\x1b b')"))["record"]["message"]
        == "a \ufffd\x9b\x1b b"
    )


def test_a_json_record_is_one_line_without_a_raw_control() -> None:
    line = log("json=True", "logger.info('a \\x9b\\x7f\\u2028\\n\\u202e')")
    assert line.rstrip("\n").isprintable()


def test_a_secret_of_several_lines_and_the_password_of_an_address_are_struck_out() -> None:
    text = log(
        "",
        "import os; logger.info('{}', os.environ['SSH_PRIVATE_KEY'].splitlines()[1])\n"
        "logger.info('{} {}', os.environ['DATABASE_URL'], os.environ)",
        SSH_PRIVATE_KEY="-----BEGIN KEY-----\nMIIEvQIBADANBg\nabcdefgh1234\n-----END KEY-----\n",
        DATABASE_URL="postgres://admin:hunter2@db.example/prod",
    )
    for secret in ("MIIEvQIBADANBg", "abcdefgh1234", "hunter2"):
        assert secret not in text
    assert "postgres://admin:***@db.example/prod" in text
