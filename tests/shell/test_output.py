import io
import json

import pytest

from actors.messages import Progress
from shell import output, render, tables
from shell.findings import Finding, lines

EVIL = "\x1b]52;c;x\x07\x1b[2J\x9b2J\x08\r\u202e\u2028\ud83d\nbelow"


def is_text(lines: list[str]) -> bool:
    return all(line.isprintable() for line in lines)


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-8"])
def test_a_stream_of_any_encoding_takes_any_text(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    output.put(stream, "ä 世 \ud83d")
    wanted = {"ascii": "? ? ?", "iso-8859-1": "ä ? ?", "utf-8": "ä 世 ?"}[encoding]
    assert raw.getvalue().decode(encoding) == wanted


def test_a_stream_that_was_closed_takes_nothing() -> None:
    output.put(None, "anything")


def test_lines_stay_lines_and_texts_stay_texts(capsys: pytest.CaptureFixture[str]) -> None:
    output.say_lines([EVIL, "x"])
    output.say(EVIL)
    output.note(EVIL)
    shown = capsys.readouterr()
    assert [len(text.split("\n")) - 1 for text in (shown.out, shown.err)] == [4, 1]
    assert is_text(shown.out.split("\n") + shown.err.split("\n"))


def test_json_is_one_line_of_text_with_the_same_value(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": EVIL.replace("\ud83d", "")}
    output.say_json(value)
    said = capsys.readouterr().out
    assert is_text(said.split("\n"))
    assert json.loads(said) == value


@pytest.mark.parametrize("kind", ["say", "tool", "error", "mail", "note"])
def test_an_event_is_text_but_for_our_colours(kind: str) -> None:
    progress = Progress(at_ms=1, source="worker", agent="a\x1b[2J\nb", kind=kind, text=EVIL)
    plain = list(render.lines(progress, zone=None, colour=False))
    assert is_text(plain)
    assert len(plain) == 2
    assert plain[1].startswith(" " * 20)
    assert is_text([render.record(progress, "repo/1", zone=None)])
    painted = "".join(render.lines(progress, zone=None, colour=True))
    assert painted.count("\x1b") == 2


def test_a_cell_of_a_table_and_a_finding_are_one_line_of_text() -> None:
    assert is_text(tables.columns([["a", EVIL, "b"], ["c", "d", EVIL]]))
    finding = Finding("agents", EVIL, "problem", EVIL, EVIL)
    assert is_text(lines(finding, width=None, colour=False))
    assert is_text(lines(finding, width=80, colour=False))
