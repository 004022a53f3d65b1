"""Hosts for tests: a network namespace each, with a real sshd on its address. Needs root, iproute2 and openssh-server.

The file system and the process table are those of this machine; the network is not. Keys, known hosts and configuration
are private to the test. `SetEnv` gives the far side a home of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from actors.edges import processes
from actors.hosts import Host
from tests.lab.slow_cable import slow_cable
from tests.lab.world import PATIENCE_S

SHIM = "loop-shim"  # in the command line of our program on a host, and in those of what is forked off it
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@cache
def missing() -> str:
    """Why there can be no hosts here; "" = there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not Path(SSHD).exists():
        return "no sshd: apt-get install openssh-server"
    if shutil.which("ip") is None:
        return "no ip: apt-get install iproute2"
    name = f"loop-try-{uuid.uuid4().hex[:6]}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, errors="replace", check=False)
    if tried.returncode:
        return f"no network namespace can be made here: {tried.stderr.strip()}"
    run("ip", "netns", "del", name)
    return ""


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


@dataclass
class SshHost:
    """One host. `cut` and `mend` take its cable out and put it back."""

    name: str
    host: Host
    folder: Path
    namespace: str
    cable: str
    address: str
    near: str  # our end of the cable: what listens there can be reached from the host
    environment: dict[str, str]
    far: str  # the host's end of the cable
    slow: tuple[float, float] | None = None  # delay in seconds, and the share of packets that is lost
    settings: tuple[str, ...] = ()  # further lines of sshd's configuration
    sshd: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The home directory on the host."""
        return self.folder / "home"

    def cut(self) -> None:
        run("ip", "link", "set", self.cable, "down")

    def mend(self) -> None:
        run("ip", "link", "set", self.cable, "up")

    def lose(self, *, to_host: bool, is_lost: bool = True) -> None:
        """Loses every packet in one direction from now on, or no more: it is sent to a card that nobody has."""
        namespace, address, cable = ("", self.address, self.cable) if to_host else (self.namespace, self.near, self.far)
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        if is_lost:
            run(*inside, "ip", "neigh", "replace", address, "lladdr", "02:00:00:00:00:01", "dev", cable)
        else:
            run(*inside, "ip", "neigh", "del", address, "dev", cable)

    def stop(self, sign: str) -> list[int]:
        """Stops, as SIGSTOP does, each process in its network whose command line has these words."""
        found = self.pids_of(sign)
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return found

    def pids_of(self, sign: str) -> list[int]:
        """Each process in its network whose command line has these words; of `SHIM` not what was forked off it."""
        found = []
        for pid, words in self.commands_by_pid().items():
            with suppress(psutil.NoSuchProcess):
                if sign in words and not (sign == SHIM and SHIM in " ".join(_parent(pid).cmdline())):
                    found.append(pid)
        return found

    def reboot(self) -> None:
        """Ends everything there, takes its network away, and starts it again."""
        self.end_all()
        if self.slow is None:  # the kernel takes it away some time after the namespace
            run("ip", "link", "del", self.cable)
        run("ip", "netns", "del", self.namespace)
        self.make_network()
        self.start_sshd()

    def make_network(self) -> None:
        """Its network, and the cable that leads to it."""
        run("ip", "netns", "add", self.namespace)
        if self.slow is None:
            run("ip", "link", "add", self.cable, "type", "veth", "peer", "name", self.far, "netns", self.namespace)
        else:
            run("ip", "link", "set", self.far, "netns", self.namespace)
        run("ip", "addr", "add", f"{self.near}/24", "dev", self.cable)
        run("ip", "link", "set", self.cable, "up")
        for words in (
            ["addr", "add", f"{self.address}/24", "dev", self.far],
            ["link", "set", self.far, "up"],
            ["link", "set", "lo", "up"],
            ["route", "add", "default", "via", self.near],
        ):
            run("ip", "netns", "exec", self.namespace, "ip", *words)

    def end_connections(self) -> None:
        """As a router that forgets them: what sshd has started for a connection ends, sshd itself stays."""
        self.kill("sshd: ")

    def kill(self, sign: str) -> int:
        """Kills each process in its network whose command line has these words. Returns how many."""
        count = 0
        for pid in self.pids_of(sign):
            with suppress(ProcessLookupError):
                if self.sshd is None or pid != self.sshd.pid:
                    os.kill(pid, signal.SIGKILL)
                    count += 1
        return count

    def pids(self) -> list[int]:
        """All processes in its network."""
        found = subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, errors="replace", check=False
        )
        return [int(pid) for pid in found.stdout.split()]

    def commands_by_pid(self) -> dict[int, str]:
        """The command line of each process in its network."""
        found = {}
        for pid in self.pids():
            with suppress(psutil.NoSuchProcess):
                found[pid] = " ".join(psutil.Process(pid).cmdline())  # "": it is about to end
        return found

    def commands(self) -> list[str]:
        """All command lines."""
        return [words for words in self.commands_by_pid().values() if words]

    def left(self) -> list[str]:
        """The command lines of all that runs there, but for its ssh server."""
        return [words for words in self.commands() if "sshd" not in words]

    def left_at_last(self, most: int = 0) -> list[str]:
        """The same, when no more than so many are left. What ends does so soon after its home."""
        until_s = time.monotonic() + PATIENCE_S
        while len(found := self.left()) > most and time.monotonic() < until_s:
            for pid, words in self.commands_by_pid().items():
                if "sshd" not in words:
                    processes.wait_ended(pid, 0.1)
        return found

    def start_sshd(self, **variables: str) -> None:
        """Starts it, again with more variables for what it starts. Returns when it listens."""
        self.end_sshd()
        self.environment |= variables
        settings = [
            "Port 2222",
            f"ListenAddress {self.address}",
            f"HostKey {self.folder}/host_key",
            f"AuthorizedKeysFile {self.folder}/keys",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "PidFile none",
            "PermitRootLogin yes",
            *self.settings,
            "SetEnv " + " ".join(f'"{key}={value}"' for key, value in self.environment.items()),
        ]
        (self.folder / "sshd_config").write_text("\n".join(settings) + "\n")
        command = ["ip", "netns", "exec", self.namespace, SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        self.sshd = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert self.sshd.stderr is not None
        while b"Server listening" not in (line := self.sshd.stderr.readline()):
            assert line, "sshd has ended"
        threading.Thread(target=_drain, args=(self.sshd.stderr,), daemon=True).start()

    def end_sshd(self) -> None:
        """Kills the one that listens; connections stay."""
        if self.sshd is not None:
            self.sshd.kill()
            self.sshd.wait()
            self.sshd = None

    def end_all(self) -> None:
        """Kills everything in its network, as the end of a machine does, until there is nothing."""
        self.end_sshd()
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                processes.wait_ended(pid, PATIENCE_S)


def _free_net() -> str:
    """Three numbers of a net in which no card of ours is: a second one would be the wrong way to half of the hosts."""
    ours = [address.address for addresses in psutil.net_if_addrs().values() for address in addresses]
    nets = (f"10.{200 + number % 50}.{number // 50 % 256}" for number in iter(lambda: uuid.uuid4().int, 0))
    return next(net for net in nets if not any(address.startswith(f"{net}.") for address in ours))


def _parent(pid: int) -> psutil.Process:
    return psutil.Process(psutil.Process(pid).ppid())


def _drain(stream: IO[bytes]) -> None:
    with stream:
        while stream.read(65_536):
            pass


@contextmanager
def ssh_host(
    folder: Path,
    name: str = "big",
    environment: Mapping[str, str] = {},
    *,
    slow: tuple[float, float] | None = None,
    **changes: object,
) -> Iterator[SshHost]:
    """A host that runs until the block ends, with everything in it. `slow`: delay in seconds, and share of losses."""
    folder.mkdir()
    mark = uuid.uuid4().hex[:6]
    namespace, cable, far_cable = f"loop-{mark}", f"lh{mark}", f"lf{mark}"
    net = _free_net()
    address, near = f"{net}.2", f"{net}.1"
    host = SshHost(
        name=name,
        host=Host(
            name=name,
            ssh_command=("ssh", "-F", str(folder / "ssh_config")),
            **{"root": str(folder / "loop"), "python": sys.executable, **changes},  # type: ignore[arg-type]
        ),
        folder=folder,
        namespace=namespace,
        cable=cable,
        far=far_cable,
        slow=slow,
        address=address,
        near=near,
        environment={"HOME": str(folder / "home"), "PATH": os.environ["PATH"], **environment},
    )
    with slow_cable(cable, far_cable, *slow) if slow else nullcontext():
        yield from _run(host)


def _run(host: SshHost) -> Iterator[SshHost]:
    folder, name, address = host.folder, host.name, host.address
    try:
        host.make_network()
        for key in ("host_key", "user_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key))
        (folder / "home").mkdir()
        (folder / "keys").write_text((folder / "user_key.pub").read_text())
        kind, key, *_ = (folder / "host_key.pub").read_text().split()
        (folder / "known_hosts").write_text(f"[{address}]:2222 {kind} {key}\n")
        (folder / "ssh_config").write_text(
            f"Host {name}\n HostName {address}\n Port 2222\n User root\n IdentityFile {folder}/user_key\n"
            f" IdentitiesOnly yes\n UserKnownHostsFile {folder}/known_hosts\n GlobalKnownHostsFile /dev/null\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        host.start_sshd()
        yield host
    finally:
        host.end_all()
        subprocess.run(["ip", "netns", "del", host.namespace], stderr=subprocess.DEVNULL, check=False)


def configured(*hosts: SshHost | Host, **lease: float) -> str:
    """Their tables for the user's configuration."""
    tables = []
    for each in hosts:
        host = each.host if isinstance(each, SshHost) else each
        rows = {"ssh_command": list(host.ssh_command), "root": host.root, "python": host.python, "ssh": host.ssh}
        known = {key: value for key, value in {**rows, **lease}.items() if value}
        tables.append(f"[hosts.{host.name}]\n" + "".join(f"{key} = {value!r}\n" for key, value in known.items()))
    return "\n".join(tables)
