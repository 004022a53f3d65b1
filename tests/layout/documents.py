"""What is written about the code equals the code: help, tables, diagrams, and the names of files in comments."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator

from actors.settings_table import TABLE
from tests.layout.house import MODULES, ROOT, TESTS, source, walked


def test_help_names_every_option_with_its_default():
    """Tables and diagrams are held by tests/test_docs.py."""
    done = subprocess.run([sys.executable, "-m", "shell.cli", "--help"], capture_output=True, text=True, cwd=ROOT)
    flat = " ".join(done.stdout.split())
    assert [flag for row in TABLE for flag in row.flags if flag not in flat] == []
    assert [row.shown_default for row in TABLE if row.flags and row.shown_default not in flat] == []


# Files that a run, an agent or an example has, and ours does not.
OF_OTHERS = {"PLAN.md", "TASK.md", "CLAUDE.md", "AGENTS.md", "a.py", "pip.py"}
FILE = re.compile(r"(?<![\w<{*/.~-])((?:[\w.-]+/)*[\w-]+\.(?:py|sql|md))\b")
PLACE = re.compile(r"(?<![\w/.~-])((?:actors|supervisor|shell|tests|scripts|docs)/[\w/-]*\w)(?![\w-]|\.\w)")


def prose(name: str) -> Iterator[str]:
    """Comments and docstrings."""
    for token in tokenize.generate_tokens(io.StringIO(source(name)).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in walked(name):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def test_no_comment_names_a_file_that_is_not_there():
    there = {path.name for path in ROOT.iterdir()} | {
        path.relative_to(ROOT).as_posix()
        for folder in ("actors", "supervisor", "shell", "tests", "scripts", "docs")
        for path in (ROOT / folder).rglob("*")
    }
    ends = there | {f"/{path}" for path in there}
    gone = []
    for name in MODULES | TESTS:
        for text in prose(name):
            gone += [
                f"{name}: {file}"
                for file in FILE.findall(text)
                if file not in OF_OTHERS and not any(path.endswith(f"/{file}") for path in ends)
            ]
            gone += [
                f"{name}: {place}" for place in PLACE.findall(text) if place not in there and f"{place}.py" not in there
            ]
    assert gone == []
