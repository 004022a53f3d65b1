"""The ssh connection to a host: one `ssh` program, and what it carries.

Always the user's `ssh` with the user's configuration, never a library: jump hosts, hardware keys and certificates work.
Never the user's control master: ours ends with us. The remote command's stdin is the shim's lifeline. Every way in
which it can fail is one line, with the next step.

Home waits once for a host: the ways back are asked for with the connection, and the shim's first words go with the
program. The user's own forwardings may fail, since another session has them; ours are looked at one by one. They
wait for the connection in the program's stdin (`ssh_program`).
"""

from __future__ import annotations

import queue
import re
import select
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from actors.edges import processes
from actors.errors import LoopError
from actors.hosts import Host
from actors.text import read_object, valid
from supervisor.hosts import code, stage1
from supervisor.hosts.far_sockets import far_socket
from supervisor.hosts.link import READ_BYTES, HostUnreachableError, HostUnusableError
from supervisor.hosts.ssh_program import CONNECT_S, SshProgram, start_ssh

START_S = 30.0  # until the program there speaks
INSTALL_S = 600.0
_LONGEST_LINE = 10_000
LAST_WORDS_S = 1.0  # until they are read, once the process has ended
END_S = 2.0  # the shim there ends in milliseconds when its lifeline does
_ENDED_BY_SSH = 255
_PORT = re.compile(r"Allocated port (\d+) for remote forward")
_REFUSED = "remote port forwarding failed for listen port 0"
# What ssh says, and what the user can do about it. The first `LASTING` do not pass by themselves.
_WORDS = (
    ("could not resolve", "there is no such host: correct its name, or ssh in [hosts.{name}]"),
    ("remote host identification has changed", "its key has changed: if that is right, run ssh-keygen -R {to}"),
    ("host key verification failed", "its key is not known: run ssh {to} once, and compare the key"),
    ("permission denied (", "it refuses the login without a password: set up a key, and try ssh -o BatchMode=yes {to}"),
    ("command not found", "python3 is not installed there: install Python 3.11 or newer"),
    ("python3: not found", "python3 is not installed there: install Python 3.11 or newer"),
    ("no space left on device", "its disk is full: make room there, or correct root in [hosts.{name}]"),
    ("[errno 13] permission denied", "loop may not write there: correct root in [hosts.{name}]"),
    (
        "remote port forwarding failed for listen",
        "its sshd refuses a forwarding: allow AllowTcpForwarding and AllowStreamLocalForwarding there",
    ),
    ("connection refused", "no ssh server answers there: start sshd, or correct the port"),
    ("connection timed out", "it does not answer: is it on, and reachable from here?"),
    ("no route to host", "it cannot be reached from here: is the network, or the VPN, up?"),
    ("network is unreachable", "it cannot be reached from here: is the network, or the VPN, up?"),
)
LASTING = 9


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
    """One connection. `open` once; `read` in one thread, `send` in any; `close` and `end` any number of times.

    `program`: the one that connects already, with what `open` is given.
    """

    def __init__(self, host: Host, tell: Callable[[str], None], program: SshProgram | None = None) -> None:
        self.host = host
        self._program = program
        self.far_bus = program.far_bus if program is not None else far_socket()
        self.begun_s = program.begun_s if program is not None else 0.0
        self._port: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._tell = tell  # what the programs there print: a line at a time, any thread
        self._words: deque[str] = deque(maxlen=20)
        self._writing = threading.Lock()
        self._early = b""  # of the shim's words: they came with the last line before them
        self._process = program.process if program is not None else None
        self._hearing: threading.Thread | None = None
        self._timer: threading.Timer | None = None

    def open(self, begin: bytes, bus: Path, bridge_port: int, wait_s: float) -> None:
        """See `Link.open`."""
        del wait_s  # it is reached now, or not
        host = self.host
        try:
            program = self._program or start_ssh(host, self.far_bus, begin, bus, bridge_port)
        except OSError as error:
            why = (
                f"host {host.name}: {host.ssh_command[0]} cannot be started ({(error.strerror or str(error)).lower()})"
            )
            if isinstance(error, FileNotFoundError | PermissionError):  # no try finds another program
                what = (
                    "install OpenSSH" if host.ssh_command == ("ssh",) else f"correct ssh_command in [hosts.{host.name}]"
                )
                raise HostUnusableError(f"{why}: {what}") from error
            raise HostUnreachableError(why) from error
        self._process = program.process
        self.begun_s = program.begun_s
        hearing = threading.Thread(target=self._hear, args=(self._process,), name=f"ssh {host.name}", daemon=True)
        hearing.start()
        self._hearing = hearing
        try:
            self._await_shim()
        except LoopError:
            self.close()
            raise
        except OSError as error:
            raise self.failed() from error
        finally:
            self._limit(0)

    def _limit(self, seconds: float) -> None:
        """Ends the connection unless it is called again in time; 0 = no limit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds:
            self._timer = threading.Timer(seconds, self._late, [seconds])
            self._timer.start()

    def _late(self, seconds: float) -> None:
        self._words.append(f"it has not answered for {seconds:g} s")
        self.close()

    def _await_shim(self) -> None:
        host = self.host
        self._limit(START_S)
        while True:
            line = self._line()
            mark, _, words = line.partition(stage1.MARK)
            if mark or not words:
                continue  # a login shell has printed it
            match read_object(words):
                case {"say": str(text)}:
                    self._limit(INSTALL_S)
                    self._tell(valid(text))
                case {"want": "wheel"}:
                    wheel = code.wheel()
                    self.send(f"{code.wheel_name()} {len(wheel)}\n".encode() + wheel)
                case {"fail": str(text)}:
                    raise HostUnusableError(f"host {host.name}: {valid(text)}")
                case {"go": _}:
                    return

    def _line(self) -> str:
        """The next line. A read for each byte would wait each time for its turn in a process that is busy."""
        while b"\n" not in self._early and len(self._early) < _LONGEST_LINE:
            data = self._read(READ_BYTES)
            if not data:
                raise self.failed()
            self._early += data
        line, _, self._early = self._early.partition(b"\n")
        return line.decode(errors="replace")

    def read(self, most: int = READ_BYTES) -> bytes:
        """What comes next from the shim; b"" = the link has ended."""
        early, self._early = self._early[:most], self._early[most:]
        return early or self._read(most)

    def _read(self, most: int) -> bytes:
        process = self._process
        assert process is not None, "the link is not open"
        assert process.stdout is not None
        try:
            return process.stdout.read(most) or b""
        except (OSError, ValueError):
            return b""

    def is_heard(self, timeout_s: float) -> bool:
        """Waits until `read` does not block. False: it still does."""
        if self._early:
            return True
        process = self._process
        assert process is not None, "the link is not open"
        assert process.stdout is not None
        try:
            return bool(select.select([process.stdout], [], [], timeout_s)[0])
        except (OSError, ValueError):  # it was closed
            return True

    def send(self, data: bytes) -> None:
        """To the shim. Raises OSError when the link has ended."""
        process = self._process
        assert process is not None, "the link is not open"
        assert process.stdin is not None
        with self._writing:
            while data:
                data = data[process.stdin.write(data) or 0 :]

    def far_port(self) -> int:
        """The loopback port of the host that leads to the bridge. Raises `HostUnreachableError`.

        It is known before the shim speaks. The thread that hears of it may be late.
        """
        try:
            port = self._port.get(timeout=CONNECT_S)
        except queue.Empty:
            port = 0
        if not port:
            raise self.refused()
        return port

    def refused(self) -> HostUnreachableError:
        """The error for a way back that the host does not give."""
        return failure(self.host, None, [_REFUSED])

    def end(self) -> None:
        """Ends the shim, and waits until nothing of it is left there, as long as the link lives."""
        if (process := self._process) is None:
            return
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.close()
        if process.poll() is None:
            processes.wait_ended(process.pid, END_S)
        self.close()

    def close(self) -> None:
        """Ends the connection, and with it the shim's lifeline."""
        if (process := self._process) is None:
            return
        if process.poll() is None:
            processes.kill_tree(process.pid)
        process.wait()
        if self._hearing is not None and self._hearing is not threading.current_thread():
            self._hearing.join(LAST_WORDS_S)

    def ended(self) -> str:
        """Why the link has ended, in one line."""
        process = self._process
        assert process is not None, "the link is not open"
        if process.poll() is None:
            processes.wait_ended(process.pid, LAST_WORDS_S)  # its status says how the program there has ended
        self.close()
        return why(self.host, process.returncode, list(self._words))

    def failed(self) -> HostUnreachableError:
        """See `Link.failed`."""
        process = self._process
        assert process is not None, "the link is not open"
        if process.poll() is None:
            processes.wait_ended(process.pid, CONNECT_S)
        self.close()
        return failure(self.host, process.returncode, list(self._words))

    def has_left(self) -> bool:
        """See `Link.has_left`. sshd says nothing of what it has started."""
        return False

    def tell(self, text: str) -> None:
        """See `Link.tell`. Nobody looks at a host that is reached by ssh."""

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        rest = b""
        while data := process.stderr.read(READ_BYTES):
            *lines, rest = (rest + data)[-READ_BYTES * 4 :].split(b"\n")
            for line in lines:
                self._words.append(valid(line.rstrip(b"\r").decode(errors="replace")))
                if (named := _PORT.search(self._words[-1])) or _REFUSED in self._words[-1]:
                    self._port.put(int(named[1]) if named else 0)
                self._tell(self._words[-1])
