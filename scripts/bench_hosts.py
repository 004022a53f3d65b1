"""The row `hosts` of scripts/bench: an agent on another host, which is a network namespace with an sshd. Needs root.

link     the connection with the program there, once our code is there, against `ssh HOST true`; a run makes it while
         its own actors start
placed   from the request until the first actor's process is there, in a run, and the same for its successor
restart  from the kill of the actor there until its successor is ready, against the same
message  an answer of the actor there, against one of the actor at home and a bare pair of sockets over `ssh -R`
tree     the objects of a tree that has never been there, against `git push` of the same commit
dead     from the moment at which the host is gone until home gives it up, against lost_after_s
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from actors.edges import run_lock, travel
from shell.control_client import ControlClient, control_endpoint
from supervisor.control.protocol import PeekMailbox
from tests.lab.ssh_hosts import SshHost, configured, missing, ssh_host
from tests.lab.world import World

LEASE = {"stop_after_s": 3.0, "lost_after_s": 8.5}
ROUNDS = 3
MESSAGES = 300
HANG = '[[turn]]\nwhen = "."\n[[turn.step]]\nfault = { hang = true, times = 1000 }\n'


@dataclass
class Times:
    """Seconds of all rounds."""

    bare: list[float] = field(default_factory=list)
    links: list[float] = field(default_factory=list)
    placed: list[float] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    dead: list[float] = field(default_factory=list)


def bench_hosts() -> None:
    """See above."""
    if reason := missing():
        sys.exit(f"[bench] hosts: {reason}")
    found = Times()
    for number in range(1, ROUNDS + 1):
        print(f"hosts: round {number} of {ROUNDS}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="loop-bench-") as folder, World(Path(folder)) as world:
            scenario = world.base / "hang.toml"
            scenario.write_text(HANG)
            world.play_embedded(scenario)
            there = {name: value for name, value in world.environment.items() if name.startswith("LOOP_")}
            with ssh_host(world.base / "big", environment=there) as host:
                one_round(world, host, found, last=number == ROUNDS)
    yardstick = statistics.median(found.bare)
    for name, times in (("link", found.links), ("placed", found.placed), ("restart", found.restarts)):
        median = statistics.median(times)
        print(f"hosts: {name:<8} {median:.3f} s: {median / yardstick:.2f}x of {yardstick:.3f} s for ssh HOST true")
    median, limit = statistics.median(found.dead), LEASE["lost_after_s"]
    print(f"hosts: dead     {median:.2f} s, lost_after_s is {limit:g}  (median of {ROUNDS})", flush=True)


def one_round(world: World, host: SshHost, found: Times, *, last: bool) -> None:
    """One run with its worker on the host. Adds what it measures."""
    folder = world.home / ".loop"
    folder.mkdir(mode=0o700)
    (folder / "config.toml").write_text(configured(host, **LEASE))
    found.bare += [timed(lambda: ssh_true(host)) for _ in range(3)]
    if last:
        bare_messages(host)
        for files in (300, 30_000):
            trees(host, files)
    loop = world.start("--agent", "embedded", "--place=worker=big", "wait")
    loop.wait_for("are ready")
    log = world.run_directory() / "log"
    found.links.append(float(re.findall(r"is connected after ([\d.]+) s", log.read_text())[0]))
    found.placed.append(float(re.findall(r"is on big, ([\d.]+) s after", log.read_text())[0]))
    time.sleep(2)  # the program there has imported what a restart needs
    victim = loop.pid_of("worker")
    start = time.perf_counter()
    os.kill(victim, signal.SIGKILL)
    while loop.pid_of("worker") == victim:
        time.sleep(0.001)
    found.restarts.append(time.perf_counter() - start)
    if last:
        messages(world)
    start = time.perf_counter()
    host.end_all()
    loop.wait_for("host big is given up")
    found.dead.append(time.perf_counter() - start)


def messages(world: World) -> None:
    """Times answers of both actors in turn."""
    directory = world.run_directory()
    client = ControlClient(control_endpoint(directory), alive=lambda: run_lock.is_active(directory))
    times: dict[str, list[float]] = {"worker": [], "reviewer": []}
    try:
        for _ in range(MESSAGES):
            for actor, found in times.items():
                found.append(timed(lambda actor=actor: client.ask(PeekMailbox(actor=actor))))
    finally:
        client.close()
    away, home = (1_000 * statistics.median(found) for found in times.values())
    print(f"hosts: message  {away:.2f} ms against {home:.2f} ms at home: {away / home:.2f}x  (p50 of {MESSAGES})")


ECHO = """import sys, zmq
pair = zmq.Context().socket(zmq.PAIR)
pair.connect("ipc://" + sys.argv[1])
while True: pair.send(pair.recv())"""


def bare_messages(host: SshHost) -> None:
    """Times a pair of sockets over a connection of its own."""
    near, far = host.folder / "pair.sock", host.folder / "far.sock"
    with zmq.Context() as context, context.socket(zmq.PAIR) as pair:
        pair.bind(f"ipc://{near}")
        command = f"exec {sys.executable} -c {shlex.quote(ECHO)} {far}"
        ssh = subprocess.Popen([*host.host.ssh_command, "-R", f"{far}:{near}", host.name, command])
        try:
            times = [timed(lambda: (pair.send(b"x" * 200), pair.recv())) for _ in range(MESSAGES)]
        finally:
            ssh.kill()
            ssh.wait()
        pair.close(linger=0)
    print(f"hosts: message  {1_000 * statistics.median(times):.2f} ms for a bare pair of sockets over ssh -R")


def trees(host: SshHost, files: int) -> None:
    """Times both ways of a tree with so many files, each with a connection of its own."""
    here, there, bare = (host.folder / f"{name}-{files}" for name in ("here", "there", "bare"))
    for number in range(files):
        path = here / f"folder-{number % 100}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * 40)
    travel.begin(here)
    travel.begin(there)
    commit = travel.snapshot(here, host.folder / f"store-{files}", "worker").commit
    subprocess.run(["git", "init", "-q", "--bare", str(bare)], check=True)
    ours = timed(lambda: carry(host, here, there))
    ssh = " ".join(map(shlex.quote, host.host.ssh_command))
    push = ["git", "-c", f"core.sshCommand={ssh}", "push", "-q", f"{host.name}:{bare}", f"{commit}:refs/heads/come"]
    pushed = timed(lambda: subprocess.run(push, cwd=here, check=True))
    print(f"hosts: tree     {ours:.2f} s for {files:,} files: {ours / pushed:.2f}x of {pushed:.2f} s for git push")


def carry(host: SshHost, here: Path, there: Path) -> None:
    """As the couriers do: a bundle, the way, and its objects there."""
    data = travel.pack(here, "worker", ())
    command = [*host.host.ssh_command, host.name, "cat"]
    travel.unpack(there, subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout)


def ssh_true(host: SshHost) -> None:
    """A bare connection."""
    subprocess.run([*host.host.ssh_command, host.name, "true"], check=True)


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
