"""The fuzzer: malformed input for every surface where foreign input enters, from a seed.

Each surface is fed in a process of its own, one after the other: a crash or a hang of one is a row of the table, not
the end of all. A failing input is saved; seed and number repeat it: `scripts/fuzz --seed N --only K SURFACE`. The exit
status is 1 when something failed. fuzz_surfaces/oracle.py says what counts as a failure. It is an exception that is no
refusal, a traceback in the log, a dead thread, a slow input, growing memory, or a process left behind. A surface that
does not work afterwards has failed as well.

On SIGINT or SIGTERM it ends what it has started, and shows the table so far.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from fuzz_surfaces import SURFACES

ROOT = Path(__file__).resolve().parents[1]
MARK = "LOOP_FUZZ_MARK"  # in the environment of everything that is started here
FOREIGN = ("ANTHROPIC_", "OPENAI_", "CODEX_", "CLAUDE", "LOOP_", "XDG_", "GIT_")
MEMORY = "/dev/shm"
SILENT_S = 150.0  # a process that is silent for longer hangs: its own limits are shorter
SHOW_EACH_S = 10.0  # where there is no terminal


class Ended(BaseException):
    """A signal came."""


@dataclass
class Row:
    """One surface in the table."""

    name: str
    inputs: int = 0
    seconds: float = 0.0
    failures: int = 0
    growth_mb: float = 0.0
    log_lines: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    over: bool = False


class Session:
    """One call of the fuzzer: its directory, its processes, its findings."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.mark = uuid.uuid4().hex
        self.rows: list[Row] = []
        # In memory if possible: fsync costs nothing there.
        self.folder = Path(tempfile.mkdtemp(prefix="fz-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
        self.saved = Path(arguments.save)

    def run(self) -> int:
        try:
            for name in self.arguments.surface or SURFACES:
                row = Row(name)
                self.rows.append(row)
                self.feed(row)
        except Ended:
            print("[fuzz] ended by a signal", file=sys.stderr)
        finally:
            self.end_all()
            shutil.rmtree(self.folder, ignore_errors=True)
        print("\n".join(self.table()))
        for row in self.rows:
            for kind, count in sorted(row.kinds.items(), key=lambda pair: -pair[1]):
                print(f"{row.name}: {count} x {kind}")
        return int(any(row.failures or not row.over for row in self.rows))

    def feed(self, row: Row) -> None:
        """Follows the process that feeds the surface."""
        folder = self.folder / row.name.rpartition(":")[2]
        (folder / "home").mkdir(parents=True)
        (folder / "position").write_bytes(bytes(8))
        order = {
            "surface": row.name,
            "seed": self.arguments.seed,
            "inputs": self.arguments.inputs,
            "seconds": self.arguments.seconds,
            "only": self.arguments.only,
            "folder": str(folder),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        environment = kept | {
            "HOME": str(folder / "home"),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "scripts"), str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "TMPDIR": str(self.folder),
            "MALLOC_ARENA_MAX": "2",
            MARK: self.mark,
        }
        with (folder / "stderr").open("w+b") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "fuzz_surfaces.feed", json.dumps(order)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
            self.follow(process, row)
            how = self.ended(process)
            errors.seek(0)
            said = errors.read()[-4_000:].decode(errors="replace")
        left = self.left_behind()
        if not row.over:
            number = int.from_bytes((folder / "position").read_bytes(), "little", signed=True)
            self.failure(row, number, None, f"its process {how}", said)
        elif left:
            self.failure(row, -1, None, "processes are left behind", "\n".join(left))
        self.end_all()
        shutil.rmtree(folder, ignore_errors=True)

    def follow(self, process: subprocess.Popen[bytes], row: Row) -> None:
        shown = time.monotonic()
        for line in _lines(process):
            if line is None:
                process.send_signal(signal.SIGUSR1)  # prints on its stderr where it hangs
                time.sleep(0.5)
                return
            match json.loads(line):
                case {"progress": [inputs, seconds, failures]}:
                    row.inputs, row.seconds = inputs, seconds
                    row.failures = max(row.failures, failures)
                case {"failure": int(number), "kind": str(kind), "text": str(text), "input": each}:
                    self.failure(row, number, each, kind, text)
                case {"input": each}:
                    print(f"[fuzz] {row.name} {self.arguments.only}: {each}", file=sys.stderr)
                case {"result": dict(result)}:
                    for name in ("inputs", "seconds", "failures", "growth_mb", "log_lines", "kinds"):
                        setattr(row, name, result[name])
                    row.over = True
            pause_s = 0.5 if sys.stderr.isatty() else SHOW_EACH_S
            if time.monotonic() - shown > pause_s or row.over:
                shown = time.monotonic()
                rate = row.inputs / row.seconds if row.seconds else 0
                end = "\r" if sys.stderr.isatty() and not row.over else "\n"
                text = f"[fuzz] {row.name}: {row.inputs:,} inputs, {rate:,.0f}/s, {row.failures} failures  "
                print(text, end=end, file=sys.stderr, flush=True)

    def failure(self, row: Row, number: int, each: Any, kind: str, text: str) -> None:
        """Keeps the input with its seed and number."""
        row.kinds.setdefault(kind, 1)
        row.failures = max(row.failures, 1)
        seed = self.arguments.seed
        self.saved.mkdir(parents=True, exist_ok=True)
        path = self.saved / f"{row.name.rpartition(':')[2]}-{seed}-{number}.txt"
        again = f"scripts/fuzz --seed {seed} --only {number} {row.name}"
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{kind}\n{again}\n\n{text}\n\ninput: {each}\n\n")
        print(f"[fuzz] {row.name} {number}: {kind}: {path}", file=sys.stderr)

    def ended(self, process: subprocess.Popen[bytes]) -> str:
        """How the process ended, in words."""
        assert process.stdin is not None
        try:
            code = process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"hung for {SILENT_S:g} s"
        finally:
            process.stdin.close()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"

    def left_behind(self) -> list[str]:
        return [f"{process.pid} {process.info['cmdline']}" for process in self.ours()]

    def ours(self) -> Iterator[psutil.Process]:
        """Everything that was started here and still runs, however it detached itself."""
        for process in psutil.process_iter(["cmdline"]):
            with suppress(psutil.Error):
                if process.pid != os.getpid() and process.environ().get(MARK) == self.mark:
                    yield process

    def end_all(self) -> None:
        found = list(self.ours())
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=5)

    def table(self) -> list[str]:
        lines = [
            "| surface | inputs | seconds | inputs/s | failures | memory |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for row in self.rows:
            rate = row.inputs / row.seconds if row.seconds else 0
            unfinished = "" if row.over else " (not finished)"
            lines.append(
                f"| {row.name}{unfinished} | {row.inputs:,} | {row.seconds:.0f} | {rate:,.0f} | {row.failures} "
                f"| {row.growth_mb:+.0f} MB |"
            )
        return lines


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes | None]:
    """The process's output, line by line; None when it is silent for too long."""
    assert process.stdout is not None
    torn = b""
    while True:
        if not select.select([process.stdout], [], [], SILENT_S)[0]:
            yield None
            return
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            return
        *lines, torn = (torn + data).split(b"\n")
        yield from lines


def _end(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Ended


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Malformed input for every surface, from a seed.")
    parser.add_argument("surface", nargs="*", help=f"of {', '.join(SURFACES)}; all by default")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each surface, at most (default: 60)")
    parser.add_argument("--inputs", type=int, default=10**9, help="of each surface, at most")
    parser.add_argument("--only", type=int, help="only the input with this number, which is shown")
    parser.add_argument("--save", default=str(ROOT / "build" / "fuzz"), help="where failing inputs are kept")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.surface if name not in SURFACES and ":" not in name]:
        parser.error(f"unknown surface {', '.join(unknown)}: there are {', '.join(SURFACES)}")
    if arguments.only is not None and len(arguments.surface) != 1:
        parser.error("--only needs the one surface that is meant")
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    return Session(arguments).run()


if __name__ == "__main__":
    sys.exit(main())
