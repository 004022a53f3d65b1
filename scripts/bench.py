"""The benchmark's second half (scripts/bench is the first). Each row is a ratio of two things timed in turn.

help   `loop --help` against `python -c pass`
run    a whole paired run of the real agents, exit included, against a bare script that makes the same turns with
       the two SDKs in one process. The scripted model needs no thinking time, so the difference is ours.
recovery  from the kill of an actor until its successor's mailbox answers, and from the root's kill until all
       mailboxes do, against a bare start of Python with ZeroMQ and Pykka; with the forkserver and without
control  how long a console waits for its answers while the worker's turn hangs
console  the same for each command that can be typed, as the prompt carries it out
mail     how long a console waits for the list of the agents' mail, with little mail and with much
messages  what one more mail costs the bridge, and the journal with it, after 10 and after 100,000 of them
commands `loop status` and its like as programs, meanwhile, against `python -c pass`
checkpoint  the look at a tree that keeps it, as at the end of each iteration, against `git add -A` there, with 300
       and with 30,000 files of which ten have changed
neighbours  a mail beside 2,000 idle connections to the bridge's port, and a page of the dashboard beside as many to
       its port, each against without; and the root's memory with 200 consoles that do not read 3,000 messages of
       100 kB, against without, with the longest wait for a status meanwhile
hosts  an agent on another host (bench_hosts.py); needs root, so it only runs when it is named

A signal, or the end of the terminal, ends it and everything that it has started.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from actors.edges import checkpoints, tree
from actors.embedded.scenario_file import load_scenario
from scripts.bench_hosts import bench_hosts
from scripts.bench_mails import bench_mail, bench_messages
from scripts.bench_neighbours import bench_neighbours
from scripts.bench_rig import LOOP, compare, console, hanging_run, only_once, print_latency, quiet, repeats, timed
from shell.at_prompt import execute
from shell.attached import Pipe
from supervisor import forkserver
from supervisor.control.protocol import (
    Control,
    GetReport,
    Inspect,
    PeekMailbox,
)
from tests.lab.demo_repo import DEMO_TASK, make_demo_repository
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.lab.world import MARK, SCENARIOS, Loop, World, end_marked, orderly_end


def bench_help() -> None:
    compare("help", lambda: quiet(LOOP, "--help"), lambda: quiet(sys.executable, "-c", "pass"), rounds=20)


def bench_run() -> None:
    scenario = load_scenario(SCENARIOS / "bench.toml")
    with ModelServer(scenario) as server, tempfile.TemporaryDirectory(prefix="loop-bench-") as folder:
        base = Path(folder)
        prepare_home(base / "home", server.url)
        environment = agent_environment(base / "home", server.url, "reviewer", os.environ)
        mark = uuid.uuid4().hex
        environment |= {"IS_SANDBOX": "1", "LOOP_COOLDOWN_MS": "0", MARK: mark}
        rounds = repeats(5)
        # A project for each: a plan that is there already is none.
        projects = [base / f"project-{number}" for number in range(1 + 2 * rounds)]
        for project in projects:
            make_demo_repository(project)
        unused = iter(projects)

        def ours() -> None:
            command = [LOOP, "--review-plan", "claude", DEMO_TASK]
            done = subprocess.run(
                command,
                cwd=next(unused),
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
            if done.returncode != 0:
                sys.exit(done.stdout + done.stderr)

        def theirs() -> None:
            script = Path(__file__).with_name("bench_bare.py")
            command = [sys.executable, str(script), json.dumps(prompts)]
            subprocess.run(command, cwd=next(unused), env=environment, check=True)

        try:
            ours()  # the prompts of a run, for the other side; and both programs are in the page cache now
            prompts = prompts_of(base / "home")
            compare("run", ours, theirs, rounds=rounds)
        finally:
            end_marked(mark)


def prompts_of(home: Path) -> list[tuple[str, str, bool]]:
    """(role, prompt, whether its answer has a form) of each turn of the only run in `home`, in order, from its
    journal.
    """
    import sqlite3

    (journal,) = (home / ".loop" / "runs").glob("*/1/journal.sqlite")
    db = sqlite3.connect(journal)
    rows = db.execute(
        "SELECT stream, body FROM events WHERE kind = 'TurnIntended' AND stream LIKE 'turns/%' ORDER BY seq"
    ).fetchall()
    db.close()
    begun = [(stream.removeprefix("turns/"), json.loads(body)) for stream, body in rows]
    return [(role, turn["prompt"], turn.get("typed", False)) for role, turn in begun]


ACTORS = ("run", "worker", "reviewer", "bridge", "persistence")
RECOVERY_ROUNDS = 3
FIRST_IDLE_S = forkserver.IDLE_S + 1.0  # it then imports what only a restart needs
IDLE_S = 2.0  # afterwards it has imported that; a spare process is made at once


def bench_recovery() -> None:
    """Measures both launchers in turn, with the yardstick around each: a slow moment of the machine hits all."""
    launchers = (("forkserver", {}), ("portable", {"LOOP_PORTABLE": "1"}))
    found: dict[str, list[dict[str, float]]] = {name: [] for name, _ in launchers}
    starts: list[float] = []
    rounds = repeats(RECOVERY_ROUNDS)
    for number in range(1, rounds + 1):
        for name, changes in launchers:
            print(f"recovery, {name}: round {number} of {rounds}", file=sys.stderr, flush=True)
            found[name].append(recoveries(changes, starts))
    yardstick = statistics.median(starts)
    for name, played in found.items():
        for what in (*ACTORS, "cold", "root"):
            times = [each[what] for each in played if what in each]
            if times:
                median = statistics.median(times)
                print(
                    f"recovery, {name}: {what:<11} {median:.3f} s: {median / yardstick:.2f}x  (median of {len(times)})"
                )
        median = statistics.median(each[actor] for each in played for actor in ACTORS)
        print(
            f"recovery, {name}: all actors  {median:.3f} s: {median / yardstick:.2f}x of {yardstick:.3f} s", flush=True
        )


def recoveries(changes: dict[str, str], starts: list[float]) -> dict[str, float]:
    """Seconds from the kill of each actor to the line in the log that says that its successor is ready.

    Kills each once, since further restarts in a row wait on purpose. Does so when the forkserver, or else the spare
    process, is idle. "cold": the reviewer, right after another actor has used the spare up. "root": from the kill to
    the moment when all actors of `loop --run-id` are ready.
    """
    with hanging_run(**changes) as world:
        loop = world.loops[0]
        log = world.run_directory() / "log"
        found = {}
        wait_until_idle(world, FIRST_IDLE_S)
        for actor in ACTORS:
            wait_until_idle(world, IDLE_S)
            starts += [timed(lambda: quiet(sys.executable, "-c", "import zmq, pykka")) for _ in range(3)]
            found[actor] = recovery(log, loop.pid_of(actor), actor)
        if changes:
            wait_until_idle(world, IDLE_S)
            time.sleep(10)  # a new series of restarts begins: the next one does not wait
            recovery(log, loop.pid_of("persistence"), "persistence")
            found["cold"] = recovery(log, loop.pid_of("reviewer"), "reviewer")
        found["root"] = timed(lambda: restart(world, loop, changes))
        return found


def restart(world: World, loop: Loop, changes: dict[str, str]) -> None:
    loop.signal(signal.SIGKILL)
    loop.process.wait()
    world.start("--agent", "embedded", "--run-id", "1", **changes).wait_for("are ready")


def wait_until_idle(world: World, idle_s: float) -> None:
    """Waits until the world's processes spend less than 2 % of a core for `idle_s` seconds: a launcher is ready then.

    The heartbeats of an idle run take about 0.5 %.
    """
    before, since = -1.0, time.monotonic()
    while time.monotonic() < since + idle_s:
        spent = 0.0
        for process in world.survivors():
            with suppress(psutil.Error):
                times = process.cpu_times()
                spent += times.user + times.system
        if before < 0 or spent > before + 0.02 * idle_s:
            before, since = spent, time.monotonic()
        time.sleep(0.2)


def recovery(log: Path, pid: int, actor: str) -> float:
    line = re.compile(rf"{actor}#\d+ is ready")
    known = len(line.findall(log.read_text()))
    start = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    while len(line.findall(log.read_text())) == known:
        time.sleep(0.001)
    return time.perf_counter() - start


# What the user can type while a turn hangs, each as the prompt carries it out. The last ones change the run's state.
TYPED = (
    *("status", "actors", "runs", "cost", "log", "log worker", "transcript", "mailbox worker stacks", "inspect worker"),
    *("mail list", "trace on RunStatus bodies", "trace off", "help say", "say embedded-reviewer hello", "steer faster"),
    *("followup more", "review", "approve", "reject it is wrong", "pause", "resume", "interrupt reviewer"),
    *("restart reviewer", "kill reviewer", "start reviewer"),
)


def bench_console() -> None:
    with hanging_run() as world, console(world) as client:
        prompt = Pipe(client, world.run_directory())
        for line in TYPED:
            print_latency(line, lambda line=line: execute(prompt, line), rounds=20)


def bench_control() -> None:
    with hanging_run() as world, console(world) as client:
        print_latency("status", lambda: client.ask(GetReport()), rounds=1_000)
        print_latency("mailbox", lambda: client.ask(PeekMailbox(actor="worker")), rounds=300)
        print_latency("inspect", lambda: client.ask(Inspect(actor="worker", expression="actor.role")), rounds=300)
        # pause and resume are journalled before they are answered
        print_latency("pause", lambda: client.ask(Control(action="pause")), rounds=1)
        orders = iter(["resume", "pause"] * 100)
        print_latency("pause, resume", lambda: client.ask(Control(action=next(orders))), rounds=200)


SUBCOMMANDS = (
    ("status",),
    ("runs",),
    ("pause",),
    ("resume",),
    ("say", "embedded-reviewer", "hello"),
    ("logs",),
    ("mailbox", "worker"),
    ("mail", "list"),
)


def bench_commands() -> None:
    with hanging_run() as world:

        def program(*command: str) -> None:
            # With a time limit, Python would look at growing intervals whether it has ended, at last every 50 ms.
            subprocess.run(command, cwd=world.project, env=world.environment, stdout=subprocess.DEVNULL, check=True)

        for words in SUBCOMMANDS:
            name = f"loop {words[0]}"
            compare(name, lambda words=words: program(LOOP, *words), lambda: program(sys.executable, "-c", "pass"), 20)


def bench_checkpoint() -> None:
    for count in (300, 30_000):
        with tempfile.TemporaryDirectory(prefix="loop-bench-") as folder:
            top, numbers = Path(folder) / "tool", itertools.count()
            for number in range(count):
                path = top / f"d{number // 100}" / f"f{number}.py"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"print({number})\n" * 20)
            identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
            for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "first"]):
                quiet("git", "-C", str(top), *words)

            def change(top: Path = top, numbers: Iterator[int] = numbers) -> None:
                for number in range(10):
                    (top / "d0" / f"f{number}.py").write_text(f"{next(numbers)}\n")

            def keep(top: Path = top, store: Path = Path(folder) / "store", numbers: Iterator[int] = numbers) -> None:
                change()
                captured = tree.capture(top, store)
                checkpoints.keep(top, captured.whole, run_id="1", run_uid="bench", number=next(numbers), about="")

            def add(top: Path = top) -> None:
                change()
                quiet("git", "-C", str(top), "add", "-A")

            compare(f"{count:,} files", keep, add, rounds=10)


ROWS = {
    "help": bench_help,
    "run": bench_run,
    "recovery": bench_recovery,
    "control": bench_control,
    "console": bench_console,
    "mail": bench_mail,
    "messages": bench_messages,
    "commands": bench_commands,
    "checkpoint": bench_checkpoint,
    "neighbours": bench_neighbours,
    "hosts": bench_hosts,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures ratios: each of two things, in turn.")
    rows = ", ".join(ROWS)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"what to measure (default: all but hosts): {rows}")
    parser.add_argument("--once", action="store_true", help="time each thing once: shows that a row works, no figure")
    options = parser.parse_args()
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"no row {unknown[0]!r}: there are {rows}")
    if options.once:
        only_once()
    with orderly_end():
        for row in options.rows or [row for row in ROWS if row != "hosts"]:
            ROWS[row]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
