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
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import msgspec
import psutil
import zmq

from actors.edges import checkpoints, run_dir, run_lock, tree
from actors.edges.journal import FILE_NAME, Journal
from actors.embedded.scenario_file import load_scenario
from actors.machines import mail
from actors.machines.stored import stored_name
from actors.messages import Record
from scripts.bench_hosts import ROUNDS as HOST_ROUNDS
from scripts.bench_hosts import bench_hosts
from shell.at_prompt import execute
from shell.attached import Pipe
from shell.control_client import ControlClient, control_endpoint
from supervisor.control.protocol import (
    Control,
    Done,
    Follow,
    GetReport,
    Inspect,
    PeekMailbox,
    ShowMail,
    encode_request,
)
from tests.lab.demo_repo import DEMO_TASK, make_demo_repository
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.lab.world import MARK, SCENARIOS, Loop, World, end_marked, orderly_end

LOOP = str(Path(sys.executable).with_name("loop"))


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


is_once = False  # --once


def repeats(wanted: int) -> int:
    """How often a measurement is made: 1 with --once."""
    return 1 if is_once else wanted


def compare(name: str, ours: Callable[[], None], theirs: Callable[[], None], rounds: int) -> None:
    """Times both in turn, so that a slow moment of the machine hits both; prints medians."""
    rounds = repeats(rounds)
    pairs = [(timed(ours), timed(theirs)) for _ in range(rounds)]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:<12} {mine:8.3f} s  against {other:8.3f} s: {mine / other:.2f}x  (median of {rounds})", flush=True)


