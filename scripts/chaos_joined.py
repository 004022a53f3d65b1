"""A host of the chaos that dials in: its `loop join` runs in the host's network, and is hit as well."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

from actors.edges import join_keys, processes
from tests.lab.ssh_hosts import SshHost
from tests.lab.world import LOOP, MARK

PORT = 7777
JOIN = "shell.cli join"  # in its command line


class JoinedHost:
    """`loop join` on a host, which has no sshd any more. Home listens at its end of the host's cable."""

    def __init__(self, host: SshHost, home: Path) -> None:
        self._host = host
        self._log = host.folder / "join.log"
        self._key = Path(join_keys.make(home, host.name, 1)).rename(host.folder / "key")
        self._process: subprocess.Popen[bytes] | None = None
        host.end_sshd()

    def configured(self, lease: dict[str, float]) -> str:
        """Its table for the user's configuration."""
        rows = {"root": self._host.host.root, **lease}
        table = "".join(f"{key} = {value!r}\n" for key, value in rows.items())
        return f"[join]\nlisten = '{self._host.near}:{PORT}'\n[hosts.{self._host.name}]\njoin = true\n{table}"

    def start(self) -> None:
        """Starts it, as the host's service manager does."""
        words = [*LOOP, "join", f"{self._host.near}:{PORT}", "--key", str(self._key)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", self._host.namespace, *words],
                env={name: value for name, value in self._host.environment.items() if name != MARK},
                cwd=self._host.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kills it, not what it has started."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def end(self) -> None:
        """Ends it as a signal does, with all that it has started."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10.0)
            self.kill()

    def ended_meanwhile(self) -> str:
        """Its last words, if it has ended by itself, which it never may; "" = it runs."""
        if self._process is None or processes.is_running(self._process.pid):
            return ""
        return f"loop join on {self._host.name} has ended: {self._log.read_text()[-400:]!r}"
