"""Runs a program once: starts it, waits for its end or the time-out, returns its output.

Blocks the calling thread; any thread. A time-out also ends all that the program started, even a child that holds its
output open. The program cannot prompt: stdin is the null device.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from actors.edges import processes


class Answer(NamedTuple):
    """The program's output. `code` is None when it timed out or could not start: then `err` is the reason."""

    code: int | None
    out: str
    err: str

    @property
    def first_line(self) -> str:
        """The first line of its output; "" when there is none."""
        return next((line.strip() for line in self.out.splitlines() if line.strip()), "")


def ask(command: Sequence[str], *, environment: Mapping[str, str], cwd: Path, timeout_s: float) -> Answer:
    """Runs the program. Never raises for a missing or failing program."""
    try:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # it cannot prompt at the terminal, and its leftovers are found by session
        )
    except OSError as error:
        return Answer(None, "", f"cannot be started: {(error.strerror or str(error)).lower()}")
    with process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            processes.kill_tree(process.pid)
            process.communicate()
            return Answer(None, "", f"no answer in {timeout_s:.0f} s")
        except BaseException:
            processes.kill_tree(process.pid)
            raise
    return Answer(process.returncode, out, err)
