"""The one way out: everything that a command prints of a run, an agent or a file goes through here. Any thread.

The output is printable (`actors.text`), has no secrets of the environment (`actors.censor`), and replaces what the
stream's encoding lacks. So foreign text cannot move a cursor, set a title, forge a line or end a thread. Agents' own
events (`--format raw`) stay as they are, without secrets. Raises OSError as streams do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import TextIO

from actors.censor import censor
from actors.text import encodable, json_escaped, line, printable


def say(text: str) -> None:
    """Prints a text of one or several lines on stdout."""
    put(sys.stdout, f"{printable(text)}\n")


def say_lines(lines: Iterable[str]) -> None:
    """Prints lines on stdout. Each stays one line, whatever it contains."""
    put(sys.stdout, "".join(f"{line(each)}\n" for each in lines))


def say_json(value: object) -> None:
    """Prints a JSON value in one line. Unprintable characters are escaped, so the value is the same."""
    import msgspec

    from actors.wire.encoding import to_json
    from shell.spending import unknown_as_null

    say_json_text(to_json(unknown_as_null(msgspec.to_builtins(value))))


def say_json_text(text: str) -> None:
    """Prints a text that is JSON already, as `say_json` does."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("_", "-")
    put(sys.stdout, f"{json_escaped(text, only_ascii=encoding not in ('utf-8', 'utf8'))}\n")


def say_painted(text: str) -> None:
    """Prints a text with our own colours. The caller has made its foreign parts printable."""
    put(sys.stdout, f"{text}\n")


def say_raw(text: str) -> None:
    """Prints an agent's own event, without secrets."""
    put(sys.stdout, f"{text}\n")


def note(text: str) -> None:
    """Prints a line of `loop` itself on stderr."""
    put(sys.stderr, f"[loop] {line(text)}\n")


def shown(text: str) -> str:
    """The text as it may leave this process: printable, without secrets."""
    return _strike_out()(printable(text))


def wait_line(text: str, shown: str) -> None:
    """Replaces `shown`, the current line of stderr, by the text."""
    wiped = f"\r{' ' * len(shown)}\r" if shown else ""
    put(sys.stderr, f"{wiped}{line(text)}")


def put(stream: TextIO | None, text: str) -> None:
    """Writes and flushes the text, without secrets. The caller has made it printable. None: the stream was closed
    (`>&-`).
    """
    if stream is None:
        return
    stream.write(encodable(_strike_out()(text), stream.encoding or "utf-8"))
    stream.flush()


@cache
def _strike_out() -> Callable[[str], str]:
    return censor(os.environ)
