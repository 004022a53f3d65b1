"""The ssh connection to a host: one `ssh` program, which is its own control master, and what it carries.

Always the user's `ssh` with the user's configuration, never a library: jump hosts, hardware keys and certificates work.
Never the user's control master: ours ends with us. The remote command's stdin is the shim's lifeline. Every way in
which it can fail is one line, with the next step.
"""

from __future__ import annotations

import inspect
import shlex
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from actors.edges import environments, processes
from actors.edges.programs import ask
from actors.errors import LoopError, OperationalError, PermanentError
from actors.hosts import Host
from actors.text import read_object, valid
from supervisor.hosts import code, stage1

CONNECT_S = 10
ALIVE_S, ALIVE_COUNT = 5, 3  # a link that is cut ends after 15 to 20 s
INSTALL_S = 600.0
_READ_BYTES = 65_536
_LONGEST_LINE = 10_000
_ENDED_BY_SSH = 255
# Reads exactly the program: what follows is for it. A pipe may give less than it is asked for.
_BOOT = """import os
def read(n):
    s = b""
    while len(s) < n: s += os.read(0, n - len(s)) or exit(1)
    return s
exec(read(int(read(8))))"""

# What ssh says, and what the user can do about it. The first `LASTING` do not pass by themselves.
_WORDS = (
    ("could not resolve", "there is no such host: correct its name, or ssh in [hosts.{name}]"),
    ("host key verification failed", "its key is not known: run ssh {to} once, and compare the key"),
    ("remote host identification has changed", "its key has changed: if that is right, run ssh-keygen -R {to}"),
    ("permission denied", "it refuses the login without a password: set up a key, and try ssh -o BatchMode=yes {to}"),
    ("command not found", "python3 is not installed there: install Python 3.11 or newer"),
    ("python3: not found", "python3 is not installed there: install Python 3.11 or newer"),
    ("connection refused", "no ssh server answers there: start sshd, or correct the port"),
    ("connection timed out", "it does not answer: is it on, and reachable from here?"),
    ("no route to host", "it cannot be reached from here: is the network, or the VPN, up?"),
    ("network is unreachable", "it cannot be reached from here: is the network, or the VPN, up?"),
)
LASTING = 6


class HostUnreachableError(OperationalError):
    """The host cannot be used now. The text is one line: what is wrong, and what to do."""


class HostUnusableError(HostUnreachableError, PermanentError):
    """The host cannot be used before the user has changed something."""


def failure(host: Host, code: int | None, words: list[str]) -> HostUnreachableError:
    """The error for a connection that has ended. Pure."""
    text = "\n".join(words).lower()
    is_lasting = any(sign in text for sign, _ in _WORDS[:LASTING])
    return (HostUnusableError if is_lasting else HostUnreachableError)(why(host, code, words))


def why(host: Host, code_: int | None, words: list[str]) -> str:
    """One line for the user: how ssh, or the program behind it, has failed. Pure."""
    text = "\n".join(words).lower()
    for sign, advice in _WORDS:
        if sign in text:
            return f"host {host.name}: {advice.format(name=host.name, to=host.destination)}"
    last = next((word.strip() for word in reversed(words) if word.strip()), "")
    how = "ssh" if code_ == _ENDED_BY_SSH else "the program there"
    return f"host {host.name}: {how} ended with {code_}: {last or 'without a word'}"


