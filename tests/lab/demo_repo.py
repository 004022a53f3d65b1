"""The repository that the demo scenario works on: a module, its failing test, one commit. Runs git; any process."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
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


def put_repository_with_remote(base: Path) -> None:
    """Writes `project`, the demo repository, and `origin.git`, its remote, into the folder, which has neither."""
    made, kept = _repositories()
    for name, content in kept:
        if content is None:
            (base / name).mkdir()
        elif name == "project/.git/config":  # it names the remote
            (base / name).write_bytes(content.replace(made, os.fsencode(base)))
        else:
            (base / name).write_bytes(content)
    subprocess.run(["git", "update-index", "-q", "--refresh"], cwd=base / "project", check=True)


@functools.cache
def _repositories() -> tuple[bytes, tuple[tuple[str, bytes | None], ...]]:
    """The demo repository and its remote, and the folder where they were made: each path with its content, None for a
    folder. They are made once in a process: git starts a dozen programs for them.
    """
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        make_demo_repository(base / "project")
        for arguments in (
            ["init", "-q", "--bare", str(base / "origin.git")],
            ["remote", "add", "origin", str(base / "origin.git")],
            ["push", "-q", "-u", "origin", "main"],
        ):
            subprocess.run(["git", *arguments], cwd=base / "project", check=True)
        paths = [path for path in sorted(base.rglob("*")) if path.suffix != ".sample"]
        kept = [(str(path.relative_to(base)), path.read_bytes() if path.is_file() else None) for path in paths]
        return os.fsencode(folder), tuple(kept)
