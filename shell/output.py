"""The one way out: whatever a command shows of a run, an agent or a file goes through here. Any thread.

All of it is printable (`actors.text`), without the secrets of the environment (`actors.censor`), and with a replacement
for what the stream's encoding does not have, so nothing that is foreign moves a cursor, sets a title, forges a line or
ends a thread. Agents' own events (`--format raw`) are left as they are but for secrets. Raises OSError as streams do.
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
    """One text, of one or several lines, on stdout."""
    put(sys.stdout, f"{printable(text)}\n")


def say_lines(lines: Iterable[str]) -> None:
    """Each of them stays one line, whatever is in it."""
    put(sys.stdout, "".join(f"{line(each)}\n" for each in lines))


def say_json(value: object) -> None:
    """One JSON value in one line; what is not printable is escaped, so the value is the same."""
    import msgspec

    from actors.wire.encoding import to_json
    from shell.spending import unknown_as_null

    say_json_text(to_json(unknown_as_null(msgspec.to_builtins(value))))


def say_json_text(text: str) -> None:
    """The same, of what is JSON already."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("_", "-")
    put(sys.stdout, f"{json_escaped(text, only_ascii=encoding not in ('utf-8', 'utf8'))}\n")


def say_painted(text: str) -> None:
    """A text with colours of ours, whose foreign parts the caller has made printable."""
    put(sys.stdout, f"{text}\n")


def say_raw(text: str) -> None:
    """An agent's own event."""
    put(sys.stdout, f"{text}\n")


def note(text: str) -> None:
    """One line on stderr, by `loop` itself."""
    put(sys.stderr, f"[loop] {line(text)}\n")


def wait_line(text: str, shown: str) -> None:
    """Puts the text into the place of what is `shown` in the current line of stderr."""
    wiped = f"\r{' ' * len(shown)}\r" if shown else ""
    put(sys.stderr, f"{wiped}{line(text)}")


def put(stream: TextIO | None, text: str) -> None:
    """Writes it at once, without secrets. The caller has made it printable. None: the stream was closed (`>&-`)."""
    if stream is None:
        return
    stream.write(encodable(_strike_out()(text), stream.encoding or "utf-8"))
    stream.flush()


@cache
def _strike_out() -> Callable[[str], str]:
    return censor(os.environ)
