"""The row `neighbours` of scripts/bench: a mail and a page beside idle connections, and consoles that do not read."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import zmq

from scripts.bench_rig import console, hanging_run, inspect, repeats, timed
from shell.control_client import control_endpoint
from supervisor.control.protocol import Follow, GetReport, Inspect, encode_request
from tests.lab.world import World

IDLE = 2_000
LAZY, BIG_MESSAGES, BIG = 200, 3_000, 100_000
BATCH = 20  # messages in one question to the worker

# Evaluated in the worker: it says something long, as an agent may.
SAY = """[
    actor.context.ref("console").tell(
        __import__("actors.messages").messages.Progress(
            at_ms=1, source="worker", agent="embedded", kind="say", text=f"{{n}} " + "x" * {size}
        )
    )
    for n in range({count})
] and None"""


def bench_neighbours() -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 10_000), limit))
    neighbours_of_the_bridge()
    neighbours_of_the_dashboard()
    without, _ = root_memory(0)
    memory, waited = root_memory(LAZY)
    print(
        f"neighbours   {LAZY} consoles that do not read {BIG_MESSAGES} messages of {BIG // 1_000} kB: root "
        f"{memory / 2**20:.0f} MiB against {without / 2**20:.0f} MiB, a status within {1_000 * waited:.0f} ms",
        flush=True,
    )


def neighbours_of_the_bridge() -> None:
    with hanging_run() as world, console(world) as client:
        url = inspect(client, "bridge", "actor.context.detail").strip("'")
        token = inspect(client, "bridge", "actor.context.start.tokens['worker']").strip("'")
        log = world.run_directory() / "log"
        numbers = iter(range(1_000_000))

        def send() -> None:
            arguments = {"target": "embedded-reviewer", "message": f"mail {next(numbers)}"}
            call = {"name": "send_message", "arguments": arguments}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
            request = urllib.request.Request(
                url,
                json.dumps(body).encode(),
                {
                    "Authorization": f"Bearer {token}",
                    "Accept": "application/json, text/event-stream",
                    "Content-Type": "application/json",
                },
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.status == 200, answer.read()

        beside_idle_connections(
            "a mail", port_of(url), send, lambda: log.read_bytes().count(b"connections were closed")
        )


def neighbours_of_the_dashboard() -> None:
    with tempfile.TemporaryDirectory(prefix="loop-bench-") as folder:
        world = World(Path(folder))
        try:
            loop = world.start("dashboard", "--web")
            address = loop.wait_for("dashboard: ").rpartition(" ")[2].strip()

            def page() -> None:
                with urllib.request.urlopen(address, timeout=60) as answer:
                    answer.read()

            beside_idle_connections(
                "a page", port_of(address), page, lambda: sum("connections were closed" in line for line in loop.lines)
            )
        finally:
            world.end()


FLOOD_ROUNDS, FLOOD_TIMES = 7, 10
FLOOD_RATE = 500  # a second are opened again, once the door has closed them


def beside_idle_connections(name: str, port: int, action: Callable[[], None], log_lines: Callable[[], int]) -> None:
    """Times the action alone, beside idle connections, and beside a flood of them, in turn: a slow moment hits all."""
    for _ in range(3):
        action()
    times: dict[int | None, list[float]] = {None: [], 0: [], FLOOD_RATE: []}
    before, reopened, rounds = log_lines(), 0, repeats(FLOOD_ROUNDS)
    for place in range(rounds):
        for rate in list(times)[:: 1 if place % 2 else -1]:
            if rate is None:
                times[rate] += [timed(action) for _ in range(FLOOD_TIMES)]
                continue
            with idle_connections(port, rate) as flood:
                times[rate] += [timed(action) for _ in range(FLOOD_TIMES)]
            reopened += flood.reopened
    alone = statistics.median(times.pop(None))
    for rate, found in times.items():
        mine = statistics.median(found)
        how = f"{rate} a second opened again" if rate else "none opened again"
        print(
            f"neighbours   {name} beside {IDLE} idle connections, {how}: {1_000 * mine:.1f} ms "
            f"(longest {1_000 * max(found):.1f}) against {1_000 * alone:.1f} ms: {mine / alone:.2f}x",
            flush=True,
        )
    print(
        f"neighbours   {name}: medians of {rounds * FLOOD_TIMES}; {reopened} connections were opened again, "
        f"{log_lines() - before} lines in the log about closed ones",
        flush=True,
    )


class Flood:
    """The idle connections, in a process of their own. `reopened` is known at their end."""

    reopened = 0


@contextmanager
def idle_connections(port: int, rate: int) -> Iterator[Flood]:
    script = Path(__file__).with_name("bench_flood.py")
    command = [sys.executable, "-I", "-S", str(script), str(port), str(IDLE), str(rate)]
    flood = Flood()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline().strip() != "flooding":
            sys.exit(f"[bench] error: the idle connections to port {port} cannot be opened")
        yield flood
        process.stdin.close()
        flood.reopened = int(process.stdout.readline() or 0)


def port_of(url: str) -> int:
    return int(url.split("/")[2].rpartition(":")[2])


def root_memory(lazy: int) -> tuple[int, float]:
    """The most memory of the root (bytes) while the worker says much, and the longest wait for a status (s)."""
    with hanging_run() as world, console(world) as client, ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        for _ in range(lazy):
            link = stack.enter_context(context.socket(zmq.DEALER))
            link.setsockopt(zmq.LINGER, 0)
            link.setsockopt(zmq.RCVHWM, 1)
            link.connect(control_endpoint(world.run_directory()))
            link.send(encode_request(1, Follow()))
            link.recv()
        root = psutil.Process(world.loops[0].process.pid)
        expression = SAY.format(size=BIG, count=BATCH)
        memory, waited = 0, 0.0
        for _ in range(0, BIG_MESSAGES, BATCH):
            client.ask(Inspect(actor="worker", expression=expression))
            waited = max(waited, timed(lambda: client.ask(GetReport())))
            memory = max(memory, root.memory_info().rss)
        return memory, waited
