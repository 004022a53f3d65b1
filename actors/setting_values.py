"""Parses the text of a setting, from any source, and formats its value. Pure; raises `UserError` in one line.

Each function takes the value's name (flag, key or variable) and its text. Imports no `re`, which costs `loop --help`
more than this whole module.
"""

from __future__ import annotations

from collections.abc import Callable

from actors import values
from actors.errors import UserError

Value = str | int | float | bool | tuple[str, ...] | None
Parse = Callable[[str, str], Value]

MOST_CHECK_TIMEOUT_S = 7 * 24 * 3600
MOST_PORT = 65_535
MOST_PAUSE_MS = 24 * 3_600_000


def text(what: str, typed: str) -> str:
    """Any text that is not blank, trimmed."""
    if not typed.strip():
        raise UserError(f"{what} must not be empty: give a text after it")
    return values.text(what, typed.strip())


def line(what: str, typed: str) -> str:
    """A text of one line: a name, an id, a signal."""
    return text(what, values.line(what, typed.strip()))


def command(what: str, typed: str) -> str:
    """A shell command, as it is."""
    if not typed.strip():
        raise UserError(f"{what} must not be empty: give a shell command after it")
    return values.text(what, typed)


def web_address(what: str, typed: str) -> str:
    """An address that begins with http:// or https:// and names a host."""
    address = line(what, typed)
    scheme, _, rest = address.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    if scheme.lower() not in ("http", "https") or not host or not address.isascii() or len(address.split()) > 1:
        raise UserError(f"{what} takes an address such as https://example.org/topic, not {values.shown(typed)}")
    return address


def dialled(what: str, typed: str) -> str:
    """`HOST:PORT`, with or without `tcp://`; an address of IPv6 is in brackets."""
    host, _, port = line(what, typed).removeprefix("tcp://").rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host.replace(":", " ")
    if not bare or not all(letter.isascii() and (letter.isalnum() or letter in ".-_:%") for letter in bare):
        raise UserError(f"{what} takes HOST:PORT, such as home.example:7777, not {values.shown(typed)}")
    return f"{host}:{values.whole_number(f'the port of {what}', port, least=1, most=MOST_PORT)}"


def listened(what: str, typed: str) -> str:
    """An address to listen on: `0.0.0.0:7777`, or a port of loopback alone."""
    word = typed.strip()
    return dialled(what, word if ":" in word else f"127.0.0.1:{word}")


def model(what: str, typed: str) -> str:
    """`NAME=MODEL`, the name in lower case."""
    name, is_pair, its_model = values.line(what, typed.strip()).partition("=")
    if not (is_pair and name.strip() and its_model.strip()):
        raise UserError(f"{what} takes an agent and its model, such as gemini=gemini-2.5-pro, not {typed!r}")
    return f"{name.strip().lower()}={its_model.strip()}"


def number(*, least: int, most: int) -> Parse:
    """A whole number in this range."""
    return lambda what, typed: values.whole_number(what, typed, least=least, most=most)


def seconds(what: str, typed: str) -> int:
    """`90`, `90s`, `30m` or `2h`."""
    word = typed.strip().lower()
    count = word.rstrip("smh")
    unit_s = {"": 1, "s": 1, "m": 60, "h": 3600}.get(word[len(count) :], 0)
    known = count.isascii() and count.isdigit() and len(count) <= len(str(MOST_CHECK_TIMEOUT_S))
    found = int(count) * unit_s if known else 0
    if not 1 <= found <= MOST_CHECK_TIMEOUT_S:
        most = MOST_CHECK_TIMEOUT_S // 3600
        raise UserError(f"{what} must be a time from 1s to {most}h, such as 90s, 30m or 2h, not {values.shown(typed)}")
    return found


UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
LONGEST_MS = 365 * UNITS_MS["d"]


def milliseconds(typed: str) -> int | None:
    """The milliseconds of `2h`, `90s`, `1h30m`, `0`; None for anything else, and for more than a year."""
    word = typed.strip().lower()
    if word == "0":
        return 0
    left, ms = word, 0
    for unit, length in UNITS_MS.items():  # largest first; without `re`, which --help does not need
        count, has_unit, rest = left.partition(unit)
        if has_unit:
            if not (count.isascii() and count.isdigit() and len(count) <= 6):
                return None
            ms, left = ms + int(count) * length, rest
    return None if left or not word or ms > LONGEST_MS else ms


def duration(*, most: str, most_ms: int, least_ms: int = 0) -> Parse:
    """A time in milliseconds, as `milliseconds` reads it. `most`: the upper bound in words."""

    def parse(what: str, typed: str) -> int:
        ms = milliseconds(typed)
        if ms is None or not least_ms <= ms <= most_ms:
            zero = " or 0" if least_ms == 0 else ""
            raise UserError(
                f"{what} takes a time of up to {most}, such as 90s, 30m, 2h{zero}, not {values.shown(typed)}"
            )
        return ms

    return parse


MOST_DOLLARS = 1_000_000
MOST_TOKENS = 1_000_000_000_000


def dollars(what: str, typed: str) -> float:
    """`10`, `$2.50`."""
    word = typed.strip().removeprefix("$")
    whole, _, rest = word.partition(".")
    known = word.isascii() and (whole + rest).isdigit() and len(word) <= 16
    found = float(word) if known else 0.0
    if not 0 < found <= MOST_DOLLARS:
        raise UserError(f"{what} takes dollars, such as 10 or 2.50, not {values.shown(typed)}")
    return found


def tokens(what: str, typed: str) -> int:
    """`500000`, `500k`, `5M`."""
    word = typed.strip().lower()
    count = word.rstrip("km")
    unit = {"": 1, "k": 1_000, "m": 1_000_000}.get(word[len(count) :], 0)
    found = int(count) * unit if count.isascii() and count.isdigit() and len(count) <= 13 else 0
    if not 0 < found <= MOST_TOKENS:
        raise UserError(f"{what} takes a number of tokens, such as 500k or 5M, not {values.shown(typed)}")
    return found


def variable_ms(least: int) -> Callable[[str, str], Value]:
    """Milliseconds. Anything but a number is ignored, as in earlier versions."""

    def parse(what: str, typed: str) -> Value:
        digits = typed.strip()
        if not (digits.isascii() and digits.isdigit()):
            return None
        return values.whole_number(what, digits, least=least, most=MOST_PAUSE_MS)

    return parse


def variable_line(what: str, typed: str) -> Value:
    """A text of one line; a blank variable is ignored."""
    return values.line(what, typed.strip()) if typed.strip() else None


def variable_switch(what: str, typed: str) -> Value:
    """Off for 0, off, no and false, on for anything else; a blank variable is ignored."""
    del what
    word = typed.strip().lower()
    return word not in ("0", "off", "no", "false") if word else None


def span(value: Value) -> str:
    """Milliseconds as the user can type them."""
    left, found = value if isinstance(value, int) else 0, ""
    for unit, length in (("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, left = divmod(left, length)
        found += f"{count}{unit}" if count else ""
    return found or "0"
