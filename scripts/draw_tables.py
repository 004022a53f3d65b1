#!/usr/bin/env python3
"""Writes the tables of docs/configuration.md from the table of settings, `actors.settings_table`.

    python scripts/draw_tables.py            writes them
    python scripts/draw_tables.py --check    exit status 1 when they are out of date

A table is between `<!-- NAME: ... -->` and `<!-- end -->`; the text around it is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from actors.setting_rows.row import GROUPS, Setting
from actors.settings_table import TABLE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
PLACE = re.compile(r"(<!-- (?P<name>[a-z]+): [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)
# The text of the column that says whether a repository may set it.
REPOSITORY = {"trust": "trusted", "lower": "trusted, below yours", "never": "no"}


def settings() -> Iterator[str]:
    for group, title in GROUPS.items():
        rows = [row for row in TABLE if row.group == group and (row.flags or row.key)]
        yield from (f"### {title[0].upper()}{title[1:]}", "")
        yield from table(("option", "key", "`.loop.toml`", "default", "meaning"), [_setting(row) for row in rows])
        yield ""


def _setting(row: Setting) -> tuple[str, ...]:
    value = f" [{row.value}]" if row.bare is not None else f" {row.value}" if row.value else ""
    flags = ", ".join([*map(code, row.flags[:-1]), *(code(f"{flag}{value}") for flag in row.flags[-1:])])
    default = row.shown_default
    is_words = " " in default or not default
    return (
        flags,
        code(row.key) if row.key else "",
        REPOSITORY[row.repository] if row.key else "",
        default if is_words else code(default),
        row.help,
    )


def variables() -> Iterator[str]:
    rows = [(code(row.variable), row.variable_help or row.help) for row in TABLE if row.variable]
    yield from table(("variable", "meaning"), rows)


def code(text: str) -> str:
    return f"`{text}`"


def table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"| {' | '.join('---' for _ in titles)} |"
    for row in rows:
        cells = (cell.replace("|", "\\|") for cell in row)
        yield f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"


Part = Callable[[], Iterable[str]]

TABLES: dict[str, Part] = {"settings": settings, "variables": variables}


def drawn(text: str, parts: Mapping[str, Part]) -> str:
    """The page with its parts up to date."""
    return PLACE.sub(lambda found: f"{found[1]}\n{_body(parts[found['name']])}\n\n{found[3]}", text)


def _body(part: Part) -> str:
    return "\n".join(part()).strip()


def draw(page: Path, parts: Mapping[str, Part], words: list[str], *, again: str) -> int:
    """Writes the page, or with `--check` compares it. `again`: the command that writes it, for the message. Returns the
    exit status.
    """
    before = page.read_text("utf-8")
    after = drawn(before, parts)
    if words == ["--check"]:
        if before != after:
            print(f"{page.name} is not what its tables say: run {again}", file=sys.stderr)
        return 0 if before == after else 1
    if words:
        print(f"unknown word {words[0]!r}: there is only --check", file=sys.stderr)
        return 2
    page.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(draw(PAGE, TABLES, sys.argv[1:], again="scripts/draw_tables.py"))
