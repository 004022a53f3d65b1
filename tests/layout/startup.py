"""What is quick to start imports nothing heavy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layout.house import ROOT

HEAVY = [
    *(
        "zmq",
        "claude_agent_sdk",
        "openai_codex",
        "acp",
        "mcp",
        "pykka",
        "msgspec",
        "loguru",
        "prompt_toolkit",
        "textual",
    ),
]


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_help_and_version_import_no_agent_sdk_and_no_zeromq(words: list[str]):
    program = (
        "import sys; from shell.cli import main; "
        f"code = main({words!r}); print(code, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("words", [["--once"], ["--json"], ["--once", "--json"]])
def test_a_dashboard_that_is_printed_imports_no_widget(words: list[str], tmp_path: Path):
    program = (
        f"import sys; from shell.cli import main; code = main(['dashboard', *{words!r}]); "
        "print(code, {'textual', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0 set()"
