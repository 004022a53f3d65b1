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
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from actors.edges import processes
from actors.hosts import Host

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
    sshd: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The home directory on the host."""
        return self.folder / "home"

    def cut(self) -> None:
        run("ip", "link", "set", self.cable, "down")

    def mend(self) -> None:
        run("ip", "link", "set", self.cable, "up")

    def end_connections(self) -> None:
        """As a router that forgets them: what sshd has started for a connection ends, sshd itself stays."""
        self.kill("sshd: ")

    def kill(self, sign: str) -> int:
        """Kills each process in its network whose command line has these words. Returns how many."""
        count = 0
        for pid in self.pids():
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                if sign in " ".join(psutil.Process(pid).cmdline()) and (self.sshd is None or pid != self.sshd.pid):
                    os.kill(pid, signal.SIGKILL)
                    count += 1
        return count

    def pids(self) -> list[int]:
        """All processes in its network."""
        found = subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, errors="replace", check=False
        )
        return [int(pid) for pid in found.stdout.split()]

    def commands(self) -> list[str]:
        """The command line of each process in its network."""
        found = []
        for pid in self.pids():
            with suppress(psutil.NoSuchProcess):
                found.append(" ".join(psutil.Process(pid).cmdline()))
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
                processes.wait_ended(pid, 5.0)


def _drain(stream: IO[bytes]) -> None:
    with stream:
        while stream.read(65_536):
            pass


@contextmanager
def ssh_host(
    folder: Path, name: str = "big", environment: Mapping[str, str] = {}, **changes: object
) -> Iterator[SshHost]:
    """A host that runs until the block ends, with everything in it."""
    folder.mkdir()
    mark = uuid.uuid4().hex[:6]
    namespace, cable, far_cable = f"loop-{mark}", f"lh{mark}", f"lf{mark}"
    net = f"10.{200 + int(mark[:2], 16) % 50}.{int(mark[2:4], 16)}"
    address, near = f"{net}.2", f"{net}.1"
    host = SshHost(
        name=name,
        host=Host(
            name=name,
            ssh_command=("ssh", "-F", str(folder / "ssh_config")),
            root=str(folder / "loop"),
            python=sys.executable,
            **changes,  # type: ignore[arg-type]
        ),
        folder=folder,
        namespace=namespace,
        cable=cable,
        address=address,
        near=near,
        environment={"HOME": str(folder / "home"), "PATH": os.environ["PATH"], **environment},
    )
    run("ip", "netns", "add", namespace)
    try:
        run("ip", "link", "add", cable, "type", "veth", "peer", "name", far_cable, "netns", namespace)
        run("ip", "addr", "add", f"{near}/24", "dev", cable)
        run("ip", "link", "set", cable, "up")
        for words in (
            ["addr", "add", f"{address}/24", "dev", far_cable],
            ["link", "set", far_cable, "up"],
            ["link", "set", "lo", "up"],
        ):
            run("ip", "netns", "exec", namespace, "ip", *words)
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
        run("ip", "netns", "del", namespace)


def configured(*hosts: SshHost, **lease: float) -> str:
    """Their tables for the user's configuration."""
    tables = []
    for each in hosts:
        rows = {"ssh_command": list(each.host.ssh_command), "root": each.host.root, "python": each.host.python, **lease}
        tables.append(f"[hosts.{each.name}]\n" + "".join(f"{key} = {value!r}\n" for key, value in rows.items()))
    return "\n".join(tables)
