"""A look at a host, without installing or starting anything there: for `loop doctor`. Blocks; any thread."""

from __future__ import annotations

import inspect
import shlex
from pathlib import Path

import msgspec

from actors.edges import environments
from actors.edges.programs import ask
from actors.hosts import Host
from actors.text import valid
from supervisor.hosts import agents_there, code
from supervisor.hosts.link import HostUnreachableError
from supervisor.hosts.ssh_link import why

CONNECT_S = 8
TIMEOUT_S = 20.0
_MARK = "loop-probe "
# Standard library of Python 3.6.
_PROGRAM = """
import json, os, shutil, subprocess, sys
ask = json.loads(sys.argv[1])
def code_of(python):
    line = "from supervisor.hosts import code; print(code.digest())"
    try:
        return subprocess.check_output([python, "-P", "-c", line], stderr=subprocess.DEVNULL).decode().strip()
    except Exception:
        return ""
if ask["python"]:
    known = code_of(os.path.expanduser(ask["python"]))
else:
    done = os.path.join(os.path.expanduser(ask["root"]), "code", ask["code"], "installed")
    known = ask["code"] if os.path.exists(done) else ""
found = {"python": "%d.%d.%d" % sys.version_info[:3], "git": bool(shutil.which("git")), "code": known}
found["agents"] = agents_there()
print(ask["mark"] + json.dumps(found))"""


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """What is there. `code`: of the loop there, "" = none. `agents`: those on its PATH, and whether a login is seen."""

    python: str
    git: bool
    code: str
    agents: dict[str, bool]

    @property
    def is_ours(self) -> bool:
        """Whether this version of loop is there."""
        return self.code == code.digest()


def probe(host: Host) -> Probed:
    """Looks there, over a connection of its own. Raises `HostUnreachableError`."""
    request = {"python": host.python, "root": host.root, "code": code.digest(), "mark": _MARK}
    program = f"{inspect.getsource(agents_there)}{_PROGRAM}"
    words = ("python3", "-c", program, msgspec.json.encode(request).decode())
    options = ("-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}", "-o", "ControlPath=none")
    command = [*host.ssh_command, "-T", *options, host.destination, " ".join(map(shlex.quote, words))]
    answer = ask(command, environment=environments.handed_on(), cwd=Path("/"), timeout_s=TIMEOUT_S)
    if answer.code is None:
        raise HostUnreachableError(f"host {host.name}: {answer.err}")
    if answer.code != 0:
        raise HostUnreachableError(why(host, answer.code, [valid(line) for line in answer.err.splitlines()]))
    for line in answer.out.splitlines():
        if line.startswith(_MARK):
            try:
                return msgspec.json.decode(line.removeprefix(_MARK), type=Probed)
            except msgspec.DecodeError as error:
                raise HostUnreachableError(f"host {host.name}: its answer cannot be read: {error}") from error
    raise HostUnreachableError(f"host {host.name}: its login shell ends without running a command")
