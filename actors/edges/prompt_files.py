"""Reads the files that stand in place of built-in prompts. Any process; never blocks.

A prompt tells an agent with full permissions what to do. So a repository's file has to be inside the repository, and is
part of what the user allows (edges/configuration). It is read once, and the text that was read is used.
"""

from __future__ import annotations

from pathlib import Path

from actors.edges import files
from actors.errors import BadFileError, UserError
from actors.machines import prompt_templates

MOST_BYTES = 100_000  # real ones have a few thousand


def read(name: str, place: Path, written: str, *, inside: bool) -> str:
    """The text for the prompt `name`. `written`: the path, relative to `place`. `inside`: it has to be below it.

    Raises `UserError` in one line, with the line of the fault.
    """
    path = place / written
    try:
        if inside and not path.resolve().is_relative_to(place.resolve()):
            raise UserError(f"{path}: it is outside the repository: move it inside")
        text = files.read_text(path, MOST_BYTES)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself
        raise UserError(f"{path}: cannot be read: {error}") from error
    except BadFileError as error:
        raise UserError(f"{path}: cannot be read: {error.reason}") from error
    text = text.replace("\r\n", "\n")
    fault = prompt_templates.fault(name, text)
    if fault is not None:
        raise UserError(f"{path}{f':{fault.line}' if fault.line else ''}: {fault.why}")
    return text
