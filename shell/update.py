"""`loop update`: brings this installation up to date by the plan of update_plan.py.

Imports only the standard library and our own modules, so that it works in a broken installation. It imports everything
before the files are replaced.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from actors.edges import environments, run_dir, run_lock
from actors.errors import OperationalError
from shell import output
from shell.installation import installation
from shell.update_plan import NAME, Advice, Installation, Run, outcome, plan

# Runs in a new process: this one has imported the old version.
_VERSION = f"from importlib.metadata import version; print(version({NAME!r}))"


def update() -> int:
    """`loop update`. Returns an exit status; raises `OperationalError` when the update failed or is not allowed."""
    found = installation()
    todo = plan(found)
    match todo:
        case Advice(refused=True):
            raise OperationalError(todo.text)
        case Advice():
            output.say_lines(f"[loop] {line}" for line in todo.text.splitlines())
            return os.EX_OK
        case Run():
            return _run(todo, found)


def _run(todo: Run, found: Installation) -> int:
    for live in _live_runs(environments.home()):
        output.say(f"[loop] {live} keeps loop {found.version} until it is resumed")
    for command in todo.commands:
        shown = shlex.join(command)
        output.say(f"[loop] $ {shown}")
        try:
            status = subprocess.run(command, env=environments.handed_on()).returncode
        except OSError as error:
            raise OperationalError(f"{shown}: {(error.strerror or str(error)).lower()}") from error
        if status != 0:
            raise OperationalError(f"{shown} ended with status {status}: see above")
    output.say(f"[loop] {outcome(found.version, _version_now(found.python))}")
    return os.EX_OK


def _version_now(python: str) -> str:
    done = subprocess.run(
        [python, "-P", "-c", _VERSION], env=environments.handed_on(), capture_output=True, text=True, errors="replace"
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _live_runs(home: Path) -> list[str]:
    """The live runs of all repositories, and loop serve."""
    held = [each for each in run_dir.directories(run_dir.runs_root(home), levels=2) if run_lock.is_active(each)]
    serve = home / ".loop" / "serve"
    return [f"run {each.parent.name}/{each.name}" for each in held] + (
        ["loop serve"] if run_lock.is_active(serve) else []
    )
