"""Asks a program one question: starts it, waits for its end or for the time-out, hands back what it said.

Blocks the calling thread; any thread. Whatever the program has started is gone with it after a time-out, also a child
that keeps its output open. It never asks anybody anything: stdin is the null device.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from actors.edges import processes


class Answer(NamedTuple):
    """What it said. `code` is None when it did not end in time, or could not be started: then `err` says why."""

    code: int | None
    out: str
    err: str

    @property
    def first_line(self) -> str:
        """Of its output; "" when there is none."""
        return next((line.strip() for line in self.out.splitlines() if line.strip()), "")


def ask(command: Sequence[str], *, environment: Mapping[str, str], cwd: Path, timeout_s: float) -> Answer:
    """Never raises for what the program does or is."""
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
            start_new_session=True,  # it cannot ask at the terminal, and what it leaves behind is found by its session
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
