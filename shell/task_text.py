"""The task of a run: the words of the command line, a file that they name, or PLAN.md. Reads files; creates nothing."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from actors import values
from actors.edges import files
from actors.edges.journal import FILE_NAME as JOURNAL
from actors.errors import BadFileError, UserError
from shell import output
from shell.options import Options
from shell.resumed import Resumed

PLAN = "PLAN.md"
# A prompt with one of these endings names a file, which must exist if the name has no blank.
TEXT_SUFFIXES = (".md", ".markdown", ".txt", ".text", ".rst", ".adoc", ".org")


@dataclass(frozen=True)
class Task:
    """The task. `needs_plan`: it is plain text, and PLAN.md is written from it first."""

    text: str
    needs_plan: bool
    to_come: bool = False  # the user will give one


def read_task(options: Options, cwd: Path, home: Path, resumed: Resumed) -> Task:
    """The task; blank only when a run with a journal resumes its own task."""
    begun = resumed.begun
    prompt = options.task
    if prompt is not None:
        path = _named_file(prompt, cwd, home)
        return Task(prompt, needs_plan=True) if path is None else Task(_read(path), needs_plan=False)
    if begun:
        return Task("", needs_plan=False)
    if resumed.directory is not None and (resumed.directory / JOURNAL).exists():
        raise UserError(
            f"run {resumed.directory.name} was ended before it had begun: "
            f'give its task again, as in loop --run-id {resumed.directory.name} "fix the failing test"'
        )
    if options.command == "workspace" or (options.tmux and "proof" not in options.typed):
        return Task("", needs_plan=False, to_come=True)
    if os.path.lexists(cwd / PLAN):
        return Task(_read(cwd / PLAN), needs_plan=False)
    if resumed.session_id:
        known = "" if "only" in options.typed else ", which no run here has (loop runs lists them)"
        again = f'loop --session {shlex.quote(resumed.session_id)} "fix the failing test"'
        raise UserError(f"no task for session {resumed.session_id!r}{known}: give one to begin a run with it, {again}")
    raise UserError(
        'no task: give it as text (loop "fix the failing test"), as a file (loop --prompt TASK.md), '
        f"or as {PLAN} in {cwd}"
    )


def _named_file(prompt: str, cwd: Path, home: Path) -> Path | None:
    """The file that the prompt names; None when it is the task itself.

    A file's name ends like a text file's. A name with blanks is a sentence unless such a file exists. A file with
    another ending is not read, but the user is told. The path of a directory is refused.
    """
    if len(prompt) > os.pathconf("/", "PC_PATH_MAX") or "\n" in prompt:
        return None
    path = home / prompt[2:] if prompt.startswith("~/") else cwd / prompt
    with suppress(OSError):  # a sentence may be too long for a name
        if not prompt.lower().endswith(TEXT_SUFFIXES):
            if "/" in prompt and path.is_dir():
                return path  # refused when it is read
            if path.is_file():
                output.note(
                    f"{prompt!r} is taken as the task itself, though a file has that name; a task file is called .md"
                )
            return None
        if path.is_file():
            return path
    return None if re.search(r"\s", prompt) else path


def _read(path: Path) -> str:
    try:
        text = files.read_text(path, values.MOST_TASK_BYTES)
    except (BadFileError, OSError) as error:
        reason = error.reason if isinstance(error, BadFileError) else error.strerror
        raise UserError(f"cannot read the task from {path}: {reason}") from error
    if not text.strip():
        raise UserError(f"the task in {path} is empty: write there what is to be done")
    return text
