"""Checks values from outside before they are used. Pure; raises `UserError` in one line.

The rule: each value that is typed, or read from the environment or a file, passes one of these functions where it
enters. So no worktree, run directory or submission is made for an invalid value. A text is valid Unicode and bounded. A
number is bounded before it is converted, as `int` refuses 4,300 digits and timers refuse years.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actors.errors import UserError

# The limit of one argument or variable of a program; Linux refuses 128 KiB (MAX_ARG_STRLEN).
MOST_WORD_BYTES = 100_000
# A task of a megabyte fills the context of any agent.
MOST_TASK_BYTES = 1_000_000
MOST_LINE = 1_000  # characters of a name, an id, a signal
SHOWN = 60


def shown(value: object) -> str:
    """The offending value for an error line: printable, and cut when it is long. A text is as long as it was given."""
    text = repr(value)
    length = len(value) if isinstance(value, str) else len(text)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({length:,} characters)"


def text(what: str, value: str, *, most_bytes: int = MOST_WORD_BYTES) -> str:
    """The text, when it is valid Unicode without NUL of at most so many bytes."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise UserError(f"{what} has bytes that are not UTF-8 text: {shown(value)}; write it in UTF-8") from None
    if "\0" in value:
        raise UserError(f"{what} has a NUL character: {shown(value)}; leave it out")
    if size > most_bytes:
        raise UserError(f"{what} has {size:,} bytes, and at most {most_bytes:,} are taken: shorten it")
    return value


def line(what: str, value: str) -> str:
    """The text, when it is also one line of a reasonable length."""
    text(what, value)
    if len(value.splitlines()) > 1 or value != value.strip("\r\n"):
        raise UserError(f"{what} must be one line, not {shown(value)}")
    if len(value) > MOST_LINE:
        raise UserError(f"{what} has {len(value):,} characters, and at most {MOST_LINE:,} are taken: shorten it")
    return value


def whole_number(what: str, value: str, *, least: int, most: int, says_most: bool = False) -> int:
    """The number from decimal digits, within the range. `says_most`: the error names the upper bound."""
    digits = value.lstrip("0") or "0"
    is_number = value.isascii() and value.isdigit()
    too_large = is_number and (len(digits) > len(str(most)) or int(digits) > most)
    if not is_number or too_large or int(digits) < least:
        allowed = f"from {least} to {most}" if too_large or says_most else f"of at least {least}"
        raise UserError(f"{what} must be a whole number {allowed}, not {shown(value)}")
    return int(digits)


def environment(what: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, when a program can be started with them. `what` is put before a variable's name."""
    for name, value in variables.items():
        if not name or "=" in name:
            raise UserError(f"{what}{shown(name)}: a variable's name is not empty and has no '='")
        text(f"{what}{shown(name)}: the name", name)
        text(f"{what}{name}", value)
    return dict(variables)


def near(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known word that is nearest; "" when none is near. `cutoff`: from 0, anything, to 1, the same."""
    import difflib  # only on the way to an error

    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), "")


def meant(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` for the known word that is nearest; "" when none is near."""
    close = near(word, known)
    return f" (did you mean {close}?)" if close else ""
