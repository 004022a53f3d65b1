"""What is quick to start imports nothing heavy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layout.house import MODULES, ROOT, imported_with, imports_late

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
        "asyncio",
        "inspect",
        "dataclasses",
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


# What is slow to import, and the commands that need it. Each of the others is slower with it, for nothing.
NEEDED_BY = {
    "loguru": {"serve"},
    "pykka": {"serve"},
    "asyncio": {"shell"},
    "sqlite3": set(),
    "prompt_toolkit": {"shell"},
    "actors.machines.run": {"cost", "diff", "notify", "restore", "serve", "verify", "worktree"},
    "shell.control_client": {"asking", "mail", "shell", "status", "stop"},
}


@pytest.mark.parametrize("heavy", NEEDED_BY)
def test_a_command_imports_nothing_slow_that_it_does_not_need(heavy: str):
    commands = [name for name in MODULES if name.startswith("shell.commands.")]
    found = {name for name in commands if heavy in imported_with({name} | imports_late(name))}
    assert {name.removeprefix("shell.commands.") for name in found} == NEEDED_BY[heavy]


def test_a_command_that_asks_a_run_imports_no_log_and_no_event_loop():
    ours = imported_with({"shell.cli", "shell.commands.status"} | imports_late("shell.commands.status"))
    program = (
        f"import sys; [__import__(name) for name in {sorted(ours)!r}]; "
        "print({'loguru', 'asyncio', 'ssl', 'multiprocessing', 'shutil', 'sqlite3', 'psutil'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "set()\n"
