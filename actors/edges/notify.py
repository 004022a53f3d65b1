"""Delivers a notification: to a command, a webhook and the desktop. Blocks the calling thread; any thread.

Each way is a program with a time limit. Afterwards none of its processes runs, and of its output only the end is kept
(edges/checks). A way that fails is reported in one line, and is not tried again: a notification is for now.

The file `notified.json` of a run has what its user knows already. It is written before a notification is sent. So a
notification whose sending a kill broke off is lost, and none is sent twice.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from actors.edges import files, post_webhook
from actors.edges.checks import TIMED_OUT, CheckRun
from actors.errors import BadFileError
from actors.machines.notifications import Notification, Notified
from actors.settings_layers import Settings
from actors.text import line

FILE = "notified.json"
TIMEOUT_S = 12.0  # of each way, retries of a webhook included
_MOST_REASON = 300
_DESKTOP_LINES = 300  # characters
_OSASCRIPT = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"


class Ways(NamedTuple):
    """Where notifications go; "" and False: nowhere."""

    command: str = ""
    webhook: str = ""
    desktop: bool = False

    def names(self) -> tuple[str, ...]:
        """The configured ones."""
        return tuple(name for name, way in zip(self._fields, self, strict=True) if way)


def deliver(
    ways: Ways, notification: Notification, environment: Mapping[str, str], cwd: Path, *, timeout_s: float = TIMEOUT_S
) -> dict[str, str]:
    """Sends it every configured way, in parallel. Returns why it did not arrive, by way; "" = it did."""
    programs = dict(_programs(ways, notification, environment))
    handed_on = {**environment, **notification.variables()}
    with ThreadPoolExecutor(max_workers=len(programs) or 1) as pool:
        results = pool.map(lambda program: _run(program, handed_on, cwd, timeout_s), programs.values())
        return dict(zip(programs, results, strict=True))


def ways_of(settings: Settings) -> Ways:
    """The configured ones of a start."""
    return Ways(settings.text("notify_command"), settings.text("notify_webhook"), settings.switch("notify_desktop"))


def desktop_program(path: str | None) -> str | None:
    """The program that shows a notification on the desktop; None: there is none on this PATH."""
    return next((found for name in ("notify-send", "osascript") if (found := shutil.which(name, path=path))), None)


def read(directory: Path) -> Notified:
    """What the user of this run knows already; nothing, when the file is missing or damaged."""
    with suppress(BadFileError, OSError, ValueError, RecursionError):
        return msgspec.json.decode(files.read_bytes(directory / FILE), type=Notified)
    return Notified()


def write(directory: Path, known: Notified) -> None:
    """Notes it, durably when it returns. Raises OSError."""
    files.replace(directory / FILE, msgspec.json.encode(known) + b"\n")


class _Program(NamedTuple):
    command: str  # of a shell; "" = there is none
    given: bytes = b""


def _programs(ways: Ways, notification: Notification, environment: Mapping[str, str]) -> Iterator[tuple[str, _Program]]:
    body = notification.as_json()
    if ways.command:
        yield "command", _Program(ways.command, body)
    if ways.webhook:
        order = json.dumps({"url": ways.webhook, "body": body.decode()}).encode()
        yield "webhook", _Program(shlex.join([sys.executable, "-I", "-S", post_webhook.__file__]), order)
    if ways.desktop:
        yield "desktop", _Program(_desktop(notification, environment.get("PATH")))


def _desktop(notification: Notification, path: str | None) -> str:
    program = desktop_program(path)
    if program is None:
        return ""
    words = [notification.title, line(notification.detail)[:_DESKTOP_LINES]]
    if program.endswith("osascript"):
        return shlex.join([program, "-e", _OSASCRIPT, *words])
    return shlex.join([program, "--app-name=loop", "--", *words])


def _run(program: _Program, environment: Mapping[str, str], cwd: Path, timeout_s: float) -> str:
    if not program.command:
        return "there is no notify-send or osascript on PATH"
    results = CheckRun([program.command], cwd, environment, timeout_s=timeout_s, given=program.given).run(
        lambda _: None
    )
    result = results[0] if results else None
    if result is None or result.exit_code == 0:
        return ""
    if result.exit_code == TIMED_OUT and result.error:
        return f"no end within {timeout_s:.0f} s"
    return line(_last(result.output_tail.splitlines()) or result.error or f"exit status {result.exit_code}")


def _last(lines: Iterable[str]) -> str:
    return next((text.strip()[-_MOST_REASON:] for text in reversed(list(lines)) if text.strip()), "")
