"""The repository that the demo scenario works on: a module, its failing test, one commit. Runs git; any process."""

from __future__ import annotations

import subprocess
from pathlib import Path

DEMO_TASK = (
    "Make greet() polite: greet('Ada') must return 'Hello, Ada!'. The test in test_greeting.py fails until then."
)

_FILES = {
    ".gitignore": "__pycache__/\n",
    "greeting.py": '''\
"""Greets people."""


def greet(name):
    return f"Hello {name}"
''',
    "test_greeting.py": """\
import unittest

from greeting import greet


class GreetingTest(unittest.TestCase):
    def test_greets_by_name(self):
        self.assertEqual(greet("Ada"), "Hello, Ada!")
""",
}


def make_demo_repository(folder: Path) -> None:
    """Creates the repository in `folder`, which must be empty or new. Needs git, but no configured user name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    for command in (
        ["init", "-q", "-b", "main"],
        ["config", "user.name", "Demo"],
        ["config", "user.email", "demo@example.invalid"],
        ["config", "commit.gpgsign", "false"],  # the user's own setting would ask for a key
        ["add", *_FILES],
        ["commit", "-q", "-m", "Greet people"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
