"""Foreign text: made valid where it enters, printable where it leaves. Pure.

Foreign is what neither this program nor its user has written: what agents send (streams, transcripts, mail, hooks,
panes), what commands, checks, git and gh print, and the content and names of files.

**Valid where it enters.** Each edge that reads foreign bytes decodes them with `errors="replace"`, or reads its JSON
with `read_json`; text that comes from a library goes through `valid`. From there on every str can be encoded, so no
message, event or file is lost because of one character. `actors.wire.encoding` handles what is missed.

**Printable where it leaves.** Whatever goes to a terminal goes through `printable` (several lines) or `line` (one).
Exceptions: the agents' own events (`--format raw`) and files. JSON goes through `json_escaped`, which loses nothing.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Any

FURTHER = "  | "  # begins each further line of a log record
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
DEEPEST = 200  # levels of nested JSON; the recursion of Python and of every library ends near 1,000
LARGEST = (1 << 63) - 1  # of a whole number: msgpack and SQLite take no larger one

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LARGE_NUMBER = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}")


# --- where it enters ------------------------------------------------------------------------------------------


class ForeignJsonError(ValueError):
    """A foreign text is not the expected JSON. The error's text gives the reason in a few printable words."""


class TooDeepError(ForeignJsonError):
    """The sender is hostile or broken: no message of any protocol is nested so deeply."""

    def __init__(self) -> None:
        super().__init__(f"JSON nested deeper than {DEEPEST} levels")


def valid(text: str) -> str:
    """The text as valid Unicode: two halves of a surrogate pair are joined, a lone half becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def valid_within(value: Any) -> Any:
    """The same JSON-like value with every str in it valid, keys too. Raises TooDeepError."""
    return _walked(value, DEEPEST)


def read_json(text: bytes | str, join: Callable[[Any], None] = lambda _value: None) -> Any:
    """The value of one foreign JSON text: with valid strings, no deeper than `DEEPEST`, whole numbers of 64 bits.

    A larger number becomes the largest, and NaN becomes null. Raises ForeignJsonError for anything else. `join` may
    change
    a value that has half a surrogate pair, before that becomes U+FFFD: the other half may come with the next text.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    try:
        large = _LARGE_NUMBER.search(data) is not None
        value = json.loads(
            data.decode("utf-8", "replace"),
            parse_int=_bounded if large else None,
            parse_float=_finite if large else None,
            parse_constant=lambda _name: None,  # NaN and Infinity, which are no JSON: as JavaScript writes them
        )
    except RecursionError:
        raise TooDeepError from None
    except ValueError as error:
        raise ForeignJsonError(f"invalid JSON ({error}): {excerpt(data)}") from None
    has_surrogate = _ESCAPED_SURROGATE.search(data) is not None
    if has_surrogate:
        join(value)
    if has_surrogate or data.count(b"[") + data.count(b"{") > DEEPEST:
        return valid_within(value)
    return value


def read_object(text: bytes | str, join: Callable[[Any], None] = lambda _value: None) -> dict[str, Any]:
    """As `read_json`, when the value is an object. Raises ForeignJsonError for any other."""
    value = read_json(text, join)
    if not isinstance(value, dict):
        raise ForeignJsonError(f"JSON that is not an object: {excerpt(text)}")
    return value


def mended_json(text: bytes) -> bytes:
    """The JSON text with lone surrogates replaced, for a reader that refuses them. Any other text is unchanged."""
    if _ESCAPED_SURROGATE.search(text) is None:
        return text
    try:
        return json.dumps(read_json(text)).encode()
    except ForeignJsonError:
        return text


def excerpt(data: bytes | str, most: int = 80) -> str:
    """The beginning of foreign data, for an error: one quoted, printable, short line."""
    text = data[: 4 * most].decode("utf-8", "replace") if isinstance(data, bytes) else data[: 4 * most]
    shown = " ".join(printable(text).split())
    return repr(shown if len(shown) <= most and len(data) <= 4 * most else f"{shown[:most]}…")


def _finite(digits: str) -> float:
    return max(-sys.float_info.max, min(sys.float_info.max, float(digits)))


def _bounded(digits: str) -> int:
    if len(digits) > 20:
        return -LARGEST if digits.startswith("-") else LARGEST
    return max(-LARGEST, min(LARGEST, int(digits)))


def _walked(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return valid(value)
    if not isinstance(value, dict | list | tuple):
        return value
    if levels == 0:
        raise TooDeepError
    if isinstance(value, dict):
        return {_walked(key, levels - 1): _walked(each, levels - 1) for key, each in value.items()}
    return [_walked(each, levels - 1) for each in value]


# --- where it leaves ------------------------------------------------------------------------------------------

# Colours and "erase to the end of the line" say nothing in a line of ours; test runners and grep print them in pipes.
_COLOURS = re.compile(r"\x1b\[[0-9;:]*[mK]")
# Controls (C0 but tab and newline, DEL, C1), line separators, bidirectional controls, invisible characters. Joiners
# (U+200C, U+200D) stay: Persian and emoji are written with them.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
_NOT_ASCII = re.compile("[^\t\n -~]")  # as ranges of what it matches, it takes 3 ms to compile
_SYMBOL_OF_NUL = 0x2400  # the symbols of the C0 controls follow it in their order
_SYMBOL_OF_DEL = "\N{SYMBOL FOR DELETE}"


def printable(text: str) -> str:
    """The text as it may go to a terminal: of all control characters only newline and tab are left.

    A C0 control is shown as its symbol (ESC as ␛); any other character that is invisible or moves text as U+FFFD.
    """
    return _UNPRINTABLE.sub(_shown, _COLOURS.sub("", valid(text).replace("\r\n", "\n")))


def line(text: str) -> str:
    """As `printable`, in one line: newlines and tabs become blanks."""
    return printable(text).replace("\n", " ").replace("\t", " ")


def json_escaped(text: str, *, only_ascii: bool = False) -> str:
    """A JSON text with what is not printable written as JSON's own escapes: the value is the same.

    `only_ascii`: also escapes all non-ASCII, for an output that may not support it.
    """
    pattern = _NOT_ASCII if only_ascii else _UNPRINTABLE
    return pattern.sub(lambda hit: json.dumps(hit[0])[1:-1], text)


def encodable(text: str, encoding: str) -> str:
    """The text with "?" for every character that the encoding does not have."""
    return text.encode(encoding, "replace").decode(encoding, "replace")


def _shown(hit: re.Match[str]) -> str:
    code = ord(hit[0])
    if code < 0x20:
        return chr(_SYMBOL_OF_NUL + code)
    return _SYMBOL_OF_DEL if code == 0x7F else REPLACEMENT
