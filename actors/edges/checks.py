"""Runs the check commands that prove a task: a shell each, in the run's directory, one after the other.

Blocks its thread until the last has ended or one has failed; `break_off` from another thread ends it at once, with
all processes of the command. It does not judge: the run machine reads the exit codes.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from actors.edges.processes import kill_tree
from actors.machines.run import CheckResult

# What an agent can make use of: the summary at the end of a test run and some of the failures above it.
OUTPUT_TAIL_BYTES = 6_000


class CheckRun:
    """One round of checks. `run` once, in one thread; `break_off` any number of times, from any thread."""

    def __init__(self, commands: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self._commands = commands
        self._cwd = cwd
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._broken_off = False

    def run(self, started: Callable[[str], None]) -> list[CheckResult] | None:
        """The results so far when all passed or one failed; None when it was broken off."""
        results: list[CheckResult] = []
        for command in self._commands:
            started(command)
            result = self._one(command)
            if result is None:
                return None
            results.append(result)
            if result.exit_code != 0:
                break
        return results

    def break_off(self) -> None:
        """Ends the command that runs, with everything that it started."""
        with self._lock:
            self._broken_off = True
            if self._process is not None and self._process.poll() is None:
                kill_tree(self._process.pid)

    def _is_broken_off(self) -> bool:
        with self._lock:
            return self._broken_off

    def _one(self, command: str) -> CheckResult | None:
        with tempfile.TemporaryFile() as output:
            with self._lock:
                if self._broken_off:
                    return None
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", command],
                    cwd=self._cwd,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # a terminal's Ctrl-C is for the root, which decides what it means
                )
            code = self._process.wait()
            if self._is_broken_off():
                return None
            size = output.seek(0, 2)
            output.seek(max(0, size - OUTPUT_TAIL_BYTES))
            return CheckResult(command=command, exit_code=code, output_tail=output.read().decode(errors="replace"))
