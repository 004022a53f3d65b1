"""The line of each key of a TOML document, which the standard library does not report. Pure.

`tomllib` reads the text statement by statement: a header, or a key and its value, which may span lines. It serves error
messages, so it is bounded, and a key that it cannot find has no line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]

MOST_LINES = 5_000  # real files have some dozens
MOST_LINES_OF_ONE = 200  # each line of a statement makes tomllib read all of it again


def lines_of(text: str) -> dict[Path, int]:
    """The first line, from 1, of each table and key by its parts. The text is a valid document."""
    found: dict[Path, int] = {}
    header: Path = ()
    statement: list[str] = []
    for number, line in enumerate(text.split("\n")[:MOST_LINES], 1):
        statement.append(line)
        try:
            content = tomllib.loads("\n".join(statement))
        except (ValueError, RecursionError):  # its end is not here
            if len(statement) == MOST_LINES_OF_ONE:
                break
            continue
        first, is_header = number - len(statement) + 1, statement[0].lstrip().startswith("[")
        statement = []
        for path in _paths(content, ()):
            found.setdefault(path if is_header else (*header, *path), first)
            header = path if is_header else header
    return found


def _paths(content: Any, before: Path) -> Iterator[Path]:
    """The paths of all keys, outer ones first."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield (*before, key)
            yield from _paths(value, (*before, key))
