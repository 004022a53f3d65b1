"""Reports a newer version of loop at the start of a run, at most once in six hours. A start never waits for that.

The hint comes from a file, `~/.loop/newer.json`. This module, run as a program, fills it: a detached process with a
time limit. It asks pip or uv, and so the user's own index, and is silent whatever happens. A source checkout has no
hint, nor has a home without `~/.loop`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.edges import environments, files
from actors.errors import BadFileError
from shell import output
from shell.installation import code_directory, installation, is_checkout
from shell.update_plan import Known, hint, is_due, lookup, may_hint, newest

PATIENCE_S = 30.0


def say_if_newer(home: Path) -> None:
    """Prints the hint if it is due, and starts the next look-up if it is due."""
    if not (sys.stdout.isatty() and sys.stderr.isatty() and may_hint(environments.handed_on())):
        return
    folder = home / ".loop"
    if not folder.is_dir() or is_checkout(code_directory()):
        return
    known = read_known(folder)
    now_ms = time.time_ns() // 1_000_000
    text = hint(known, _installed(), now_ms) if known.newest else ""
    looks = is_due(known.looked_at_ms, now_ms)
    if not (text or looks) or not _is_wanted(home):
        return
    if text:
        output.note(text)
        known = known._replace(said_at_ms=now_ms)
    if looks:  # noted first, so that two starts do not make two
        known = known._replace(looked_at_ms=now_ms)
    if write_known(folder, known) and looks:
        _start_lookup(home)


def _installed() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pairloop")
    except PackageNotFoundError:
        return ""


def _is_wanted(home: Path) -> bool:
    """Whether the user wants hints. The run itself reports an unreadable configuration."""
    from actors.adapters import BUILT_IN_NAMES
    from actors.edges.configuration import read_configuration
    from actors.errors import UserError

    try:
        return read_configuration(home, None, BUILT_IN_NAMES).update_hint
    except UserError:
        return False


def _start_lookup(home: Path) -> None:
    with suppress(OSError):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "shell.newer", str(home)],
            cwd=home,
            env=environments.handed_on(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # Nothing else reaps it while this process lives.
        threading.Thread(target=process.wait, name="look-up", daemon=True).start()


# --- the file -----------------------------------------------------------------------------------------------------


def read_known(folder: Path) -> Known:
    """Reads the file. A missing or unreadable file means that nothing is known."""
    try:
        found: Any = files.read_json(folder / "newer.json")
        return Known(int(found["looked_at_ms"]), str(found["newest"]), str(found["than"]), int(found["said_at_ms"]))
    except (OSError, BadFileError, ValueError, KeyError, TypeError):
        return Known()


def write_known(folder: Path, known: Known) -> bool:
    """Writes the file. False: the disk refuses it."""
    try:
        files.replace(folder / "newer.json", json.dumps(known._asdict()).encode())
    except OSError:
        return False
    return True


# --- the program --------------------------------------------------------------------------------------------------


def look_up(home: Path) -> None:
    """Asks for the newest version and writes it into the file. Silent."""
    from actors.edges.programs import ask

    found = installation()
    question = lookup(found)
    if question is None:
        return
    environment = environments.handed_on() | {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
    answer = ask(question, environment=environment, cwd=home, timeout_s=PATIENCE_S)
    there = newest(f"{answer.out}\n{answer.err}") if answer.code == 0 else ""
    if there and _is_newer(there, found.version):
        write_known(home / ".loop", read_known(home / ".loop")._replace(newest=there, than=found.version))


def _is_newer(one: str, other: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(one) > Version(other)
    except InvalidVersion:
        return False


if __name__ == "__main__":
    look_up(Path(sys.argv[1]))
