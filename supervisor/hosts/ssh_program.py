"""The `ssh` program of a connection to a host, with the first words to our code there.

Imports little. A run starts it as soon as it holds its lock, and then imports its own parts: the shim there begins
meanwhile. What comes back waits for the link (ssh_link).
"""

from __future__ import annotations

import inspect
import json
import math
import shlex
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from actors.edges import environments, processes
from actors.hosts import Host
from supervisor.hosts import code, stage1
from supervisor.hosts.link import NAME

CONNECT_S = 10
ALIVE_S, ALIVE_COUNT = 5, 3  # ssh takes a link for dead after that long, or when its lease has ended: see `_options`
# Reads exactly the program: what follows is for it. A pipe may give less than it is asked for.
_BOOT = """import os
def read(n):
    s = b""
    while len(s) < n: s += os.read(0, n - len(s)) or exit(1)
    return s
exec(read(int(read(8))))"""


@dataclass(frozen=True, kw_only=True)
class SshProgram:
    """The `ssh` of one connection, which connects. Nothing was read from it yet."""

    process: subprocess.Popen[bytes]
    far_bus: str  # a socket on the host that leads to the bus
    begun_s: float  # on time.monotonic's clock

    def end(self) -> None:
        """Ends it, and waits for its end."""
        if self.process.poll() is None:
            processes.kill_tree(self.process.pid)
        self.process.wait()


def start_ssh(host: Host, far_bus: str, begin: bytes, bus: Path, bridge_port: int) -> SshProgram:
    """Starts it with the ways back to home: from `far_bus` to the bus, and to the bridge unless its port is 0.

    `begin`: for the shim. Raises OSError.
    """
    begun_s = time.monotonic()
    ways = ["-R", f"{far_bus}:{bus}"]
    if bridge_port:
        ways += ["-R", f"127.0.0.1:0:127.0.0.1:{bridge_port}"]
    process = subprocess.Popen(
        [*host.ssh_command, "-T", *_options(host), *ways, host.destination, boot_command(host)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environments.handed_on(),
        start_new_session=True,
        bufsize=0,
    )
    _begin(process, host, begin)
    return SshProgram(process=process, far_bus=far_bus, begun_s=begun_s)


def _begin(process: subprocess.Popen[bytes], host: Host, begin: bytes) -> None:
    """Says all that it says before an answer: a pipe has room for it. The digest is found while ssh connects."""
    assert process.stdin is not None
    request = {
        "host": host.name,
        "root": host.root,
        "python": host.python,
        "code": code.digest(),
        "extras": "[agents]",
        "begin": begin.hex(),
    }
    source = f"{inspect.getsource(stage1)}\nstage1({request!r})\n".encode()
    data = f"{code.digest()}\n{len(source):<8}".encode() + source
    with suppress(OSError):  # it has ended: its reader says how
        while data:
            data = data[process.stdin.write(data) or 0 :]


def _options(host: Host) -> list[str]:
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_S),
        "ServerAliveInterval": str(ALIVE_S),
        "ServerAliveCountMax": str(max(ALIVE_COUNT, math.ceil(host.stop_after_s / ALIVE_S))),
        "ExitOnForwardFailure": "no",
        "ClearAllForwardings": "no",
        "LogLevel": "INFO",  # it names the port
        "ControlMaster": "no",
        "ControlPath": "none",
        "PermitLocalCommand": "no",
        "RequestTTY": "no",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def boot_command(host: Host) -> str:
    """What the user's shell on the host is given, whichever that is: it runs `_BOOT` with the best Python. Pure.

    The digest of our code is the first line of stdin. So it is found while ssh connects.
    """
    if host.python:
        python = _shell_path(host.python)
        found = f"[ -x {python} ]"
    else:
        folder = f'{_shell_path(f"{host.root}/code")}/"$code"'
        python = f"{folder}/venv/bin/python"
        found = f"[ -f {folder}/installed ] && [ -x {python} ]"
    words = f'-c "$0" {NAME}'
    script = f"read -r code; {found} && exec {python} {words}; exec python3 {words}"
    return f"exec sh -c {shlex.quote(script)} {shlex.quote(f'exec({json.dumps(_BOOT)})')}"


def _shell_path(path: str) -> str:
    """The path as a word of sh, where `~` is the home directory there."""
    at_home, _, rest = path.partition("~/")
    return f'"$HOME"/{shlex.quote(rest)}' if not at_home and rest else shlex.quote(path)