def quiet(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


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


def prompts_of(home: Path) -> list[tuple[str, str]]:
    """(role, prompt) of each turn of the only run in `home`, in order, from its journal."""
    import sqlite3

    (journal,) = (home / ".loop" / "runs").glob("*/1/journal.sqlite")
    db = sqlite3.connect(journal)
    rows = db.execute(
        "SELECT stream, body FROM events WHERE kind = 'TurnIntended' AND stream LIKE 'turns/%' ORDER BY seq"
    ).fetchall()
    db.close()
    return [(stream.removeprefix("turns/"), json.loads(body)["prompt"]) for stream, body in rows]


ACTORS = ("run", "worker", "reviewer", "bridge", "persistence")
RECOVERY_ROUNDS = 3
FIRST_IDLE_S = 11.0  # a forkserver waits for 10 s before it imports what only a restart needs
IDLE_S = 2.0  # afterwards it has imported that; a spare process is made at once


def bench_recovery() -> None:
    """Measures both launchers in turn, with the yardstick around each: a slow moment of the machine hits all."""
    launchers = (("forkserver", {}), ("portable", {"LOOP_PORTABLE": "1"}))
    found: dict[str, list[dict[str, float]]] = {name: [] for name, _ in launchers}
    starts: list[float] = []
    for number in range(1, RECOVERY_ROUNDS + 1):
        for name, changes in launchers:
            print(f"recovery, {name}: round {number} of {RECOVERY_ROUNDS}", file=sys.stderr, flush=True)
            found[name].append(recoveries(changes, starts))
    yardstick = statistics.median(starts)
    for name, rounds in found.items():
        for what in (*ACTORS, "cold", "root"):
            times = [each[what] for each in rounds if what in each]
            if times:
                median = statistics.median(times)
                print(
                    f"recovery, {name}: {what:<11} {median:.3f} s: {median / yardstick:.2f}x  (median of {len(times)})"
                )
        median = statistics.median(each[actor] for each in rounds for actor in ACTORS)
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


# Evaluated in the bridge: mail that is sent and dropped, in one step each.
FINISHED_MAIL = """[
    actor._happen([
        post(actor._state, mail_id=f"{{n:08}}", sender="worker", target="reviewer", text=f"{{n}} " + "x" * 500,
             names=actor._names, now_ms=1),
        dropped(mail_id=f"{{n:08}}", change_id=str(n), target="reviewer", was="queued", reason="", at_ms=1),
    ])
    for mail in [__import__("actors.machines.mail").machines.mail]
    for post, dropped in [(mail.post, mail.MailDropped)]
    for n in range({begin}, {end})
] and None"""


def bench_mail() -> None:
    with hanging_run() as world, console(world) as client:
        for begin, end in ((0, 100), (100, 1_500), (1_500, 10_000)):
            for start in range(begin, end, 50):
                expression = FINISHED_MAIL.format(begin=start, end=start + 50)
                client.ask(Inspect(actor="bridge", expression=expression))
            print_latency(f"mail list {end}", lambda: client.ask(ShowMail()), rounds=200)
            print_latency(f"mail show, {end}", lambda: client.ask(ShowMail(mail_id="00000007")), rounds=200)


MEASURED_MAILS = 10  # in one question to the bridge; each is made durable, and has its line in the transcript


def bench_messages() -> None:
    """Keeps all runs open and asks them in turn, so that a slow moment of the machine hits all."""
    with ExitStack() as stack:
        runs = {}
        for size in (10, 1_000, 10_000, 100_000):
            world = stack.enter_context(hanging_run())
            world.loops[0].signal(signal.SIGKILL)
            world.loops[0].process.wait()
            world.wait_until_empty(5)
            write_mails(world.run_directory(), size)
            world.start("--agent", "embedded", "--run-id", "1").wait_for("are ready")
            runs[size] = stack.enter_context(console(world))
        times: dict[int, list[float]] = {size: [] for size in runs}
        for place in range(30):
            for size, client in runs.items():
                begin = size + place * MEASURED_MAILS
                expression = FINISHED_MAIL.format(begin=begin, end=begin + MEASURED_MAILS)
                begun = time.perf_counter()
                client.ask(Inspect(actor="bridge", expression=expression))
                times[size].append((time.perf_counter() - begun) / MEASURED_MAILS)
        first = statistics.median(times[10])
        for size, found in times.items():
            median = statistics.median(found)
            print(f"messages, after {size:>7}: {1_000 * median:6.2f} ms a mail, {median / first:.2f}x of after 10")


def write_mails(directory: Path, count: int) -> None:
    """Writes sent and handled mail into the journal of a run without a root."""
    records, lines = [], []
    for n in range(count):
        mail_id, text = f"{n:08}", f"{n} " + "x" * 500
        events: list[mail.Event] = [
            mail.MailQueued(mail_id=mail_id, sender="worker", target="reviewer", text=text, at_ms=n),
            mail.MailHandled(mail_id=mail_id, at_ms=n),
        ]
        records += [
            Record(
                event_id=f"{n}-{place}",
                at_ms=n,
                kind=stored_name(type(event)),
                body=msgspec.json.encode(event).decode(),
            )
            for place, event in enumerate(events)
        ]
        lines.append(json.dumps({"at": run_dir.iso(n), "from": "embedded", "to": "embedded-reviewer", "message": text}))
    with closing(Journal(directory / FILE_NAME, generation=1)) as journal:
        already = sum(1 for _ in journal.read("mail"))
        journal.append("mail", epoch=999, expected_version=already, records=records, lines=lines)


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
            subprocess.run(
                command, cwd=world.project, env=world.environment, stdout=subprocess.DEVNULL, check=True, timeout=60
            )

        for words in SUBCOMMANDS:
            name = f"loop {words[0]}"
            compare(name, lambda words=words: program(LOOP, *words), lambda: program(sys.executable, "-c", "pass"), 20)


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
    before, reopened = log_lines(), 0
    for place in range(FLOOD_ROUNDS):
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
        f"neighbours   {name}: medians of {FLOOD_ROUNDS * FLOOD_TIMES}; {reopened} connections were opened again, "
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


def inspect(client: ControlClient, actor: str, expression: str) -> str:
    answer = client.ask(Inspect(actor=actor, expression=expression))
    assert isinstance(answer, Done), answer
    return answer.text


def print_latency(name: str, action: Callable[[], object], rounds: int) -> None:
    rounds = repeats(rounds)
    times = sorted(1_000 * timed(action) for _ in range(rounds))
    p50, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
    print(f"{name:<28} p50 {p50:7.2f} ms  p95 {p95:7.2f} ms  max {times[-1]:7.2f} ms  (of {rounds})", flush=True)


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
    "hosts": lambda: bench_hosts(repeats(HOST_ROUNDS)),
}


def main() -> int:
    global is_once  # noqa: PLW0603 # said once, before any row
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures ratios: each of two things, in turn.")
    rows = ", ".join(ROWS)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"what to measure (default: all but hosts): {rows}")
    parser.add_argument("--once", action="store_true", help="time each thing once: shows that a row works, no figure")
    options = parser.parse_args()
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"no row {unknown[0]!r}: there are {rows}")
    is_once = options.once
    with orderly_end():
        for row in options.rows or [row for row in ROWS if row != "hosts"]:
            ROWS[row]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
