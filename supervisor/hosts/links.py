"""Makes the links of one root: by ssh, or to a host that has dialled in. All its runs share what listens for those."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from actors.edges import environments
from actors.errors import PermanentError
from actors.hosts import Host
from supervisor.hosts.link import HostUnusableError, Link, Says
from supervisor.hosts.ssh_link import SshLink

if TYPE_CHECKING:  # few roots have a host that dials in
    from supervisor.hosts.join_listener import JoinListener


class Links:
    """Any thread. Nothing listens before a link needs it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._listeners: dict[str, JoinListener] = {}
        self._is_closed = False

    def make(self, host: Host, log: Says, waits: Says) -> Link:
        """A link that is not open yet. See `MakeLink`."""
        if not host.join:
            return SshLink(host, log)
        from supervisor.hosts.join_link import JoinLink

        return JoinLink(host, lambda: self._listener(host), log, waits)

    def close(self) -> None:
        """Ends all joined hosts' connections. May be called twice."""
        with self._guard:
            self._is_closed = True
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
