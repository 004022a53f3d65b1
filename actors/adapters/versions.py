"""Known differences between the recorded versions of an agent. Reads one shipped table; any thread.

`scripts/drift --record` writes it. Of a later version it knows only that it is newer.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

TABLE = Path(__file__).with_suffix(".toml")


def number(version: str) -> tuple[int, ...]:
    """The version for comparisons; a part that is not a number counts as 0."""
    return tuple(int(part) if part.isascii() and part.isdigit() else 0 for part in version.split("."))


def changes(agent: str, version: str) -> tuple[str, list[str]]:
    """The position of this version among the known ones, in words, and the differences there.

    ("", []): this agent is unknown, or this very version is recorded.
    """
    return between(tomllib.loads(TABLE.read_text("utf-8")).get(agent, []), version)


def between(steps: Sequence[dict[str, object]], version: str) -> tuple[str, list[str]]:
    """As `changes`, for a table's steps in the order of versions."""
    for step in steps:
        before, now, differs = str(step["before"]), str(step["now"]), step["differs"]
        assert isinstance(differs, list)
        if number(version) in (number(before), number(now)):
            return "", []
        if number(version) < number(before):
            return f"older than {before}", []
        if number(version) < number(now):
            return f"between {before} and {now}, which changed", [str(each) for each in differs]
    return (f"newer than {steps[-1]['now']}", []) if steps else ("", [])
