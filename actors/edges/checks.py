"""Runs the check commands that prove a task: one shell per command, in the run's directory, one after the other.

Blocks its thread until the last has ended or one has failed; `cancel` from another thread interrupts it. It does not
judge: the run machine reads the results.

The rules, for every check:
- Afterwards none of its processes runs, even one that left its session: a remaining server would answer the next check.
- It ends: after `timeout_s` it is killed, and has failed.
- Its output is read as it comes. Memory holds the end of it, and a file (check_output) a bounded part.
- A check that cannot be started (no directory, no memory, an invalid argument) has failed.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from actors.edges import check_keeper
from actors.edges.check_output import CheckOutput
from actors.edges.marked_processes import CHECK_MARK_VARIABLE, sweep
from actors.edges.processes import kill_tree
from actors.machines.run import CheckResult
from actors.setting_rows.proof import CHECK_TIMEOUT_S

# Enough for an agent: the summary at the end of a test run and some of the failures above it.
OUTPUT_TAIL_BYTES = 6_000
TIMEOUT_S = CHECK_TIMEOUT_S
PROGRESS_S = 2.0  # how often it is reported that a check still runs
SWEEP_S = 2.0
KEEPER_S = 1.0
_MOST_READS = 64  # a pipe holds 64 kB, but another user's process may continue to write
NOT_RUN = 127  # as a shell reports it
TIMED_OUT = 124  # as timeout(1) reports it


@dataclass(frozen=True, kw_only=True)
class CheckProgress:
    """A check has started (`seconds` is 0), or still runs. `line` is the last one that it printed.

    `number`: which one it is, from 1.
    """

    command: str
    number: int = 1
    seconds: float = 0.0
    line: str = ""


class CheckRun:
    """One round of checks. `run` once, in one thread; `cancel` any number of times, from any thread.

    `given`: what each command reads; the result then holds its standard error alone. None: nothing to read, and both
    streams. Hooks and notifications are run so.
    """

    def __init__(
        self,
        commands: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        *,
        timeout_s: float = TIMEOUT_S,
        progress_s: float = PROGRESS_S,
        output: Path | None = None,
        name: str = "check",
        given: bytes | None = None,
    ) -> None:
        """`output`: a folder, where the output of each check is kept under this name."""
        self._output = output
        self._name = name
        self._given = given
        self._commands = commands
        self._cwd = cwd
        self._mark = str(uuid.uuid4())
        self._environment = {**environment, CHECK_MARK_VARIABLE: self._mark}
        self._timeout_s = timeout_s
        self._progress_s = progress_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._broken_off = False

    def run(self, tell: Callable[[CheckProgress], None]) -> list[CheckResult] | None:
        """Returns the results so far when all passed or one failed; None when it was interrupted."""
        results: list[CheckResult] = []
        for number, command in enumerate(self._commands, 1):
            tell(CheckProgress(command=command, number=number))
            try:
                result = self._one(number, command, tell)
            except (OSError, ValueError) as error:
                why = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else error
                result = CheckResult(command=command, exit_code=NOT_RUN, error=f"could not be run: {why}")
            if result is None or self._is_broken_off():
                return None
            results.append(result)
            if result.exit_code != 0:
                break
        return results

    def cancel(self) -> None:
        """Ends the running command and everything that it started."""
        with self._lock:
            self._broken_off = True
            if self._process is not None and self._process.poll() is None:
                kill_tree(self._process.pid)

    def _is_broken_off(self) -> bool:
        with self._lock:
            return self._broken_off

    def _one(self, number: int, command: str, tell: Callable[[CheckProgress], None]) -> CheckResult | None:
        status_fd, keepers_fd = os.pipe()
        is_given = self._given is not None
        try:
            try:
                with self._lock, _stdin(self._given) as stdin:
                    if self._broken_off:
                        return None
                    process = self._process = subprocess.Popen(
                        [sys.executable, "-I", "-S", check_keeper.__file__, str(keepers_fd), command],
                        cwd=self._cwd,
                        env=self._environment,
                        stdin=stdin,
                        stdout=subprocess.DEVNULL if is_given else subprocess.PIPE,
                        stderr=subprocess.PIPE if is_given else subprocess.STDOUT,
                        pass_fds=(keepers_fd,),
                        start_new_session=True,  # a terminal's Ctrl-C is for the root, which decides what it means
                    )
            finally:
                os.close(keepers_fd)
            with process:
                output = CheckOutput(self._output, f"{self._name}-{number}.log")
                follower = _Follower(process, status_fd, output)
                try:
                    follower.follow(number, command, tell, self._timeout_s, self._progress_s)
                finally:
                    kill_tree(process.pid, itself=False)
                    sweep((), self._mark, SWEEP_S, CHECK_MARK_VARIABLE)
                    _let_end(process)
                    follower.read_rest()
                    output.close()
                return follower.result(command, process.wait(), self._timeout_s)
        finally:
            os.close(status_fd)


@contextmanager
def _stdin(given: bytes | None) -> Iterator[int]:
    """What a command reads: a file, so that nobody waits for a command that does not read."""
    if given is None:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(given)
        file.seek(0)
        yield file.fileno()


def _let_end(keeper: subprocess.Popen[bytes]) -> None:
    """Waits for the keeper, which ends once all its children have ended."""
    try:
        keeper.wait(KEEPER_S)
    except subprocess.TimeoutExpired:
        kill_tree(keeper.pid)


class _Follower:
    """Reads a check's output and exit status until it ends or times out."""

    def __init__(self, process: subprocess.Popen[bytes], status_fd: int, output: CheckOutput) -> None:
        stream = process.stdout or process.stderr
        assert stream is not None
        self._output_fd = stream.fileno()
        self._status_fd = status_fd
        self._output = output
        self._tail = b""
        self._status = b""
        self._timed_out = False
        os.set_blocking(self._output_fd, False)
        os.set_blocking(status_fd, False)

    def follow(
        self, number: int, command: str, tell: Callable[[CheckProgress], None], timeout_s: float, progress_s: float
    ) -> None:
        """Returns when the command has ended, its keeper was killed, or the time-out has passed."""
        begun = time.monotonic()
        told = begun
        with selectors.DefaultSelector() as selector:
            selector.register(self._output_fd, selectors.EVENT_READ)
            selector.register(self._status_fd, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                if now - begun >= timeout_s:
                    self._timed_out = True
                    return
                if now - told >= progress_s:
                    told = now
                    tell(CheckProgress(command=command, number=number, seconds=now - begun, line=self._last_line()))
                for key, _ in selector.select(min(begun + timeout_s, told + progress_s) - now):
                    if key.fd == self._status_fd:
                        self._status = os.read(self._status_fd, 64)
                        return
                    if not self._read_output():
                        selector.unregister(self._output_fd)

    def read_rest(self) -> None:
        """Reads what is left in the pipe. Call it once none of its processes runs."""
        for _ in range(_MOST_READS):
            if not self._read_output():
                break

    def result(self, command: str, keepers_code: int, timeout_s: float) -> CheckResult:
        """The check's result, after `read_rest`."""
        tail, output = self._tail.decode(errors="replace"), self._output.path
        if self._status:
            return CheckResult(command=command, exit_code=int(self._status), output_tail=tail, output=output)
        if self._timed_out:
            error = f"was ended after {_duration(timeout_s)}, unfinished (see --check-timeout)"
            return CheckResult(command=command, exit_code=TIMED_OUT, output_tail=tail, error=error, output=output)
        error = "was ended from outside" if keepers_code < 0 else "could not be run: there is no working /bin/sh"
        exit_code = keepers_code or NOT_RUN
        return CheckResult(command=command, exit_code=exit_code, output_tail=tail, error=error, output=output)

    def _read_output(self) -> bool:
        """Returns False at the end of the output."""
        try:
            data = os.read(self._output_fd, 65_536)
        except BlockingIOError:
            return False
        self._output.add(data)
        self._tail = (self._tail + data)[-OUTPUT_TAIL_BYTES:]
        return bool(data)

    def _last_line(self) -> str:
        lines = self._tail.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" if minutes and not rest else f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:g} s"
