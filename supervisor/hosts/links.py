"""Makes the links of one root: by ssh, or to a host that has dialled in. All its runs share what listens for those."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from actors.edges import environments
from actors.errors import PermanentError
from actors.hosts import Host
from supervisor.hosts.far_sockets import far_socket
from supervisor.hosts.link import HostUnusableError, Link, Says

if TYPE_CHECKING:  # few roots have a host
    from supervisor.hosts.join_listener import JoinListener
    from supervisor.hosts.ssh_program import SshProgram


class Links:
    """Any thread. Nothing listens before a link needs it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._programs: dict[str, SshProgram] = {}
        self._listeners: dict[str, JoinListener] = {}
        self._is_closed = False

    def begin(self, host: Host, words: Callable[[str], bytes], bus: Path, bridge_port: int) -> None:
        """Starts ssh to the host, for the link that is made to it next. What that is opened with is known here.

        `words`: the first ones to the shim, by the link's `far_bus`.
        """
        if not host.join:
            from supervisor.hosts.ssh_program import start_ssh

            with suppress(OSError):  # the link says why
                far_bus = far_socket()
                self._programs[host.name] = start_ssh(host, far_bus, words(far_bus), bus, bridge_port)

    def make(self, host: Host, log: Says, waits: Says) -> Link:
        """A link that is not open yet. See `MakeLink`."""
        if not host.join:
            from supervisor.hosts.ssh_link import SshLink

            with self._guard:
                return SshLink(host, log, self._programs.pop(host.name, None))
        from supervisor.hosts.join_link import JoinLink

        return JoinLink(host, lambda: self._listener(host), log, waits)

    def close(self) -> None:
        """Ends all joined hosts' connections, and what no link has. May be called twice."""
        with self._guard:
            self._is_closed = True
            for program in self._programs.values():
                program.end()
            self._programs.clear()
            for listener in self._listeners.values():
                listener.close()
            self._listeners.clear()

    def _listener(self, host: Host) -> JoinListener:
        from actors.edges import join_keys
        from supervisor.hosts.join_listener import JoinListener

        home = environments.home()
        try:
            join_keys.ready_for(home, host.name)
        except PermanentError as error:
            raise HostUnusableError(str(error)) from error
        with self._guard:
            if self._is_closed:
                raise HostUnusableError(f"host {host.name}: the run is ending")
            if host.listen not in self._listeners:
                self._listeners[host.listen] = JoinListener(host.listen, home)
            return self._listeners[host.listen]
