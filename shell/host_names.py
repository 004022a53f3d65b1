"""Looks at the hosts that the user names, before anything is made: a mistyped one is a bad value, and not a dead host.

Nothing is connected. `ssh -G` says what a name comes to by the user's configuration, and the resolver whether there is
such a machine. What cannot be known here is left to the start: a name that a jump host resolves, a resolver that does
not answer.
"""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from actors import values
from actors.edges import environments, git
from actors.edges.programs import ask
from actors.errors import UserError
from actors.hosts import HOME, Host, placed

RESOLVE_S = 2.0
SSH_S = 5.0
_ELSEWHERE = ("proxyjump", "proxycommand")
_UNKNOWN = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


def check(typed: Iterable[str], known: Mapping[str, Host], cwd: Path) -> None:
    """Raises `UserError` for a typed place, as `--place` has it, that cannot be one."""
    for value in typed:
        for host in placed([value], known).values():
            if git.top_level(cwd) is None:
                raise UserError(
                    f"--place {value}: {cwd} is in no git repository, so its files cannot go to {host.name}: "
                    "run git init in it"
                )
            if not host.join and (why := _why_none(host, known)):
                raise UserError(f"--place {value}: {why}")


def _why_none(host: Host, known: Mapping[str, Host]) -> str:
    """Why there is no such host; "" = there may be one."""
    program = host.ssh_command[0]
    if shutil.which(program) is None:
        what = "install OpenSSH" if host.ssh_command == ("ssh",) else f"correct ssh_command in [hosts.{host.name}]"
        return f"there is no program {program}: {what}"
    answer = ask(
        [*host.ssh_command, "-G", host.destination],
        environment=environments.handed_on(),
        cwd=Path("/"),
        timeout_s=SSH_S,
    )
    settings = dict(line.lower().partition(" ")[::2] for line in answer.out.splitlines())
    address = settings.get("hostname", "")
    if answer.code != 0 or not address or any(settings.get(each, "none") != "none" for each in _ELSEWHERE):
        return ""
    if not _is_unknown(address):
        return ""
    if host.name in known:
        return f"there is no such host, {address}: correct its name, or ssh in [hosts.{host.name}]"
    meant = values.meant(host.name, [*known, HOME])
    return f"there is no such host{meant}: neither ssh nor [hosts.{host.name}] has an address for it"


def _is_unknown(address: str) -> bool:
    found: list[int | None] = []

    def resolve() -> None:
        try:
            socket.getaddrinfo(address, None)
        except socket.gaierror as error:
            found.append(error.errno)
        except (OSError, UnicodeError):  # it is for ssh to say
            pass

    resolving = threading.Thread(target=resolve, name="resolver", daemon=True)
    resolving.start()
    resolving.join(RESOLVE_S)
    return bool(found) and found[0] in _UNKNOWN
