"""What the rows of scripts/bench share: how a time is taken and printed, and a run that waits to be measured."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.edges import run_lock
from shell.control_client import ControlClient, control_endpoint
from supervisor.control.protocol import Done, Inspect
from tests.lab.world import World

LOOP = str(Path(sys.executable).with_name("loop"))


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


_is_once = False  # --once


def only_once() -> None:
    """From now on each measurement is made once."""
    global _is_once  # noqa: PLW0603 # said before any row
    _is_once = True


def repeats(wanted: int) -> int:
    """How often a measurement is made: 1 with --once."""
    return 1 if _is_once else wanted


def compare(name: str, ours: Callable[[], None], theirs: Callable[[], None], rounds: int) -> None:
    """Times both in turn, so that a slow moment of the machine hits both; prints medians."""
    rounds = repeats(rounds)
    pairs = [(timed(ours), timed(theirs)) for _ in range(rounds)]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:<12} {mine:8.3f} s  against {other:8.3f} s: {mine / other:.2f}x  (median of {rounds})", flush=True)


def quiet(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def hanging_run(**changes: str) -> Iterator[World]:
    """A run whose worker's turn hangs. `changes` are variables of its environment."""
    with tempfile.TemporaryDirectory(prefix="loop-bench-") as folder, World(Path(folder)) as world:
        world.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled
        scenario = world.base / "hang.toml"
        scenario.write_text('[[turn]]\nwhen = "."\n[[turn.step]]\nfault = { hang = true, times = 1000 }\n')
        world.play_embedded(scenario)
        loop = world.start("--agent", "embedded", "wait", **changes)
        loop.wait_for("are ready")
        loop.wait_for("embedded +session")
        yield world


@contextmanager
def console(world: World) -> Iterator[ControlClient]:
    directory = world.run_directory()
    client = ControlClient(control_endpoint(directory), alive=lambda: run_lock.is_active(directory))
    try:
        yield client
    finally:
        client.close()


def inspect(client: ControlClient, actor: str, expression: str) -> str:
    answer = client.ask(Inspect(actor=actor, expression=expression))
    assert isinstance(answer, Done), answer
    return answer.text


def print_latency(name: str, action: Callable[[], object], rounds: int) -> None:
    rounds = repeats(rounds)
    times = sorted(1_000 * timed(action) for _ in range(rounds))
    p50, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
    print(f"{name:<28} p50 {p50:7.2f} ms  p95 {p95:7.2f} ms  max {times[-1]:7.2f} ms  (of {rounds})", flush=True)
