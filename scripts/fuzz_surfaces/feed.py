"""The process that feeds one surface: `python -m fuzz_surfaces.feed ORDER`, started only by scripts/fuzz.py.

It reports progress on stdout, one JSON object per line. It notes the present input in a file, so that its parent knows
it after a crash. It ends with its stdin, so that it never outlives its parent.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

from fuzz_surfaces import surface_of
from fuzz_surfaces.oracle import LogWatch, raise_hung
from fuzz_surfaces.surface import Feeding, Tally

SHOW_EACH_S = 0.5
MOST_MEMORY = 3 << 30  # an input that takes all memory is a MemoryError here, and not the end of the machine
SHOWN = 4_000


def main(order: dict[str, Any]) -> int:
    folder = Path(order["folder"])
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    signal.signal(signal.SIGALRM, raise_hung)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end ends this process
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # what is printed by the code under test
    with (folder / "position").open("r+b") as file, mmap.mmap(file.fileno(), 8) as position:
        return _feed(order, folder, out, position)


def _feed(order: dict[str, Any], folder: Path, out: Any, position: mmap.mmap) -> int:
    def say(**words: Any) -> None:
        out.write(json.dumps(words) + "\n")

    shown = 0.0

    def show(tally: Tally) -> None:
        nonlocal shown
        if time.monotonic() - shown > SHOW_EACH_S:
            shown = time.monotonic()
            say(progress=[tally.inputs, tally.seconds, tally.failures])

    def failed(number: int, each: Any, kind: str, text: str) -> None:
        say(failure=number, kind=kind, text=text, input=_written(each))

    watch = LogWatch()
    watch.install()
    surface = surface_of(order["surface"])(folder, watch)
    random.seed(order["seed"])
    surface.open()
    try:
        feeding = Feeding(
            surface, order["seed"], began=lambda number: struct.pack_into("<q", position, 0, number), failed=failed
        )
        only = order["only"]
        numbers = range(order["inputs"]) if only is None else range(only, only + 1)
        if only is not None:
            say(input=_written(feeding.input(only)))
        tally = feeding.run(numbers, order["seconds"], show)
    finally:
        surface.close()
    say(result={**vars(tally), "log_lines": watch.lines})
    out.close()
    return 0


def _written(each: Any) -> str:
    """The input's repr, cut when it is long: seed and number reproduce it."""
    text = repr(each)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ... ({len(text)} characters)"


def _end_with_parent() -> None:
    while os.read(0, 1 << 10):  # unbuffered: the buffered reader's lock would be held at the interpreter's end
        pass
    os._exit(1)


if __name__ == "__main__":
    code = main(json.loads(sys.argv[1]))
    sys.stderr.flush()
    os._exit(code)  # threads of libraries would keep the process
