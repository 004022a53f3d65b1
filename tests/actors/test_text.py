from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors import text
from actors.text import ForeignJsonError, encodable, excerpt, json_escaped, line, printable, read_json, valid

# Everything that a str can hold: lone surrogates as well.
ANYTHING = st.text(st.characters(), max_size=60) | st.text("\ud83d\ude00\x1b\x9b[]0;31mK\r\n\t\x07\x08a", max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANYTHING,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANYTHING, inner, max_size=4),
    max_leaves=12,
)
JOINERS = "\u200c\u200d"
HOSTILE = (
    "\x1b]52;c;ZXZpbA==\x07\x1b]0;title\x1b\\\x1b[2J\x1b[10;10H\x1bc\x9b2J\x90q\x9c\x9d0;t\x9c"
    "\x08\x08\x7f\r\x0b\x0c\x0e\x0f\x00\x85\u2028\u2029\u202e\u2066\u200b\u2060\ufeff\u00ad\U000e0041"
)


def allowed(letter: str) -> bool:
    """Prepended marks (U+0600 …) are seen; they are of category Cf for another reason."""
    return letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Zl", "Zp", "Cs") or letter in JOINERS


@given(ANYTHING)
@example("\ud83d")
@example("a\ude00\ud83d")
def test_what_was_made_valid_can_be_encoded_and_stays_as_it_is(foreign: str) -> None:
    made = valid(foreign)
    made.encode()
    assert valid(made) == made


@given(st.text())
def test_valid_text_is_left_alone(good: str) -> None:
    assert valid(good) == good


def test_two_halves_of_a_pair_are_joined_and_a_lone_half_is_replaced() -> None:
    assert valid("\ud83d" + "\ude00" + "\ud83d!" + "\ude00") == "\N{GRINNING FACE}\ufffd!\ufffd"


@given(ANYTHING)
@example(HOSTILE)
@example("\x1b[\x1b[31m31m")
@example("\r\x1b[0m\n")
def test_what_was_made_printable_has_no_control_and_stays_as_it_is(foreign: str) -> None:
    made = printable(foreign)
    made.encode()
    assert all(allowed(letter) for letter in made)
    assert printable(made) == made


@given(ANYTHING)
@example(HOSTILE)
def test_a_line_is_one_line_whoever_cuts_it(foreign: str) -> None:
    made = line(foreign)
    assert len(made.splitlines()) <= 1
    assert "\t" not in made


def test_nothing_of_unicode_that_moves_or_hides_text_is_printed() -> None:
    everything = "".join(map(chr, range(0x110000)))
    formats = {each for each in printable(everything) if unicodedata.category(each) == "Cf"}
    assert {each for each in formats if each not in JOINERS and not unicodedata.name(each).startswith(SEEN)} == set()


SEEN = ("ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN")  # scripts whose format characters are drawn


def test_controls_are_shown_as_their_symbols_and_colours_are_left_out() -> None:
    assert printable("a\x1b[1;31mred\x1b[0m\x1b[K \x07\x7f\x9b\u202e\r\n\tb") == "ared ␇␡\ufffd\ufffd\n\tb"


def test_what_people_write_is_printed_as_it_is() -> None:
    for good in (
        "Grüße, 世界",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian
        "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}",
        "e\u0301 \u00a0 \ufe0f",
        "\t- x\n",
    ):
        assert printable(good) == good


@given(JSON)
def test_foreign_json_is_read_with_valid_strings_and_numbers_that_can_be_stored(value: object) -> None:
    read = read_json(json.dumps(value))
    json.dumps(read, ensure_ascii=False).encode()
    assert read_json(json.dumps(read)) == read
    assert all(abs(number) <= text.LARGEST for number in numbers(read))


def numbers(value: object) -> list[int]:
    match value:
        case bool():
            return []
        case int():
            return [value]
        case dict():
            return [number for each in value.values() for number in numbers(each)]
        case list():
            return [number for each in value for number in numbers(each)]
    return []


def test_half_a_pair_in_foreign_json_is_replaced_in_keys_and_values() -> None:
    assert read_json(rb'{"\ud83d": ["x\uDE00", "\ud83d\ude00"]}') == {"\ufffd": ["x\ufffd", "\N{GRINNING FACE}"]}


@pytest.mark.parametrize("depth", [text.DEEPEST + 1, 900, 100_000])
@pytest.mark.parametrize("kind", ["[", '{"a":'])
def test_json_that_is_nested_too_deep_is_refused_and_not_a_recursion_error(depth: int, kind: str) -> None:
    closing = "]" if kind == "[" else "}"
    with pytest.raises(ForeignJsonError, match="nested deeper than 200 levels"):
        read_json(kind * depth + "1" + closing * depth)


def test_brackets_in_a_text_are_no_levels() -> None:
    assert read_json(json.dumps(["[" * 500])) == ["[" * 500]


def test_a_number_of_five_thousand_digits_becomes_the_largest() -> None:
    assert read_json(f"[{'9' * 5_000}, -{'9' * 5_000}]") == [text.LARGEST, -text.LARGEST]


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"{", b"Welcome to \x1b[31magent\x1b]0;x\x07 1.0", b"\x00"])
def test_what_is_no_json_is_quoted_in_a_short_printable_line(garbage: bytes) -> None:
    with pytest.raises(ForeignJsonError) as caught:
        read_json(garbage + b"x" * 10_000)
    said = str(caught.value)
    assert line(said) == said
    assert len(said) < 250


@given(st.binary(max_size=500))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        read_json(data)
    except ForeignJsonError:
        excerpt(data).encode()


@given(JSON)
@example(HOSTILE)
def test_escaped_json_has_no_control_and_the_same_value(value: object) -> None:
    plain = json.dumps(read_json(json.dumps(value)), ensure_ascii=False)
    for only_ascii in (False, True):
        escaped = json_escaped(plain, only_ascii=only_ascii)
        assert json.loads(escaped) == json.loads(plain)
        assert line(escaped) == escaped
        assert escaped.isascii() or not only_ascii


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-8", "cp1252"])
@given(foreign=ANYTHING)
def test_an_output_of_any_encoding_takes_what_was_made_for_it(encoding: str, foreign: str) -> None:
    encodable(printable(foreign), encoding).encode(encoding)
