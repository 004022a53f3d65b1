"""The end of a log, which may be large."""

from pathlib import Path

import pytest

from actors.errors import UserError
from shell import log_lines, run_log


def line(number: int, actor: str = "worker#1") -> str:
    return f"2026-01-31 12:00:00.000 INFO     7 sample-12ab/1/{actor} module:1 line {number}\n"


def last(directory: Path, actor: str) -> list[str]:
    found = run_log.last_records(directory, 3, lambda record: log_lines.is_of(record, actor))
    return [record.text for record in found]


def test_the_end_of_a_log_is_read_and_all_of_it_only_when_the_end_says_too_little(tmp_path: Path):
    many = run_log.FIRST_REACH // len(line(0)) + 10
    begin = "".join(line(number, "bridge#1") for number in range(4))
    tail = "".join(line(number) for number in range(4, many))
    (tmp_path / "log").write_text(f"{begin}{tail}ZeroDivisionError\n")
    assert last(tmp_path, "worker") == [f"line {many - 3}", f"line {many - 2}", f"line {many - 1}\nZeroDivisionError"]
    assert last(tmp_path, "bridge") == ["line 1", "line 2", "line 3"]
    assert last(tmp_path, "reviewer") == []


def test_a_run_without_a_log_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="there is no log at"):
        last(tmp_path, "worker")
