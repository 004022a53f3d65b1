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
from pathlib import Path

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from actors.hosts import Host

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def missing() -> str:
    """Why there can be no hosts here; "" = there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not Path(SSHD).exists():
        return "no sshd: apt-get install openssh-server"
    if shutil.which("ip") is None:
        return "no ip: apt-get install iproute2"
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
    sshd: subprocess.Popen[bytes] | None

    def cut(self) -> None:
        run("ip", "link", "set", self.cable, "down")

    def mend(self) -> None:
        run("ip", "link", "set", self.cable, "up")

    def end_connections(self) -> None:
        """As a router that forgets them: what sshd has started for a connection ends, sshd itself stays."""
        self.kill("sshd: ")

    def kill(self, sign: str) -> None:
        """Kills each process in its network whose command line has these words."""
        for pid in self.pids():
            with suppress(psutil.NoSuchProcess):
                if sign in " ".join(psutil.Process(pid).cmdline()) and (self.sshd is None or pid != self.sshd.pid):
                    os.kill(pid, signal.SIGKILL)

    def pids(self) -> list[int]:
        """All processes in its network."""
        found = subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, errors="replace", check=False
        )
        return [int(pid) for pid in found.stdout.split()]


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
    run("ip", "netns", "add", namespace)
    sshd: subprocess.Popen[bytes] | None = None
    reader: threading.Thread | None = None
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
        variables = {"HOME": str(folder / "home"), "PATH": os.environ["PATH"], **environment}
        settings = [
            "Port 2222",
            f"ListenAddress {address}",
            f"HostKey {folder}/host_key",
            f"AuthorizedKeysFile {folder}/keys",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "PidFile none",
            "PermitRootLogin yes",
            "SetEnv " + " ".join(f'"{key}={value}"' for key, value in variables.items()),
        ]
        (folder / "sshd_config").write_text("\n".join(settings) + "\n")
        (folder / "keys").write_text((folder / "user_key.pub").read_text())
        kind, key, *_ = (folder / "host_key.pub").read_text().split()
        (folder / "known_hosts").write_text(f"[{address}]:2222 {kind} {key}\n")
        (folder / "ssh_config").write_text(
            f"Host {name}\n HostName {address}\n Port 2222\n User root\n IdentityFile {folder}/user_key\n"
            f" IdentitiesOnly yes\n UserKnownHostsFile {folder}/known_hosts\n GlobalKnownHostsFile /dev/null\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        command = ["ip", "netns", "exec", namespace, SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
        sshd = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert sshd.stderr is not None
        while b"Server listening" not in (line := sshd.stderr.readline()):
            assert line, "sshd has ended"
        reader = threading.Thread(target=sshd.stderr.read, daemon=True)
        reader.start()
        host = Host(
            name=name,
            ssh_command=("ssh", "-F", str(folder / "ssh_config")),
            root=str(folder / "loop"),
            python=sys.executable,
            **changes,  # type: ignore[arg-type]
        )
        yield SshHost(name, host, folder, namespace, cable, sshd)
    finally:
        if sshd is not None:
            sshd.kill()
            sshd.wait()
        for pid in SshHost(name, Host(name=name), folder, namespace, cable, sshd).pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if reader is not None:
            reader.join(10)
        if sshd is not None and sshd.stderr is not None:
            sshd.stderr.close()
        run("ip", "netns", "del", namespace)
