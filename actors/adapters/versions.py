"""What is known to differ between an agent's versions that were looked at. Reads one shipped table; any thread.

`scripts/drift --record` writes it. It tells nothing of a version that came later: for that, only that it is newer.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

TABLE = Path(__file__).with_suffix(".toml")


def number(version: str) -> tuple[int, ...]:
    """For comparisons; a part that is no number counts as 0."""
    return tuple(int(part) if part.isascii() and part.isdigit() else 0 for part in version.split("."))


def changes(agent: str, version: str) -> tuple[str, list[str]]:
    """Where this version stands among those that are known, in words, and what differs there.

    ("", []): nothing is known of this agent, or the version itself was looked at.
    """
    return between(tomllib.loads(TABLE.read_text("utf-8")).get(agent, []), version)


def between(steps: Sequence[dict[str, object]], version: str) -> tuple[str, list[str]]:
    """As `changes`, of a table's steps in the order of versions."""
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
