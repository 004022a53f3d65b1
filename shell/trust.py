"""`loop trust`, and the question of a run about a repository's `.loop.toml` that names commands.

The question shows all commands in full, printable. No answer means no. Where no user can be asked, the run is refused
with one line before anything is created.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from actors import text
from actors.adapters import BUILT_IN_NAMES
from actors.edges import environments, git, trust
from actors.edges.config_file import REPOSITORY_FILE
from actors.edges.configuration import RepositoryFile, escaped, read_configuration
from actors.errors import OperationalError, UserError
from shell import output
from shell.commands.grammar import Invocation

Standing = Literal["trusted", "changed", "untrusted", "harmless"]

_NAMED = 3  # commands in a refusal
_LENGTH = 80  # of each of them


class Person:
    """Decides about a repository's file for the user: by earlier permission, by `--trust`, or by an answer."""

    def __init__(self, home: Path, cwd: Path, *, can_be_asked: bool, has_said_yes: bool) -> None:
        self._home = home
        self._cwd = cwd
        self._can_be_asked = can_be_asked
        self._has_said_yes = has_said_yes

    def __call__(self, file: RepositoryFile) -> bool:
        """Whether the file's commands may run. Raises `UserError` where they may not: checks are never skipped
        silently.
        """
        if self._has_said_yes or trust.is_trusted(self._home, self._cwd, file):
            return True
        has_changed = trust.has_trusted(self._home, self._cwd)
        if not self._can_be_asked:
            raise UserError(refusal(file, has_changed=has_changed))
        if not _asks(file, has_changed=has_changed):
            raise UserError(f"{escaped(str(file.path))} is not allowed to run this: remove what you do not want there")
        trust.trust(self._home, self._cwd, file)
        return True


def refusal(file: RepositoryFile, *, has_changed: bool) -> str:
    """The refusal, in one line, of a run that cannot ask."""
    named = [line if len(line) <= _LENGTH else f"{line[: _LENGTH - 1]}…" for line in file.runs[:_NAMED]]
    more = f" and {len(file.runs) - _NAMED} more" if len(file.runs) > _NAMED else ""
    state = "has changed since you allowed it" if has_changed else "is not trusted"
    return (
        f"{escaped(str(file.path))} {state}, and would {file.does} {'; '.join(named)}{more}: "
        "allow it with loop trust, or for this run alone with --trust"
    )


def trust_here(invocation: Invocation) -> int:
    """`loop trust`. Returns an exit status. Raises `LoopError`."""
    home, cwd = environments.home(), Path.cwd()
    if invocation.revoke:
        count = trust.revoke(home, cwd)
        _print(
            invocation, {"revoked": count}, [f"revoked: {count}" if count else "nothing was trusted in this repository"]
        )
        return os.EX_OK
    tree = git.top_level(cwd) or cwd
    try:
        file = read_configuration(home, tree, BUILT_IN_NAMES).repository_file
    except UserError as error:
        raise UserError(f"{error}; nothing was allowed: correct that, then run loop trust again") from error
    standing = _standing(home, cwd, file)
    if invocation.show or invocation.json or standing in ("trusted", "harmless"):
        _print(invocation, _as_object(tree, file, standing), _lines(tree, file, standing))
        return os.EX_OK if standing in ("trusted", "harmless") else 1
    assert file is not None
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError("loop trust asks, so it needs a terminal; loop --trust allows the content for one run")
    if not _asks(file, has_changed=standing == "changed"):
        raise OperationalError("nothing was allowed")
    trust.trust(home, cwd, file)
    output.say(f"{escaped(str(file.path))} is trusted until it changes")
    return os.EX_OK


def _standing(home: Path, cwd: Path, file: RepositoryFile | None) -> Standing:
    if file is None:
        return "harmless"
    if trust.is_trusted(home, cwd, file):
        return "trusted"
    return "changed" if trust.has_trusted(home, cwd) else "untrusted"


def _lines(tree: Path, file: RepositoryFile | None, standing: Standing) -> Sequence[str]:
    path = escaped(str(tree / REPOSITORY_FILE))
    if file is None:
        there = (tree / REPOSITORY_FILE).exists()
        return [f"{path} runs nothing: it needs no trust" if there else f"no {path}: there is nothing to trust"]
    words = {"trusted": "trusted", "changed": "not trusted: changed since you allowed it", "untrusted": "not trusted"}
    return [f"{path}: {words[standing]}", *(f"  {line}" for line in file.runs)]


def _as_object(tree: Path, file: RepositoryFile | None, standing: Standing) -> dict[str, object]:
    path = os.fsencode(tree / REPOSITORY_FILE).decode(errors="backslashreplace")
    if file is None:
        return {"file": path, "trust": standing, "sha256": "", "runs": []}
    return {"file": path, "trust": standing, "sha256": file.sha256, "runs": list(file.runs)}


def _print(invocation: Invocation, content: dict[str, object], lines: Sequence[str]) -> None:
    import json

    if invocation.json:
        output.say_json_text(json.dumps(content))
    else:
        output.say_lines(lines)


def _asks(file: RepositoryFile, *, has_changed: bool) -> bool:
    state = f"{'has changed since you allowed it, and ' if has_changed else ''}would {file.does}"
    output.note(f"{escaped(str(file.path))} {state}:")
    for line in file.runs:
        output.put(sys.stderr, f"  {text.line(line)}\n")
    output.put(sys.stderr, "[loop] allow it, until it changes? [y/N] ")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        output.put(sys.stderr, "\n")
    return answer.strip().lower() in ("y", "yes")
