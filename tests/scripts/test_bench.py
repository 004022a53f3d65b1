"""The rows of the benchmark work; its figures are for a quiet machine."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.bench", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.real_agents
def test_each_row_that_is_quick_measures_what_it_names():
    done = bench("--once", "help", "run", "control")
    assert done.returncode == 0, done.stdout + done.stderr
    for measured in ("help ", "run ", "inspect "):
        assert any(row.startswith(measured) for row in done.stdout.splitlines()), done.stdout


def test_once_holds_for_each_number_of_rounds():
    for path in (ROOT / "scripts").glob("bench*.py"):
        tree = ast.parse(path.read_text())
        asked = [
            ast.unparse(node.args[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "repeats"
        ]
        used = [
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id.endswith("ROUNDS")
        ]
        assert [name for name in asked if name.endswith("ROUNDS")] == used, path


def test_a_row_that_is_not_there_is_named_with_those_that_are():
    done = bench("speed")
    assert done.returncode == 2
    assert "no row 'speed': there are help, run, recovery" in done.stderr