class SshLink:
    """One connection. `open` once; `read` in one thread, `send` in any; `close` any number of times."""

    def __init__(self, host: Host, control: Path, tell: Callable[[str], None]) -> None:
        self.host = host
        self._control = control
        self._tell = tell  # what the programs there print: a line at a time, any thread
        self._words: deque[str] = deque(maxlen=20)
        self._writing = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Connects, and starts the shim. Raises `HostUnreachableError`."""
        host = self.host
        python = shlex.quote(host.python) if host.python and not host.python.startswith("~") else "python3"
        command = f"exec {python} -c {shlex.quote(_BOOT)}"
        try:
            self._process = subprocess.Popen(
                [*host.ssh_command, "-T", *self._options(), host.destination, command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environments.handed_on(),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise HostUnreachableError(f"{host.ssh_command[0]} cannot be started: {error}: install OpenSSH") from error
        threading.Thread(target=self._hear, args=(self._process,), name=f"ssh {host.name}", daemon=True).start()
        limit = threading.Timer(INSTALL_S, self.close)
        limit.start()
        try:
            self._start_shim()
        except LoopError:
            self.close()
            raise
        except OSError as error:
            raise self._failed() from error
        finally:
            limit.cancel()

    def _options(self) -> list[str]:
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECT_S),
            "ServerAliveInterval": str(ALIVE_S),
            "ServerAliveCountMax": str(ALIVE_COUNT),
            "ExitOnForwardFailure": "yes",
            "ControlMaster": "yes",
            "ControlPersist": "no",
            "ControlPath": str(self._control),
            "PermitLocalCommand": "no",
            "RequestTTY": "no",
        }
        return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]

    def _start_shim(self) -> None:
        host = self.host
        request = {
            "host": host.name,
            "root": host.root,
            "python": host.python,
            "code": code.digest(),
            "wheel": code.wheel_name(),
            "extras": "[agents]",
        }
        source = f"{inspect.getsource(stage1)}\nstage1({request!r})\n".encode()
        self.send(f"{len(source):<8}".encode() + source)
        while True:
            line = self._line()
            mark, _, words = line.partition(stage1.MARK)
            if mark or not words:
                continue  # a login shell has printed it
            match read_object(words):
                case {"say": str(text)}:
                    self._tell(valid(text))
                case {"want": "wheel"}:
                    wheel = code.wheel()
                    self.send(f"{len(wheel)}\n".encode() + wheel)
                case {"fail": str(text)}:
                    raise HostUnusableError(f"host {host.name}: {valid(text)}")
                case {"go": _}:
                    return

    def _line(self) -> str:
        line = b""
        while not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
            data = self.read(1)
            if not data:
                raise self._failed()
            line += data
        return line.decode(errors="replace")

    def read(self, most: int = _READ_BYTES) -> bytes:
        """What comes next from the shim; b"" = the link has ended."""
        process = self._process
        assert process is not None, "the link is not open"
        assert process.stdout is not None
        try:
            return process.stdout.read(most) or b""
        except (OSError, ValueError):
            return b""

    def send(self, data: bytes) -> None:
        """To the shim. Raises OSError when the link has ended."""
        process = self._process
        assert process is not None, "the link is not open"
        assert process.stdin is not None
        with self._writing:
            while data:
                data = data[process.stdin.write(data) or 0 :]

    def forward_socket(self, far: str, near: Path) -> None:
        """Connections to the socket `far` of the host arrive at `near`. Raises `HostUnreachableError`."""
        self._control_command("-R", f"{far}:{near}")

    def forward_port(self, port: int) -> int:
        """A loopback port of the host whose connections arrive at our `port`."""
        answer = self._control_command("-R", f"127.0.0.1:0:127.0.0.1:{port}")
        if not answer.isdecimal():
            raise HostUnreachableError(f"host {self.host.name}: ssh named no port for the bridge, but {answer!r}")
        return int(answer)

    def _control_command(self, *words: str) -> str:
        command = [*self.host.ssh_command, "-S", str(self._control), "-O", "forward", *words, self.host.destination]
        answer = ask(command, environment=environments.handed_on(), cwd=Path("/"), timeout_s=CONNECT_S)
        if answer.code != 0:
            last = (answer.err.strip().splitlines() or ["no answer"])[-1]
            raise HostUnreachableError(
                f"host {self.host.name}: its sshd refuses a forwarding ({last}): "
                "allow AllowTcpForwarding and AllowStreamLocalForwarding there"
            )
        return answer.first_line

    def close(self) -> None:
        """Ends the connection, and with it the shim's lifeline."""
        if (process := self._process) is None:
            return
        if process.poll() is None:
            processes.kill_tree(process.pid)
        process.wait()
        self._control.unlink(missing_ok=True)

    def ended(self) -> str:
        """Why the link has ended, in one line."""
        process = self._process
        assert process is not None, "the link is not open"
        self.close()
        return why(self.host, process.returncode, list(self._words))

    def _failed(self) -> HostUnreachableError:
        process = self._process
        assert process is not None, "the link is not open"
        try:
            process.wait(CONNECT_S)
        except subprocess.TimeoutExpired:
            self.close()
        self.close()
        return failure(self.host, process.returncode, list(self._words))

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        rest = b""
        while data := process.stderr.read(_READ_BYTES):
            *lines, rest = (rest + data)[-_READ_BYTES * 4 :].split(b"\n")
            for line in lines:
                self._words.append(valid(line.decode(errors="replace")))
                self._tell(self._words[-1])
