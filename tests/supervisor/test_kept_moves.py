"""The file of the moves that are under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.hosts import kept_moves
from supervisor.hosts.kept_moves import KeptMove, KeptMoves


def test_a_move_is_there_for_the_next_root_until_it_has_come_true(tmp_path: Path) -> None:
    moves = KeptMoves(tmp_path, {})
    moves.keep("worker", KeptMove("big", now=True))
    moves.keep("reviewer", KeptMove(""))
    assert kept_moves.read(tmp_path) == {"worker": KeptMove("big", now=True), "reviewer": KeptMove("")}
    assert kept_moves.read(tmp_path, without=["worker"]) == {"reviewer": KeptMove("")}
    moves = KeptMoves(tmp_path, kept_moves.read(tmp_path))
    moves.keep("worker", None)
    moves.keep("reviewer", None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", '{"bridge": {"place": "big"}}', '{"worker": 1}'])
def test_a_file_that_is_damaged_holds_no_move(tmp_path: Path, text: str) -> None:
    (tmp_path / kept_moves.FILE).write_text(text)
    assert kept_moves.read(tmp_path) == {}


def test_a_move_that_cannot_be_written_down_is_no_fault(tmp_path: Path) -> None:
    KeptMoves(tmp_path / "gone", {}).keep("worker", KeptMove("big"))


def test_a_move_that_has_come_true_is_not_made_again_though_the_file_cannot_be_written(tmp_path: Path) -> None:
    moves = KeptMoves(tmp_path, {})
    moves.keep("worker", KeptMove("big"))
    moves.keep("reviewer", KeptMove("big"))
    (tmp_path / ".moves.tmp").mkdir()  # where it would be written: a full disk refuses as well
    moves.keep("worker", None)
    assert kept_moves.read(tmp_path) == {}
