"""The documents name only what is there: links, anchors, files, scripts, and commands that the grammar takes."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import draw_machines
from scripts.draw_tables import drawn
from shell.options import parse
from shell.subcommands import SUBCOMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
PLACE = re.compile(r"(?<![\w/.~-])((?:actors|supervisor|shell|tests|scripts|docs)/[\w./-]*\w/?)")


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def blocks(text: str) -> Iterator[tuple[bool, str]]:
    """The lines with whether each is code: fenced, or indented after a blank line."""
    fenced = indented = False
    blank = True
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
            continue
        if not fenced:
            indented = line.startswith("    ") and (blank or indented)
        blank = not line.strip()
        yield fenced or indented, line


def anchors(document: str) -> set[str]:
    """As GitHub makes them of headings."""
    found: set[str] = set()
    for is_code, line in blocks(text_of(document)):
        if not is_code and (heading := re.match(r"#+ (.*)", line)):
            kept = re.sub(r"[^\w\- ]", "", heading[1].strip().lower())
            found.add(kept.replace(" ", "-"))
    return found


def links(document: str) -> list[str]:
    prose = "\n".join(line for is_code, line in blocks(text_of(document)) if not is_code)
    prose = re.sub(r"`[^`]*`", "`", prose)
    return [next(filter(None, match)) for match in LINK.findall(prose)]


def commands(document: str) -> Iterator[str]:
    """Every command line that begins with one of our programs: lines of code, and code inside a sentence."""
    prose = []
    for is_code, line in blocks(text_of(document)):
        if is_code:
            yield line.strip().removeprefix("$ ")
        else:
            prose.append(line)
    yield from re.findall(r"`([^`]+)`", " ".join(prose))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_and_anchor_exists(document: str):
    for link in links(document):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.resolve().relative_to(ROOT).as_posix()), link


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "CHANGELOG.md"])
def test_every_file_that_a_document_names_exists(document: str):
    assert [place for place in PLACE.findall(text_of(document)) if not (ROOT / place).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_a_document_shows_is_one_that_the_command_line_takes(document: str):
    for line in commands(document):
        program = line.partition(" ")[0]
        if program not in ("loop", "claude-loop", "codex-loop") or "=" in line.partition(" ")[2][:2]:
            continue
        words = shlex.split(line, comments=True)[1:]
        if len(words) == 1 and words[0].isalpha():  # the name of a command, in a sentence
            assert words[0] in {*SUBCOMMANDS, "upgrade"}, line
            continue
        options = parse(words)
        # A word that is no subcommand would be taken for a task; the documents put a task in quotes.
        assert not words or not words[0].isalpha() or options.command not in ("run", "workspace"), line


def test_the_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= 150


def test_the_tables_of_settings_are_what_the_settings_are():
    """`python scripts/draw_tables.py` writes them."""
    done = subprocess.run(
        [sys.executable, "scripts/draw_tables.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_machines_are_drawn_as_they_are():
    """`python -m scripts.draw_machines` draws them."""
    page = draw_machines.PAGE.read_text("utf-8")
    assert page == drawn(page, draw_machines.PARTS)
    assert all(f"<!-- {part}: " in page for part in draw_machines.PARTS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_mark_of_a_conflict_is_left(document: str):
    assert [line for line in text_of(document).splitlines() if re.match(r"<{7} |={7}$|>{7} ", line)] == []
