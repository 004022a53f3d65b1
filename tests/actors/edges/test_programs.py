import os
import sys
from pathlib import Path

from actors.edges.processes import is_running
from actors.edges.programs import Answer, ask
from tests.patience import PATIENCE_S


def test_what_it_says_and_how_it_ends_is_handed_back(tmp_path: Path):
    program = "import os, sys; print('', os.environ['WHO']); print('no', file=sys.stderr); sys.exit(3)"
    answer = ask([sys.executable, "-c", program], environment={"WHO": "me"}, cwd=tmp_path, timeout_s=PATIENCE_S)
    assert answer == Answer(3, " me\n", "no\n")
    assert answer.first_line == "me"


def test_it_cannot_ask_anybody(tmp_path: Path):
    answer = ask([sys.executable, "-c", "input()"], environment={}, cwd=tmp_path, timeout_s=PATIENCE_S)
    assert answer.code == 1
    assert "EOFError" in answer.err


def test_one_that_does_not_answer_is_ended_with_all_that_holds_its_output_open(tmp_path: Path):
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! > {pids}; echo $$ >> {pids}; exec sleep 1000"
    answer = ask(["sh", "-c", script], environment=dict(os.environ), cwd=tmp_path, timeout_s=3)
    assert answer == Answer(None, "", "no answer in 3 s")
    assert [pid for pid in map(int, pids.read_text().split()) if is_running(pid)] == []


def test_one_that_is_not_there_is_an_answer_as_well(tmp_path: Path):
    answer = ask([str(tmp_path / "missing")], environment={}, cwd=tmp_path, timeout_s=1)
    assert answer == Answer(None, "", "cannot be started: no such file or directory")
