"""The log lines of a host in the log of the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from actors import logs
from actors.starts import LogSettings
from actors.text import FURTHER
from shell import log_lines
from supervisor.hosts.far_log import FarLog

AT = "2031-01-02 03:04:05.678"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "log"
    logs.set_up(LogSettings(stderr=False, file=str(path)), run="r/1", actor="root")
    yield path
    logger.remove()


def found(log: Path) -> list[log_lines.LogRecord]:
    return list(log_lines.records(log.read_text().splitlines(keepends=True)))


def test_what_an_actor_has_logged_there_is_its_own_as_at_home(log: Path) -> None:
    far = FarLog("r/1", "big")
    far.take(f"{AT} WARNING  4711 r/1/worker#2 actors.agent:77 {{the}} agent is slow")
    (record,) = found(log)
    assert (record.actor, record.pid, record.level, record.where, record.text) == (
        *("worker#2", 4711, "WARNING", "actors.agent:77"),
        "{the} agent is slow",
    )
    assert log_lines.is_of(record, "worker")
    assert not record.at.startswith("2031")  # its clock may be wrong


def test_a_traceback_belongs_to_the_actor_that_wrote_it(log: Path) -> None:
    far = FarLog("r/1", "big")
    for line in (f"{AT} ERROR    7 r/1/reviewer#1 a:1 it failed", f"{FURTHER}Traceback", f"{FURTHER}  line 1"):
        far.take(line)
    assert [(each.actor, each.text) for each in found(log)] == [
        ("reviewer#1", "it failed"),
        ("reviewer#1", "Traceback"),
        ("reviewer#1", "  line 1"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "Permission denied",
        f"{FURTHER}of nobody",
        f"{AT} INFO     7 r/1/run#1 a:1 the run is over",
        f"{AT} INFO     7 r/2/worker#1 a:1 of another run",
        f"{AT} FATAL    7 r/1/worker#1 a:1 no level",
    ],
)
def test_whatever_else_is_printed_there_is_a_line_of_the_host(log: Path, line: str) -> None:
    FarLog("r/1", "big").take(line)
    assert [each.actor for each in found(log)] == ["big"]
