"""The row `hosts` of scripts/bench: an agent on another host, which is a network namespace with an sshd. Needs root.

Our code is there, in an installation of its own, as after the first start. Against `ssh HOST true` in the same round:

link        the connection with the program there; a run begins it before it imports its own parts
link alone  the same while home is idle
placed      from the request until the first actor's process is there, in a run, which waits for the link
first       the same from the moment at which the link was begun
imports     `ssh HOST python -c`, which imports what the process of every actor does, while home is idle
restart     from the kill of the actor there until its successor's process is there
place       `loop place reviewer other`, over a link that is there, until the reviewer is ready: the program `loop`,
            the end of the actor at home, and the start of its successor there
replaced    from the moment at which home gives the host up until the actor is ready at home

message     an answer of the actor there, against one of the actor at home and a bare pair of sockets over `ssh -R`
tree        the objects of a tree that has never been there, against `git push` of the same commit
dead        from the moment at which the host is gone until home gives it up, against lost_after_s
"""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import zmq
from msgspec.structs import replace

from actors.edges import run_lock, travel
from scripts.bench_rig import repeats, timed
from shell.control_client import ControlClient, control_endpoint
from supervisor.control.protocol import PeekMailbox
from supervisor.hosts import code
from tests.lab.ssh_hosts import SshHost, configured, missing, ssh_host
from tests.lab.world import World

LEASE = {"stop_after_s": 3.0, "lost_after_s": 8.5}
ROUNDS = 3
IDLE_S = 3.0  # the program there has then imported what a restart needs
PATIENCE_S = 60.0
MESSAGES = 300
HANG = '[[turn]]\nwhen = "."\n[[turn.step]]\nfault = { hang = true, times = 1000 }\n'


@dataclass
class Times:
    """Seconds of all rounds."""

    bare: list[float] = field(default_factory=list)
    rows: dict[str, list[float]] = field(default_factory=dict)

    def add(self, row: str, seconds: float) -> None:
        """One round's."""
        self.rows.setdefault(row, []).append(seconds)


def bench_hosts() -> None:
    """See above."""
    if reason := missing():
        sys.exit(f"[bench] hosts: {reason}")
    found, rounds = Times(), repeats(ROUNDS)
    for number in range(1, rounds + 1):
        print(f"hosts: round {number} of {rounds}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="loop-bench-") as folder, World(Path(folder)) as world:
            scenario = world.base / "hang.toml"
            scenario.write_text(HANG)
            world.play_embedded(scenario)
            there = {name: value for name, value in world.environment.items() if name.startswith("LOOP_")}
            with ssh_host(world.base / "big", environment=there, python="") as host:
                one_round(world, host, found, last=number == rounds)
    dead, limit = statistics.median(found.rows.pop("dead")), LEASE["lost_after_s"]
    yardstick = statistics.median(found.bare)
    for name, times in found.rows.items():
        median = statistics.median(times)
        print(f"hosts: {name:<10} {median:.3f} s: {median / yardstick:.2f}x of {yardstick:.3f} s for ssh HOST true")
    print(f"hosts: dead       {dead:.2f} s, lost_after_s is {limit:g}  (medians of {rounds})", flush=True)


def one_round(world: World, host: SshHost, found: Times, *, last: bool) -> None:
    """One run with its worker on the host, and later its reviewer, too. Adds what it measures."""
    folder = world.home / ".loop"
    folder.mkdir(mode=0o700)
    python = install(host)
    other = replace(host.host, name="other", ssh=host.name, root=f"{host.host.root}-other")  # another shim there
    Path(other.root).mkdir()
    (Path(other.root) / "code").symlink_to(Path(host.host.root) / "code")
    (folder / "config.toml").write_text(configured(host.host, other, **LEASE))
    for _ in range(3):
        found.bare.append(timed(lambda: over_ssh(host, "true")))
        found.add("imports", timed(lambda: over_ssh(host, f"{python} -c 'import actors.actor_process'")))
    if last:
        bare_messages(host)
        for files in (300, 30_000):
            trees(host, files)
    loop = world.start("--agent", "embedded", "--place=worker=big", "wait")
    loop.wait_for("are ready")
    log = Log(world.run_directory() / "log")
    link_s = float(log.wait_for(r"host big is connected after ([\d.]+) s"))
    found.add("link", link_s)
    found.add("placed", float(log.wait_for(r"worker#1 is on big, ([\d.]+) s after")))
    found.add("first", link_s + log.seconds_between("host big is connected", "worker#1 is on big"))
    time.sleep(IDLE_S)
    victim = loop.pid_of("worker")
    start = time.perf_counter()
    os.kill(victim, signal.SIGKILL)
    while loop.pid_of("worker") == victim:
        time.sleep(0.001)
    found.add("restart", time.perf_counter() - start)
    if last:
        messages(world)
    for number, place in enumerate(("other", "home", "other"), 2):
        start = time.perf_counter()
        world.run("place", "reviewer", place)
        log.wait_for(rf"(reviewer#{number}) is ready")
        took_s = time.perf_counter() - start
        time.sleep(IDLE_S)
    found.add("place", took_s)
    found.add("link alone", float(log.wait_for(r"host other is connected after ([\d.]+) s")))
    start = time.perf_counter()
    host.end_all()
    loop.wait_for("host big is given up")
    given_up = time.perf_counter()
    found.add("dead", given_up - start)
    log.wait_for(r"given up(?s:.)*(worker#\d+) is ready")
    found.add("replaced", time.perf_counter() - given_up)


class Log:
    """The log of a run, while it is written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def wait_for(self, pattern: str) -> str:
        """The first group, once it is there."""
        until = time.monotonic() + PATIENCE_S
        while (hit := re.search(pattern, self._path.read_text(errors="replace"))) is None:
            if time.monotonic() > until:
                sys.exit(f"[bench] hosts: {pattern!r} is not in {self._path} after {PATIENCE_S:g} s")
            time.sleep(0.002)
        return hit[1]

    def seconds_between(self, first: str, last: str) -> float:
        """Between the first lines with these words, which are there."""
        text = self._path.read_text(errors="replace")
        begin, end = (re.search(rf"(?m)^(\S+ \S+) .*{words}", text) for words in (first, last))
        assert begin is not None
        assert end is not None
        return (datetime.fromisoformat(end[1]) - datetime.fromisoformat(begin[1])).total_seconds()


def install(host: SshHost) -> Path:
    """As the first start does, with this machine's packages: an installation without a finder of editable ones.

    Returns its Python.
    """
    folder = Path(host.host.root) / "code" / code.digest()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    (packages,) = (folder / "venv" / "lib").glob("*/site-packages")
    with zipfile.ZipFile(io.BytesIO(code.wheel())) as wheel:
        wheel.extractall(packages)
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(packages)], check=True)
    (folder / "installed").touch()
    return folder / "venv" / "bin" / "python"


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


def over_ssh(host: SshHost, command: str) -> None:
    """A bare connection with a command."""
    subprocess.run([*host.host.ssh_command, host.name, command], check=True)
